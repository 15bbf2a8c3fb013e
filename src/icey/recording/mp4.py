"""One file while it is open: fragments of half a second, each complete on the disk.

FFmpeg writes it (``hybrid_fragmented``): until the end it is a fragmented MP4, of which a crash
loses the last fragment and no more; at the end it gets the index of an ordinary one.
"""

from __future__ import annotations

import fcntl
import io
import logging
import os
from contextlib import contextmanager
from fractions import Fraction
from typing import TYPE_CHECKING

import av
from av.error import FFmpegError

from icey.errors import RecordingError
from icey.recording.sound import AacSound, OpusSound
from icey.recording.timeline import VIDEO_CLOCK

if TYPE_CHECKING:
    from collections.abc import Iterator
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
        self._output = _Output(self._descriptor)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._container = av.open(self._output, "w", format="mp4", options=OPTIONS)
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
            FFmpegError: it is not H.264.
        """
        if self._video is None:
            return
        packet = av.Packet(access_unit)
        packet.stream = self._video
        packet.time_base = Fraction(1, VIDEO_CLOCK)
        packet.pts = packet.dts = at
        packet.duration = duration
        packet.is_keyframe = keyframe
        with self._errors():
            self._container.mux_one(packet)

    def write_sound(self, opus: bytes, at: int, samples: int) -> None:
        """Add an Opus packet, in the order of their times; times in 1/48000 s.

        Raises:
            OSError: the disk refuses.
        """
        if self._sound is not None:
            with self._errors():
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
        with self._errors():
            if self._sound is not None:
                self._sound.end()
            self._container.close()

    def abandon(self) -> None:
        """Close after an error: what is on the disk stays as it is."""
        # FFmpeg would write the index now, over what can be read without it.
        self._output.discards = True
        try:
            self._container.close()
        except (OSError, FFmpegError) as error:
            log.debug("%s gets no index: %s", self.path.name, error)

    def release(self) -> None:
        """Let go of the file."""
        os.close(self._descriptor)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Let the disk's own error through, whatever FFmpeg makes of it."""
        try:
            yield
        except FFmpegError as error:
            if self._output.error is not None:
                raise self._output.error from error
            raise

    def _add_video(self, access_unit: bytes) -> VideoStream:
        with av.open(io.BytesIO(access_unit), format="h264") as probe:
            if not probe.streams.video or not probe.streams.video[0].codec_context.width:
                raise RecordingError("the browser's H.264 cannot be put into an MP4 as it is")
            stream = self._container.add_stream_from_template(probe.streams.video[0])
        stream.time_base = Fraction(1, VIDEO_CLOCK)
        return stream


class _Output:
    """What FFmpeg writes into: a descriptor, and a way to take nothing more.

    Attributes:
        discards: whether what comes is thrown away.
        error: what the disk said when it refused; from then on nothing is written.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._at = 0
        self.discards = False
        self.error: OSError | None = None

    def write(self, data: bytes) -> int:
        """Write all of it.

        Raises:
            OSError: the disk refuses.
        """
        rest = memoryview(data)
        while rest and not self.discards:
            try:
                written = os.pwrite(self._descriptor, rest, self._at)
            except OSError as error:
                self.error, self.discards = error, True
                raise
            self._at += written
            rest = rest[written:]
        return len(data)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move to where the next write goes."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at}.get(whence)
        if base is None:
            base = os.fstat(self._descriptor).st_size
        self._at = base + offset
        return self._at

    def tell(self) -> int:
        """Where the next write goes."""
        return self._at


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
