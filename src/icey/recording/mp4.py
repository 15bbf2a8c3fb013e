"""One file while it is open: fragments of half a second, each complete on the disk.

FFmpeg writes it (``hybrid_fragmented``): until the end it is a fragmented MP4, of which a crash
loses the last fragment and no more; at the end it gets the index of an ordinary one.
"""

from __future__ import annotations

import fcntl
import io
import logging
import os
from fractions import Fraction
from typing import TYPE_CHECKING

import av

from icey.errors import RecordingError
from icey.recording.sound import AacSound, OpusSound
from icey.recording.timeline import VIDEO_CLOCK

if TYPE_CHECKING:
    from pathlib import Path

    from av.video.stream import VideoStream

    from icey.recording.sound import SoundFormat

__all__ = ["FRAGMENT_US", "PartFile", "lock"]

log = logging.getLogger(__name__)

SOUNDS: dict[SoundFormat, type[OpusSound | AacSound]] = {"opus": OpusSound, "aac": AacSound}

FRAGMENT_US = 500_000
"""µs of media in a fragment at the most."""

OPTIONS = {
    "movflags": "hybrid_fragmented",
    "frag_duration": str(FRAGMENT_US),
    "flush_packets": "1",
    # Sound that comes late holds the picture back for so long and no longer.
    "max_interleave_delta": "200000",
}


class PartFile:
    """An MP4 that is being written, locked so that no other server takes it for a crashed one.

    Args:
        path: where; must not be there yet.
        video: the first access unit (Annex B, with SPS and PPS), None where there is no picture.
        sound: what the sound is written as, None where there is none.

    Raises:
        OSError: it cannot be made.
        RecordingError: FFmpeg makes nothing of the access unit.
    """

    def __init__(self, path: Path, *, video: bytes | None, sound: SoundFormat | None) -> None:
        self.path = path
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._container = av.open(str(path), "w", format="mp4", options=OPTIONS)
            self._video = None if video is None else self._add_video(video)
            self._sound = None if sound is None else SOUNDS[sound](self._container)
        except BaseException:
            os.close(self._descriptor)
            path.unlink(missing_ok=True)
            raise
        self.has_sound = sound is not None
        self.has_video = video is not None

    def write_video(self, access_unit: bytes, at: int, duration: int, *, keyframe: bool) -> None:
        """Add an access unit; times in 1/90000 s.

        Raises:
            OSError: the disk refuses.
        """
        if self._video is None:
            return
        packet = av.Packet(access_unit)
        packet.stream = self._video
        packet.time_base = Fraction(1, VIDEO_CLOCK)
        packet.pts = packet.dts = at
        packet.duration = duration
        packet.is_keyframe = keyframe
        self._container.mux_one(packet)

    def write_sound(self, opus: bytes, at: int, samples: int) -> None:
        """Add an Opus packet, in the order of their times; times in 1/48000 s.

        Raises:
            OSError: the disk refuses.
        """
        if self._sound is not None:
            self._sound.write(opus, at, samples)

    def sync(self) -> None:
        """Have the disk keep what was written.

        Raises:
            OSError: the disk refuses.
        """
        os.fdatasync(self._descriptor)

    def is_in_place(self) -> bool:
        """Whether the name still leads to this file: somebody may have removed the folder."""
        try:
            named = self.path.stat()
        except OSError:
            return False
        mine = os.fstat(self._descriptor)
        return (named.st_dev, named.st_ino) == (mine.st_dev, mine.st_ino)

    @property
    def size_bytes(self) -> int:
        """Bytes written so far."""
        return os.fstat(self._descriptor).st_size

    def close(self) -> None:
        """Write the index. What is on the disk stays locked until `release`.

        Raises:
            OSError: the disk refuses; the fragments are there all the same.
        """
        if self._sound is not None:
            self._sound.end()
        self._container.close()

    def abandon(self) -> None:
        """Close after an error: the fragments are on the disk, and more is not asked for."""
        try:
            self._container.close()
        except OSError as error:
            log.debug("%s has no index of its own: %s", self.path.name, error)

    def release(self) -> None:
        """Let go of the file."""
        os.close(self._descriptor)

    def _add_video(self, access_unit: bytes) -> VideoStream:
        with av.open(io.BytesIO(access_unit), format="h264") as probe:
            if not probe.streams.video or not probe.streams.video[0].codec_context.width:
                raise RecordingError("the browser's H.264 cannot be put into an MP4 as it is")
            stream = self._container.add_stream_from_template(probe.streams.video[0])
        stream.time_base = Fraction(1, VIDEO_CLOCK)
        return stream


def lock(path: Path) -> int | None:
    """Lock a file for reading and writing; its descriptor, or None where somebody writes it.

    Raises:
        OSError: it cannot be opened.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor
