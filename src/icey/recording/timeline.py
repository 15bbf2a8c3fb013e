"""From RTP timestamps to the time in a recording, the same for picture and sound.

The picture's clock leads. Browsers stamp pictures by their wall clock, so the time between two
pictures is what it was, whatever was lost between them. The sound's clock counts samples, which a
sound card delivers a little faster or slower than the wall clock has it; so where a sample belongs
on the picture's clock is found anew all the time:

* by the senders' reports, once both streams have one: each pairs a moment of its own clock with
  the sender's wall clock (RFC 3550 §6.4.1), which the two share;
* before that by arrival: what was recorded together arrives together, and the packets that were
  least delayed show it best.

`Continuity` then makes the sound in the file a run without holes or overlaps: it follows that
place loosely, and where it is more than `TOLERANCE_NS` off it is mended by whole packets.
"""

from __future__ import annotations

from collections import deque
from statistics import median

__all__ = [
    "AUDIO_CLOCK",
    "SILENCE",
    "SILENCE_SAMPLES",
    "VIDEO_CLOCK",
    "Continuity",
    "Timeline",
    "opus_samples",
]

VIDEO_CLOCK = 90_000
AUDIO_CLOCK = 48_000
SECOND_NS = 1_000_000_000

SILENCE = b"\xf8\xff\xfe"
"""An Opus packet of 20 ms in which nothing is heard (RFC 6716 §3.1, configuration 31)."""

SILENCE_SAMPLES = 960

TOLERANCE_NS = 30_000_000
"""How far sound may be from its place before it is mended. 45 ms early is the least that anybody
notices (ITU-R BT.1359)."""

REPORTS = 5
"""Pairs of reports whose median counts: one wrong report, or a clock that is set, is outvoted."""

JUMP_NS = 10 * SECOND_NS
"""Where media time and arrival differ by more than this from one frame to the next, the sender has
begun to count anew."""


class _Clock:
    """One stream: its timestamps in ns, without jumps, and what is known of its transit."""

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._shift_ns = 0
        self._last: tuple[int, int] | None = None
        self.transit_ns: int | None = None
        self.report: tuple[int, int] | None = None

    def media_ns(self, timestamp: int) -> int:
        return timestamp * SECOND_NS // self._rate + self._shift_ns

    def note(self, timestamp: int, arrived_ns: int, report: tuple[int, int] | None) -> bool:
        """Take a frame into account; tell whether its report is a new one."""
        media = self.media_ns(timestamp)
        if self._last is not None:
            passed = arrived_ns - self._last[1]
            if abs(media - self._last[0] - passed) > JUMP_NS:
                # After the jump, time goes on by arrival.
                self._shift_ns += self._last[0] + max(passed, 1) - media
                media = self.media_ns(timestamp)
                self.transit_ns = self.report = None
        self._last = media, arrived_ns
        transit = arrived_ns - media
        if self.transit_ns is None or transit < self.transit_ns:
            self.transit_ns = transit
        if report is None or report == self.report:
            return False
        self.report = report
        return True


class Timeline:
    """The clock of one call. Every time it gives is in ns on the picture's clock.

    Args:
        has_video: whether pictures come; without them the sound's own clock leads.
    """

    def __init__(self, *, has_video: bool) -> None:
        self._video = _Clock(VIDEO_CLOCK)
        self._audio = _Clock(AUDIO_CLOCK)
        self._has_video = has_video
        self._offsets: deque[int] = deque(maxlen=REPORTS)

    def video(self, timestamp: int, arrived_ns: int, report: tuple[int, int] | None) -> int:
        """Place a picture."""
        if self._video.note(timestamp, arrived_ns, report):
            self._compare_reports()
        return self._video.media_ns(timestamp)

    def audio(self, timestamp: int, arrived_ns: int, report: tuple[int, int] | None) -> int | None:
        """Place a packet of sound; None before the first picture, since nothing can be said yet."""
        if self._audio.note(timestamp, arrived_ns, report):
            self._compare_reports()
        own = self._audio.media_ns(timestamp)
        if not self._has_video:
            return own
        offset = self._offset()
        return None if offset is None else own + offset

    def _offset(self) -> int | None:
        if self._offsets:
            return int(median(self._offsets))
        if self._video.transit_ns is None or self._audio.transit_ns is None:
            return None
        return self._audio.transit_ns - self._video.transit_ns

    def _compare_reports(self) -> None:
        video, audio = self._video.report, self._audio.report
        if video is None or audio is None:
            self._offsets.clear()
            return
        # The picture's clock at the moment of the sound's report.
        then = self._video.media_ns(video[1]) + audio[0] - video[0]
        offset = then - self._audio.media_ns(audio[1])
        by_arrival = (self._audio.transit_ns or 0) - (self._video.transit_ns or 0)
        if abs(offset - by_arrival) < JUMP_NS:  # else the two do not share a clock
            self._offsets.append(offset)


class Continuity:
    """Makes packets of sound a run that has no holes and no overlaps. Times are in samples.

    Attributes:
        next: where the next packet begins.
        filled: packets of silence put in.
        dropped: packets left out.
    """

    def __init__(self) -> None:
        self.next = 0
        self.filled = 0
        self.dropped = 0

    def place(self, at_ns: int, samples: int) -> tuple[int, bool]:
        """Take a packet that belongs at a time of the recording.

        Returns:
            Packets of silence to write first, and whether to write the packet itself after them.
            The caller writes what is said: `next` has already moved on.
        """
        ahead = at_ns * AUDIO_CLOCK // SECOND_NS - self.next
        tolerance = TOLERANCE_NS * AUDIO_CLOCK // SECOND_NS
        if ahead < -tolerance:
            self.dropped += 1
            return 0, False
        silent = round(ahead / SILENCE_SAMPLES) if ahead > tolerance else 0
        self.filled += silent
        self.next += silent * SILENCE_SAMPLES + samples
        return silent, True

    def fill(self, until_ns: int) -> int:
        """Return how many packets of silence lead up to a time; `next` moves on."""
        missing = until_ns * AUDIO_CLOCK // SECOND_NS - self.next
        silent = max(0, missing // SILENCE_SAMPLES)
        self.filled += silent
        self.next += silent * SILENCE_SAMPLES
        return silent


def opus_samples(packet: bytes) -> int:
    """How long an Opus packet is, in samples at 48 kHz (RFC 6716 §3.1); 20 ms for a broken one."""
    if not packet:
        return SILENCE_SAMPLES
    configuration = packet[0] >> 3
    if configuration < 12:  # SILK
        frame = (480, 960, 1920, 2880)[configuration & 3]
    elif configuration < 16:  # hybrid
        frame = (480, 960)[configuration & 1]
    else:  # CELT
        frame = (120, 240, 480, 960)[configuration & 3]
    code = packet[0] & 3
    count = (1, 2, 2, packet[1] & 63 if len(packet) > 1 else 1)[code]
    samples = frame * count
    return samples if 0 < samples <= 5760 else SILENCE_SAMPLES
