"""Clips: a short film around what a detector found, made of what is encoded anyway.

::

    media thread: video, sound ─▶ PreRoll ─┐
                               └─▶ pending ─┴▶ thread `icey-clip`: an MP4 with fragments, then whole
    branch: keep(event) ─▶ begins a clip, or makes the one that is open longer

A clip begins with the newest keyframe that is at least the pre-roll before its first event, and
ends the post-roll after its last. Times are on `time.monotonic_ns`'s clock, which the encoded
units and the events share. Nothing that the media thread calls waits for a disk.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from icey.errors import RecordingError
from icey.intelligence.preroll import MAX_BYTES, PreRoll, Unit
from icey.storage.take import Take

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from icey.config.intelligence import ClipSettings
    from icey.intelligence.events import Event
    from icey.intelligence.shelf import Shelf

log = logging.getLogger(__name__)

SECOND_NS = 1_000_000_000

KEYFRAME_NS = 2 * SECOND_NS
"""How far keyframes may be apart: by so much a clip may begin early."""

LATENCY_NS = 2 * SECOND_NS
"""How long after its picture an event may come and still find its whole pre-roll."""

MAX_CLIP_NS = 600 * SECOND_NS
"""After so long a clip is not made longer; what goes on is the beginning of the next one."""

STALLED_NS = 2 * SECOND_NS
"""A clip whose end is so long ago is finished, although no picture came to show that it is over."""

ROOM_EVERY_NS = SECOND_NS
"""How often it is looked whether the disk has room."""

WAKE_S = 0.25
"""How often units are written."""


@dataclass(frozen=True, slots=True)
class ClipFinished:
    """A clip is finished and has its name.

    Attributes:
        detector: whose event it began with.
        reference: ``path`` and ``url``, as its events told them.
        start: when its first picture was due, UTC.
        seconds: its length.
    """

    detector: str
    reference: dict[str, str]
    start: datetime
    seconds: float


@dataclass(slots=True)
class _Clip:
    """A clip that is being written."""

    take: Take
    detector: str
    reference: dict[str, str]
    start: datetime
    end_ns: int
    pending: deque[Unit] = field(default_factory=deque)
    pending_bytes: int = 0
    waiting: bool = False  # for a keyframe, after units had to be thrown away
    room_checked_ns: int = 0


class Clips:
    """Writes the clips of one stream; an `icey.intelligence.analysis.Evidence`.

    `video` and `sound` are called from the media thread, `keep` from the threads of branches.

    Args:
        settings: pre-roll and post-roll.
        shelf: where.
        on_finished: told of each clip, from the thread that writes; must not block.
    """

    def __init__(
        self,
        settings: ClipSettings,
        shelf: Shelf,
        *,
        on_finished: Callable[[ClipFinished], None],
    ) -> None:
        self._pre_ns = settings.pre_roll_usec * 1000
        self._post_ns = settings.post_roll_usec * 1000
        self._shelf = shelf
        self._on_finished = on_finished
        self._changed = threading.Condition()  # guards the ring, the clip and `_stopping`
        self._ring = PreRoll(self._pre_ns + LATENCY_NS)
        self._clip: _Clip | None = None
        self._beginning = threading.Lock()  # one clip begins at a time
        self._stopping = False
        self._thread: threading.Thread | None = None
        self._trouble = ""
        self.finished = 0
        self.failed = 0
        self.dropped = 0
        """Units that were thrown away because the disk was too slow."""

    @property
    def overflows(self) -> int:
        """Groups of pictures that were too large for the pre-roll."""
        return self._ring.overflows

    # -- the media thread ----------------------------------------------------------------------

    def video(self, data: bytes, at_ns: int, *, keyframe: bool) -> None:
        """Take an access unit."""
        self._add(Unit("video", data, at_ns, keyframe))

    def sound(self, data: bytes, at_ns: int) -> None:
        """Take an Opus packet."""
        self._add(Unit("audio", data, at_ns))

    def wants_keyframe(self, now_ns: int) -> bool:
        """Return whether the newest keyframe is so old that a clip would begin too early."""
        with self._changed:
            newest = self._ring.newest_keyframe_ns
        return newest is None or now_ns - newest >= KEYFRAME_NS

    def _add(self, unit: Unit) -> None:
        with self._changed:
            self._ring.add(unit)
            clip = self._clip
            if clip is None:
                return
            if clip.waiting and unit.kind == "video" and unit.keyframe:
                clip.waiting = clip.pending_bytes > MAX_BYTES // 2
            if clip.pending_bytes + len(unit.data) > MAX_BYTES:
                clip.waiting = True
            if clip.waiting:
                self.dropped += 1
                return
            clip.pending.append(unit)
            clip.pending_bytes += len(unit.data)

    # -- branches ------------------------------------------------------------------------------

    def keep(self, event: Event) -> Mapping[str, Any]:
        """Put an event into a clip; return nothing where no clip can be made."""
        with self._beginning:
            clip = self._extended(event.due_ns)
            if clip is None:
                clip = self._begin(event)
            return {} if clip is None else {"clip": clip.reference}

    def _extended(self, at_ns: int) -> _Clip | None:
        """Extend the open clip up to an event; return None where that is not possible."""
        with self._changed:
            clip = self._clip
            if clip is None or at_ns > clip.take.start_ns + MAX_CLIP_NS:
                return None
            clip.end_ns = max(clip.end_ns, at_ns + self._post_ns)
            return clip

    def _begin(self, event: Event) -> _Clip | None:
        wanted_ns = event.due_ns - self._pre_ns
        with self._changed:
            if self._stopping:
                return None
            units = self._ring.since(wanted_ns)
            if not units or self._clip is not None:  # the last one is over, and not yet written
                return self._clip
        first = units[0]
        age_ns = time.monotonic_ns() - first.at_ns
        start = datetime.now(UTC) - timedelta(microseconds=age_ns // 1000)
        sound = any(unit.kind == "audio" for unit in units)
        try:
            self._shelf.prepare()
            take = Take(
                self._shelf.folder,
                event.detector,
                start,
                first=first.data,
                at_ns=first.at_ns,
                sound="opus" if sound else None,
            )
        except (OSError, RecordingError) as error:
            self._complain(error)
            return None
        reference = self._shelf.reference(take.name)
        clip = _Clip(take, event.detector, reference, start, event.due_ns + self._post_ns)
        with self._changed:
            # Meanwhile the ring went on.
            clip.pending.extend(u for u in self._ring.since(first.at_ns) if u.at_ns >= first.at_ns)
            clip.pending_bytes = sum(len(unit.data) for unit in clip.pending)
            self._clip = clip
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="icey-clip", daemon=True)
                self._thread.start()
            self._changed.notify_all()
        return clip

    # -- the end -------------------------------------------------------------------------------

    def stop(self) -> None:
        """Finish the open clip, and begin none. Returns at once."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()

    def join(self, timeout_s: float) -> bool:
        """Wait until the clip is finished; return whether it is."""
        if self._thread is not None:
            self._thread.join(timeout_s)
        return self._thread is None or not self._thread.is_alive()

    # -- the thread that writes ----------------------------------------------------------------

    def _run(self) -> None:
        while (clip := self._next_clip()) is not None:
            try:
                finished = self._write(clip)
            except (OSError, RecordingError) as error:
                self._complain(error)
                self._rescue(clip)
            except Exception:
                log.exception("a clip cannot go on")
                self._rescue(clip)
            else:
                self._on_finished(finished)

    def _next_clip(self) -> _Clip | None:
        with self._changed:
            while self._clip is None and not self._stopping:
                self._changed.wait()
            return self._clip

    def _write(self, clip: _Clip) -> ClipFinished:
        """Write a clip to its end.

        Raises:
            OSError: the disk refuses.
            RecordingError: it has no room left, or FFmpeg refuses.
        """
        while True:
            over = self._write_pending(clip)
            clip.take.keep_up()
            if over:
                break
            now = time.monotonic_ns()
            if now - clip.room_checked_ns > ROOM_EVERY_NS:
                clip.room_checked_ns = now
                self._shelf.prepare()
            with self._changed:
                # Not for each unit: thirty times a second this would be for nothing.
                self._changed.wait_for(lambda: self._stopping, WAKE_S)
        finished = clip.take.finish()
        self.finished += 1
        self._trouble = ""
        log.info("clip %s: %.1f s", finished.name, finished.seconds)
        return ClipFinished(clip.detector, clip.reference, clip.start, finished.seconds)

    def _write_pending(self, clip: _Clip) -> bool:
        """Write the pending units; return whether the clip is over."""
        while True:
            with self._changed:
                over = self._stopping or time.monotonic_ns() > clip.end_ns + STALLED_NS
                unit = clip.pending.popleft() if clip.pending else None
                if unit is None and not over:
                    return False
                if unit is None or (unit.kind == "video" and unit.at_ns > clip.end_ns):
                    # From here on an event begins a new clip.
                    self._clip = None
                    return True
                clip.pending_bytes -= len(unit.data)
            if unit.kind == "video":
                clip.take.add_picture(unit.data, unit.at_ns, keyframe=unit.keyframe)
            elif unit.at_ns >= clip.take.start_ns and clip.take.has_sound:
                clip.take.add_sound(unit.data, unit.at_ns)

    def _rescue(self, clip: _Clip) -> None:
        """Keep the part that was written of a clip that cannot go on."""
        with self._changed:
            if self._clip is clip:
                self._clip = None
        try:
            clip.take.rescue()
        except Exception:  # the next clip has nothing to do with it
            clip.take.release()
            log.exception("%s is left for the next start to repair", clip.take.name)

    def _complain(self, error: OSError | RecordingError) -> None:
        """Log a failure once, not for each event."""
        self.failed += 1
        text = (error.strerror if isinstance(error, OSError) else None) or str(error)
        if text != self._trouble:
            log.warning("a clip cannot be made: %s", text)
        self._trouble = text
