"""An MP4 file while it is open: fragments of half a second, each complete on the disk.

FFmpeg writes it (``hybrid_fragmented``): until the end it is a fragmented MP4, of which a crash
loses the last fragment and no more; at the end it gets the index of an ordinary one.
"""

from __future__ import annotations

import errno
import logging
from contextlib import contextmanager
from fractions import Fraction
from typing import TYPE_CHECKING

import av
from av.error import FFmpegError, InvalidDataError

from icey.errors import RecordingError
from icey.media.h264 import open_unit, parameter_sets
from icey.media.timebase import VIDEO_CLOCK
from icey.storage.sink import FileSink
from icey.storage.sound import AacSound, OpusSound

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from av.video.stream import VideoStream

    from icey.storage.sound import SoundFormat

log = logging.getLogger(__name__)

VIDEO_TIME = Fraction(1, VIDEO_CLOCK)

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

    Attributes:
        sink: the file on the disk.
    """

    def __init__(self, path: Path, *, video: bytes | None, sound: SoundFormat | None) -> None:
        self.path = path
        self.sink = FileSink(path)
        try:
            with _ffmpeg():
                self._container = av.open(self.sink, "w", format="mp4", options=OPTIONS)
                self._video = None if video is None else self._add_video(video)
                self._sound = None if sound is None else SOUNDS[sound](self._container)
        except BaseException:
            self.sink.release()
            path.unlink(missing_ok=True)
            raise

    def write_video(self, access_unit: bytes, at: int, duration: int, *, keyframe: bool) -> None:
        """Add an access unit; times in 1/90000 s.

        Raises:
            OSError: the disk refuses.
            InvalidDataError: it is not H.264.
            RecordingError: FFmpeg refuses for another reason.
        """
        if self._video is None:
            return
        packet = av.Packet(access_unit)
        packet.stream = self._video
        packet.time_base = VIDEO_TIME
        packet.pts = packet.dts = at
        packet.duration = duration
        packet.is_keyframe = keyframe
        with _ffmpeg():
            self._container.mux_one(packet)
        self.sink.check()

    def write_sound(self, opus: bytes, at: int, samples: int) -> None:
        """Add an Opus packet, in the order of their times; times in 1/48000 s.

        Raises:
            OSError: the disk refuses.
            RecordingError: FFmpeg does.
        """
        if self._sound is not None:
            with _ffmpeg():
                self._sound.write(opus, at, samples)
            self.sink.check()

    def close(self) -> None:
        """Write the index. What is on the disk stays locked until the sink's `release`.

        Raises:
            OSError: the disk refuses; the fragments are there all the same.
            RecordingError: FFmpeg does; likewise.
        """
        with _ffmpeg():
            if self._sound is not None:
                self._sound.end()
            self._container.close()
        self.sink.check()

    def abandon(self) -> None:
        """Close after an error: the fragments are on the disk, and nothing is added to them."""
        self.sink.freeze(OSError(errno.ECANCELED, "the recording was given up"))
        try:
            self._container.close()
        except (OSError, FFmpegError) as error:
            log.debug("%s has no index of its own: %s", self.path.name, error)

    def _add_video(self, access_unit: bytes) -> VideoStream:
        if parameter_sets(access_unit, None) is None:
            raise RecordingError("the browser's H.264 cannot be put into an MP4 as it is")
        with open_unit(access_unit) as probe:
            stream = self._container.add_stream_from_template(probe.streams.video[0])
        stream.time_base = VIDEO_TIME
        return stream


@contextmanager
def _ffmpeg() -> Iterator[None]:
    """Pass on errors of disk and data; turn FFmpeg's own into `RecordingError`."""
    try:
        yield
    except (OSError, InvalidDataError):
        raise
    except FFmpegError as error:
        raise RecordingError(f"FFmpeg cannot write this: {error}", detail=str(error)) from error
