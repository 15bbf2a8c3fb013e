"""Turns received video into access units for the file: by copy, or by decoding and encoding."""

from __future__ import annotations

import logging
from fractions import Fraction
from typing import TYPE_CHECKING, TypeAlias

import av
from av.error import FFmpegError

from icey.media.encode import VideoEncoder
from icey.media.h264 import MAX_PIXELS
from icey.media.scale import Scaler, matrix_of
from icey.media.timebase import SECOND_NS, VIDEO_CLOCK

if TYPE_CHECKING:
    from collections.abc import Iterator

    from icey._core import ReceivedFrame
    from icey.config.model import VideoSettings
    from icey.media.scale import Matrix

log = logging.getLogger(__name__)

KEYFRAME_NS = 2 * SECOND_NS
"""From one keyframe to the next in what is encoded here: a player seeks to them."""


class Copied:
    """Copies the access units of the browser."""

    transcoding = False
    codec = "h264"
    needs_keyframe = False

    def take(self, frame: ReceivedFrame, at_ns: int) -> Iterator[tuple[bytes, int, bool]]:
        """Yield the frame's own access unit, its time, and whether it is an IDR."""
        yield frame.data, at_ns, frame.keyframe

    def ask_keyframe(self) -> None:
        """Do nothing: the browser makes them."""


class Transcoded:
    """Encodes every picture in one size, letterboxed, at most so many a second.

    Args:
        codec: what the browser sends.
        video: size, highest rate and bitrate.
    """

    transcoding = True

    def __init__(self, codec: str, video: VideoSettings) -> None:
        decoder = av.CodecContext.create(codec, "r")
        if not isinstance(decoder, av.VideoCodecContext):
            raise TypeError(f"{codec} is no codec for pictures")
        self._decoder = decoder
        self.codec = codec
        self._decoder.thread_count = 1
        self._decoder.options = {"max_pixels": str(MAX_PIXELS)}
        self._video = video
        self._scaler = Scaler(video.width, video.height)
        self._encoder: VideoEncoder | None = None
        self._matrix: Matrix = "bt709"
        self._last_ns: int | None = None
        self._key_ns = 0
        self._key_due = True
        self.needs_keyframe = False

    def take(self, frame: ReceivedFrame, at_ns: int) -> Iterator[tuple[bytes, int, bool]]:
        """Decode, scale, encode; yield as `Copied.take`. What cannot be decoded is left out."""
        if self.needs_keyframe and not frame.keyframe:
            return
        packet = av.Packet(frame.data)
        packet.pts = packet.dts = at_ns
        packet.time_base = Fraction(1, SECOND_NS)
        try:
            pictures = self._decoder.decode(packet)
            self.needs_keyframe = False
        except FFmpegError as error:
            if not self.needs_keyframe:  # else the log has it
                log.info("a picture cannot be decoded: %s", error)
            self.needs_keyframe = True  # what follows leans on it
            return
        for picture in pictures:
            if picture.pts is not None:
                yield from self._encode(picture, picture.pts)

    def ask_keyframe(self) -> None:
        """Make the next picture a keyframe."""
        self._key_due = True

    def _encode(self, picture: av.VideoFrame, at_ns: int) -> Iterator[tuple[bytes, int, bool]]:
        least = SECOND_NS * 9 // 10 // self._video.fps
        if self._last_ns is not None and at_ns - self._last_ns < least and not self._key_due:
            return
        if self._encoder is None:
            self._matrix = matrix_of(picture)
            rate = Fraction(self._video.fps)
            self._encoder = VideoEncoder(
                self._video, rate, self._video.bitrate, self._matrix, buffer_s=0.5
            )
        fitted = self._scaler.scale(picture, None, self._matrix)
        keyframe = self._key_due or at_ns - self._key_ns >= KEYFRAME_NS
        timestamp = at_ns * VIDEO_CLOCK // SECOND_NS
        unit, is_key = self._encoder.encode(fitted, timestamp, keyframe=keyframe)
        self._last_ns = at_ns
        if is_key:
            self._key_ns, self._key_due = at_ns, False
        if unit:
            yield unit, at_ns, is_key


PictureWay: TypeAlias = Copied | Transcoded
"""Turns received frames into H.264 access units."""
