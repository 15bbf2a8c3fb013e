"""Maps RTP timestamps to the time in a recording, one clock for picture and sound.

The picture's clock leads. Browsers stamp pictures by their wall clock, so the time between two
pictures is what it was, whatever was lost between them. The sound's clock counts samples, which a
sound card delivers a little faster or slower than the wall clock has it, and which some senders
stop counting while they are muted; so where a sample belongs on the picture's clock is found anew
all the time:

* by the senders' reports, once both streams have one: each pairs a moment of its own clock with
  the sender's wall clock (RFC 3550 §6.4.1), which the two share;
* before that by arrival: what was recorded together arrives together, and the packets that were
  least delayed show it best.

Where the two contradict each other, arrival is believed for a while: a wall clock can be set, and a
report can be of before a pause.

`icey.storage.continuity` then makes the sound in the file a run without holes or overlaps.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from statistics import median

from icey.media.timebase import AUDIO_CLOCK, SECOND_NS, VIDEO_CLOCK

REPORTS = 5
"""Reports of a stream whose median counts: they are stamped by threads, some of them late."""

STEP_NS = SECOND_NS // 5
"""Where a report is further than this from those before it, something has happened: a clock was
set, sound was muted. Then those before it count no more."""

FIRST_NS = SECOND_NS
"""How far the first reports may be from what arrival has shown."""

PERSISTENT_NS = 12 * SECOND_NS
"""After so long reports are believed against arrival."""

JUMP_NS = 10 * SECOND_NS
"""A stream whose timestamps are further than this from its arrival has begun to count anew."""

FOLLOW = 1000
"""One part in so many is what two clocks may drift apart, at the most."""

SETTLE_NS = SECOND_NS
"""The first picture is large and comes late; how late, those after it show."""

PAUSE_NS = SECOND_NS // 2
"""Sound that was away for longer has either waited on the way or not been counted."""

RESUMED_NS = 3 * SECOND_NS // 10
"""So long after a pause it is decided which: what has waited comes faster than it was spoken."""

HURRY_NS = SECOND_NS // 10
"""How much faster, in `RESUMED_NS`."""


class _Clock:
    """The clock of one stream: its timestamps in ns, without jumps, and its transit times.

    Attributes:
        low_ns: arrival less media time of the packets that were least delayed.
        last: media time and arrival of the last packet.
        epochs: wall clock less media time, by the newest reports.
    """

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._shift_ns = 0
        self._anchor_ns = 0
        self._recent: deque[int] = deque(maxlen=25)
        self._report: tuple[int, int] | None = None
        self.low_ns = 0
        self.last: tuple[int, int] | None = None
        self.epochs: deque[int] = deque(maxlen=REPORTS)

    def media_ns(self, timestamp: int) -> int:
        return timestamp * SECOND_NS // self._rate + self._shift_ns

    def note(self, timestamp: int, arrived_ns: int) -> int:
        """Note a packet; return its media time."""
        media = self.media_ns(timestamp)
        transit = arrived_ns - media
        if self.last is None:
            self._anchor_ns = self.low_ns = transit
        elif abs(transit - self._anchor_ns) > JUMP_NS:
            # Time goes on as if this packet had been delayed as little as any.
            self.skip(transit - self.low_ns)
            media, transit = self.media_ns(timestamp), self.low_ns
        else:
            drift = max(arrived_ns - self.last[1], 0) // FOLLOW
            self._anchor_ns += max(-drift, min(drift, transit - self._anchor_ns))
            self.low_ns = min(self.low_ns + drift, transit)
        self.last = media, arrived_ns
        self._recent.append(transit)
        return media

    def skip(self, by_ns: int) -> None:
        """Move the media time of what follows by so much."""
        self._shift_ns += by_ns
        self._recent.clear()

    def learn(self, report: tuple[int, int] | None) -> bool:
        """Note a sender report; return whether it is a new one."""
        if report is None or report == self._report:
            return False
        self._report = report
        epoch = report[0] - self.media_ns(report[1])
        if self.epochs and abs(epoch - median(self.epochs)) > STEP_NS:
            self.epochs.clear()
        self.epochs.append(epoch)
        return True

    @property
    def rise_ns(self) -> int:
        """How much more the last packets were delayed than the least delayed ones."""
        return min(self._recent, default=self.low_ns) - self.low_ns


@dataclass(slots=True)
class _Pause:
    """The first packet after a pause: its times, and by how much the two have parted."""

    media_ns: int
    arrived_ns: int
    missing_ns: int


class Timeline:
    """The clock of one call. Every time it gives is in ns on the picture's clock.

    Args:
        has_video: whether pictures come; without them the sound's own clock leads.
    """

    def __init__(self, *, has_video: bool) -> None:
        self._video = _Clock(VIDEO_CLOCK)
        self._audio = _Clock(AUDIO_CLOCK)
        self._has_video = has_video
        self._offset: int | None = None
        self._doubted_since: int | None = None
        self._pause: _Pause | None = None
        self._first_picture_ns: int | None = None

    def video(self, timestamp: int, arrived_ns: int, report: tuple[int, int] | None) -> int:
        """Place a picture."""
        media = self._video.note(timestamp, arrived_ns)
        if self._first_picture_ns is None:
            self._first_picture_ns = arrived_ns
        self._learn(self._video, report)
        return media

    def audio(self, timestamp: int, arrived_ns: int, report: tuple[int, int] | None) -> int | None:
        """Place a packet of sound.

        Returns:
            None where that cannot be said yet; `place` can, once it `is_settled`.
        """
        before = self._audio.last
        media = self._audio.note(timestamp, arrived_ns)
        if before is not None and self._resumes(media, arrived_ns, before):
            return None
        self._learn(self._audio, report)
        return self.place(timestamp) if self.is_settled else None

    @property
    def is_settled(self) -> bool:
        """Whether packets of sound have a place by now that had none when they came."""
        if self._pause is not None:
            return False
        if not self._has_video or self._offset is not None:
            return True
        if self._video.last is None or self._first_picture_ns is None:
            return False
        return self._video.last[1] - self._first_picture_ns >= SETTLE_NS

    def place(self, timestamp: int) -> int | None:
        """Place a packet of sound that `audio` has seen, as well as it can be done now.

        Returns:
            None before the first picture, and where the sender has begun to count anew since.
        """
        own = self._audio.media_ns(timestamp)
        if self._audio.last is None or abs(own - self._audio.last[0]) > JUMP_NS:
            return None
        if not self._has_video:
            return own
        if self._offset is not None:
            return own + self._offset
        return None if self._video.last is None else own + self._by_arrival()

    def _by_arrival(self) -> int:
        return self._audio.low_ns - self._video.low_ns

    def _resumes(self, media: int, arrived_ns: int, before: tuple[int, int]) -> bool:
        """Whether sound has just come back, and it is open what its timestamps mean."""
        passed = arrived_ns - before[1]
        missing = passed - (media - before[0])
        if passed >= PAUSE_NS and missing >= PAUSE_NS // 2:
            missing += self._pause.missing_ns if self._pause else 0
            self._pause = _Pause(media, arrived_ns, missing)
        if self._pause is None:
            return False
        since = arrived_ns - self._pause.arrived_ns
        ahead = media - self._pause.media_ns - since
        if ahead < HURRY_NS and since < RESUMED_NS:
            return True
        if ahead < HURRY_NS:
            # It comes at its own pace: nothing was kept, and the pause was not counted.
            self._audio.skip(self._pause.missing_ns)
            self._audio.last = media + self._pause.missing_ns, arrived_ns
        self._pause = None
        return False

    def _learn(self, clock: _Clock, report: tuple[int, int] | None) -> None:
        if not clock.learn(report) or clock.last is None:
            return
        if self._audio.epochs and self._video.epochs:
            offset = int(median(self._audio.epochs) - median(self._video.epochs))
            if self._is_credible(offset, clock.last[1]):
                self._offset, self._doubted_since = offset, None

    def _is_credible(self, offset: int, now_ns: int) -> bool:
        if abs(offset - self._by_arrival()) > JUMP_NS:
            return False  # the two streams do not share a wall clock
        if self._offset is None:
            change, usual, seen = offset - self._by_arrival(), FIRST_NS, 0
        else:
            change, usual = offset - self._offset, STEP_NS
            seen = self._audio.rise_ns - self._video.rise_ns
        if abs(change) <= usual or abs(change - seen) < abs(change) / 2:
            return True
        if self._doubted_since is None:
            self._doubted_since = now_ns
        return now_ns - self._doubted_since > PERSISTENT_NS
