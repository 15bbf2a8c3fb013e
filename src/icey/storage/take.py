"""Writes one recording or clip, from its first picture to its final name."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from av.error import InvalidDataError

from icey.errors import RecordingError
from icey.media.timebase import AUDIO_CLOCK, SECOND_NS, VIDEO_CLOCK
from icey.storage.continuity import SILENCE, SILENCE_SAMPLES, Continuity, opus_samples
from icey.storage.finish import FASTSTART_BYTES, finish_file
from icey.storage.largest import LargestPicture
from icey.storage.mp4 import PartFile
from icey.storage.paths import name_recording, part_of, recovered_of
from icey.storage.repair import repair_part

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from icey.storage.sound import SoundFormat

log = logging.getLogger(__name__)

LATE_NS = 1_100_000_000
"""How far behind the picture sound may come. Where there is none by then, it is silence."""

FIRST_SILENCE = b"\xe0\xff\xfe"
"""An Opus packet of 2.5 ms (RFC 6716 §3.1, configuration 28). FFmpeg puts nothing on the disk
before each track has a packet, and the first of the sound may take long to come."""

QUICK_BYTES = 16 << 20
"""What can be copied while the engine's queue, of some ten seconds, fills."""

GRID_RATE = 200
GRID = VIDEO_CLOCK // GRID_RATE
"""Pictures are placed on a grid of 5 ms, 2.5 ms from where they belong at the most. A camera that
stutters delivers two pictures within a few ms; FFmpeg's tools round times to the frame rate that
they guess, and complain of two in one place. From the grid they guess 200, and all have room.
(Above 210 they would not believe it.)"""

SHORTEST, LONGEST = VIDEO_CLOCK // 120, VIDEO_CLOCK // 2
"""What the last picture of a fragment is taken to last, in 1/90000 s, before the next is there."""


@dataclass(frozen=True, slots=True)
class FinishedFile:
    """A file that has its final name; `seconds` is its duration."""

    name: str
    seconds: float


class Take:
    """A file that is being recorded.

    Args:
        folder: where.
        peer: whom it is called after.
        start: when its first picture came.
        first: its first access unit, None where there is only sound.
        at_ns: the time of that on the call's timeline, ns; 0 in the file.
        sound: what the sound is written as, None for no sound.

    Raises:
        OSError: it cannot be made.
        RecordingError: FFmpeg makes nothing of the access unit.

    Attributes:
        name: the one that it gets at the end.
        file: the open part.
        is_whole: FFmpeg has closed it, with an index; only its place and name are missing.
    """

    def __init__(
        self,
        folder: Path,
        peer: str,
        start: datetime,
        *,
        first: bytes | None,
        at_ns: int,
        sound: SoundFormat | None,
    ) -> None:
        self.name, self.file = _create(folder, peer, start, first, sound)
        self.part = self.file.path
        self.start_ns = at_ns
        self._continuity = Continuity()
        self._video_at = -GRID
        self._video_step = VIDEO_CLOCK // 30
        self._largest = LargestPicture(first)
        self.has_sound = sound is not None
        self.pictures = 0
        self.packets = 0
        self.is_whole = False
        self._is_broken = self._is_released = False
        if self.has_sound and first is not None:
            self.add_sound(FIRST_SILENCE, at_ns)

    @property
    def seconds(self) -> float:
        """Its length so far."""
        sound = self._continuity.next / AUDIO_CLOCK
        return max(sound, (self._video_at + self._video_step) / VIDEO_CLOCK)

    def add_picture(self, unit: bytes, at_ns: int, *, keyframe: bool) -> None:
        """Write an access unit.

        Raises:
            OSError: the disk refuses.
        """
        at = round((at_ns - self.start_ns) * GRID_RATE / SECOND_NS) * GRID
        # Two pictures in one place, or one that goes back, would be refused.
        at = max(at, self._video_at + GRID)
        if self._video_at >= 0:
            self._video_step = min(max(at - self._video_at, SHORTEST), LONGEST)
        self._video_at = at
        if keyframe:
            self._largest.add(unit)
        try:
            self.file.write_video(unit, at, self._video_step, keyframe=keyframe)
        except InvalidDataError as error:  # what a remote sends may be anything
            log.debug("%s: a picture is left out: %s", self.name, error)
        else:
            self.pictures += 1

    def add_sound(self, opus: bytes, at_ns: int) -> None:
        """Write an Opus packet where it belongs, with silence before it where something is missing.

        Raises:
            OSError: the disk refuses.
        """
        samples = opus_samples(opus)
        silent, wanted = self._continuity.place(at_ns - self.start_ns, samples)
        end = self._continuity.next - (samples if wanted else 0)
        self._write_silence(silent, end)
        if wanted:
            self.file.write_sound(opus, end, samples)
            self.packets += 1

    def keep_up(self) -> None:
        """Write silence up to the moment for which no sound comes any more.

        Raises:
            OSError: the disk refuses.
        """
        if self.has_sound and self._video_at >= 0:
            self._fill(self._video_at * SECOND_NS // VIDEO_CLOCK - LATE_NS)

    def finish(self, *, quickly: bool = False) -> FinishedFile:
        """Close the file and give it its final name. After an error it may be called again.

        Args:
            quickly: the call goes on meanwhile, so that only a small file may be copied.

        Raises:
            OSError: the disk refuses; `rescue` is next.
            RecordingError: FFmpeg does; likewise.
        """
        if self._is_broken:
            raise RecordingError("the file has no end")
        if not self.is_whole:
            self._close()
        final = self.part.with_name(self.name)
        if final.exists():  # an earlier try came so far: only its part may be left
            self.part.unlink(missing_ok=True)
        else:
            largest = self._largest
            changed = largest.sets if largest.sets is not largest.declared else None
            limit = QUICK_BYTES if quickly else FASTSTART_BYTES
            finish_file(self.part, final, changed, faststart_bytes=limit)
        self.release()
        return FinishedFile(self.name, self.seconds)

    def rescue(self) -> FinishedFile | None:
        """Save what can be played of the file after an error; None where that is nothing.

        Raises:
            OSError: not even that for now. It may be called again; whoever gives up calls
                `release`, and the part is left for a repair of the folder.
        """
        self.file.abandon()
        if not self.file.sink.is_in_place():
            saved = self.part.with_name(recovered_of(self.part.name))
            self.release()
            return FinishedFile(saved.name, self.seconds) if saved.exists() else None
        repaired = repair_part(self.part)
        self.release()
        return None if repaired.name is None else FinishedFile(repaired.name, repaired.seconds)

    def release(self) -> None:
        """Unlock the part; twice is harmless."""
        if not self._is_released:
            self._is_released = True
            self.file.sink.release()

    def _close(self) -> None:
        try:
            if self.has_sound and self._video_at >= 0:
                end = (self._video_at + self._video_step) * SECOND_NS // VIDEO_CLOCK
                self._fill(end)
            self.file.close()
        except BaseException:
            self._is_broken = True  # FFmpeg closes a file once only
            raise
        self.is_whole = True

    def _fill(self, until_ns: int) -> None:
        silent = self._continuity.fill(until_ns)
        self._write_silence(silent, self._continuity.next)

    def _write_silence(self, packets: int, end: int) -> None:
        for index in range(packets, 0, -1):
            self.file.write_sound(SILENCE, end - index * SILENCE_SAMPLES, SILENCE_SAMPLES)
        self.packets += packets


def _create(
    folder: Path, peer: str, start: datetime, video: bytes | None, sound: SoundFormat | None
) -> tuple[str, PartFile]:
    """Make a part whose own name, and those that it may have later, are free."""
    again = 0
    while True:
        name = name_recording(peer, start, again=again)
        part = folder / part_of(name)
        taken = (folder / name, part, folder / recovered_of(part.name))
        if not any(path.exists() for path in taken):
            try:
                return name, PartFile(part, video=video, sound=sound)
            except FileExistsError:  # another recorder was faster
                log.debug("%s is taken", part.name)
        again += 1
