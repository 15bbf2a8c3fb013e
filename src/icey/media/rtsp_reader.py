"""Cameras over RTSP: access units come from the engine's client, each with its last packet.

Passed through, they go to the engine's tracks without Python, Opus too; copies come here where a
detector, a clip or a sink of another kind wants them. Else they are decoded here. What the client
cannot take is read by FFmpeg, as other live sources are.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections import deque
from fractions import Fraction
from typing import TYPE_CHECKING, cast

import av
from av.codec.context import Flags, ThreadType
from av.packet import Packet

from icey.errors import EngineError, UnsupportedError
from icey.media import rtsp
from icey.media.buffer import Shown
from icey.media.capture import LiveReader
from icey.media.passthrough import AccessUnit, obstacle_of
from icey.media.scale import matrix_of
from icey.media.timebase import SECOND_NS, to_ns

if TYPE_CHECKING:
    from collections.abc import Iterable

    from av.audio.codeccontext import AudioCodecContext
    from av.video.codeccontext import VideoCodecContext

    from icey._core import RtspFrame, RtspSource, Track
    from icey.config.model import MediaSettings
    from icey.media.buffer import MediaBuffer
    from icey.media.source import Source

log = logging.getLogger(__name__)

NANOSECOND = Fraction(1, SECOND_NS)

PATIENCE_S = 0.25
"""How long a reader waits for frames before it looks whether it is to end, s."""

ANALYSED_NS = SECOND_NS // 2
"""How much of a stream is decoded to see whether it can be passed through, ns: B-frames show."""

WAITING_S = 2.0
"""After so long without a keyframe the log says what is waited for, s."""

MAX_LAG_NS = SECOND_NS // 2
"""By how much the client places a stream before its arrival to fit the other at most, ns."""

EARLY_S = 10.0
"""A stream that ends so soon by what the client does not understand is read by FFmpeg next, s."""


class RtspReader(LiveReader):
    """A `Reader` of a camera over RTSP.

    Attributes:
        opened: times that the client had a stream play; another one is fed to tracks anew.
    """

    def __init__(self, source: Source, media: MediaSettings, buffer: MediaBuffer) -> None:
        super().__init__(source, media, buffer)
        self.opened = 0
        self._stream: RtspSource | None = None
        self._passing = False
        self._by_ffmpeg = False
        self._video: VideoCodecContext | None = None
        self._audio: AudioCodecContext | None = None
        self._since_s = 0.0
        self._started = False  # a keyframe came, so pictures can be decoded
        self._interlaced = False  # a picture said so
        self._copied = (True, True)  # pictures and sound, once they are passed through
        self._units: list[bytes] = []
        self._tally: tuple[int, int, RtspSource | None] = 0, 0, None  # of streams that ended; now

    @property
    def passthrough(self) -> bool:
        """Whether it gives access units instead of pictures."""
        return super().passthrough if self._by_ffmpeg else self._passing

    @property
    def forwards(self) -> bool:
        """Whether it can feed tracks of the engine now."""
        return self._passing and self._stream is not None

    @property
    def forwards_sound(self) -> bool:
        """Whether the sound that it has can go to a track as it is."""
        stream = self._stream
        return self._passing and stream is not None and stream.audio_codec == "opus"

    @property
    def losses(self) -> tuple[int, int]:
        """How many frames found no room here, and how many a loss on the way made useless."""
        dropped, incomplete, stream = self._tally
        if stream is None:
            return dropped, incomplete
        return dropped + stream.dropped, incomplete + stream.incomplete

    def forward(self, video: Track, audio: Track | None) -> None:
        """Feed tracks from now on, until the stream ends."""
        if self._stream is not None:
            self._stream.forward(video, audio, self._buffer.epoch_ns)

    def copy(self, *, pictures: bool, sound: bool) -> None:
        """Say whether what is passed through is wanted here too."""
        if self._stream is not None and self._copied != (pictures, sound):
            self._copied = pictures, sound
            self._stream.want(video=pictures, audio=bool(self._stream.audio_codec) and sound)

    def take_units(self) -> list[bytes]:
        """Return, once, the last group of pictures of a stream that ended."""
        units, self._units = self._units, []
        return units

    def open(self) -> None:
        """Have the camera play, and take its first picture, or first sound where it has none."""
        self.close()
        if self._by_ffmpeg:
            super().open()
            return
        try:
            self._open_stream()
        except UnsupportedError as error:
            self.close()
            self._open_by_ffmpeg(error)
        except EngineError as error:
            self.close()
            raise self.source.error(str(error)) from None
        except BaseException:
            self.close()
            raise

    def _open_by_ffmpeg(self, error: UnsupportedError) -> None:
        self._by_ffmpeg = True
        try:
            super().open()
        except BaseException:
            self._by_ffmpeg = False  # it is no better
            raise
        self._leave_to_ffmpeg(error)

    def step(self, now_ns: int) -> bool:
        """Wait for frames and give what is in them."""
        stream = self._stream
        if stream is None:
            return super().step(now_ns) if self._by_ffmpeg else False
        try:
            frames = stream.pull(patience_s=PATIENCE_S)
        except UnsupportedError as error:
            if time.monotonic() - self._since_s < EARLY_S:
                self._leave_to_ffmpeg(error)
            raise self.source.error(str(error)) from None
        except EngineError as error:
            raise self.source.error(str(error)) from None
        self._take(frames)
        return True

    def lagging(self, *, behind: bool) -> None:
        """Leave away pictures that no other needs while the machine cannot follow."""
        super().lagging(behind=behind)
        if self._video is not None:
            self._video.skip_frame = "NONREF" if behind else "DEFAULT"

    def close(self) -> None:
        """End the stream."""
        stream, self._stream = self._stream, None
        self._buffer.sound_lag_ns = self._buffer.picture_lag_ns = 0
        if stream is not None:
            if self._passing:
                self._units = stream.group()
            stream.close()
        self._tally = *self.losses, None
        super().close()

    def _leave_to_ffmpeg(self, error: UnsupportedError) -> None:
        log.warning("%s: read by FFmpeg from now on, as %s", self.source.public, error)
        self._by_ffmpeg = True

    def _open_stream(self) -> None:
        self._passing = self._started = self._interlaced = False
        self._stream = stream = rtsp.connect(self.source, self._media.rtsp_transport)
        self._tally = *self._tally[:2], stream
        self._since_s = time.monotonic()
        if stream.left_out is not None:
            log.warning(
                "%s: without sound, as nothing decodes %s", self.source.public, stream.left_out
            )
        try:
            self._video = _video_decoder(stream) if stream.video_codec else None
            self._audio = _audio_decoder(stream) if stream.audio_codec else None
        except (av.FFmpegError, ValueError) as error:
            raise UnsupportedError(f"it has no decoder: {error}") from None
        self._copied = True, True
        stream.want(video=self._video is not None, audio=self._audio is not None)
        self.still = "" if self._video is not None else f"{self.source.public}: sound only"
        if self._first and stream.frame_rate is not None:
            told = Fraction(*stream.frame_rate).limit_denominator(1001)
            self.rate = min(self.rate, told)
        self._look_into(stream)
        self._first = False
        self.opened += 1

    def _look_into(self, stream: RtspSource) -> None:
        """Wait for the first picture, or sound; decode some where it may be passed through."""
        wanted = self._media.passthrough_video
        before = self._decoded, self._buffer.sound.end_ns
        first_ns: int | None = None
        told = False
        while not self._buffer.stopping:
            frames = stream.pull(patience_s=PATIENCE_S)
            self._take(frames)
            if self._video is None:
                if self._buffer.sound.end_ns > before[1]:
                    return
                continue
            if self._decoded == before[0]:
                if not told and time.monotonic() - self._since_s > WAITING_S:
                    told = True
                    log.warning("%s: waiting for the camera's keyframe", self.source.public)
                continue
            first_ns = first_ns or time.monotonic_ns()
            if not wanted or time.monotonic_ns() - first_ns > ANALYSED_NS:
                break
        if wanted and self._video is not None and not self._buffer.stopping:
            self._decide(self._video)

    def _decide(self, video: VideoCodecContext) -> None:
        why = obstacle_of(video)
        auto = self._media.passthrough_video == "auto"
        if auto and self._interlaced and self._media.video.deinterlace != "off":
            why = why or "the source is interlaced"
        if why is None:
            self._passing, self._whole = True, False
            with self._buffer.changed:
                self._buffer.pictures.clear()
        elif auto:
            log.info("%s: encoding, as %s", self.source.public, why)
        else:
            raise self.source.error(f"media.passthroughVideo is true, but {why}")

    def _take(self, frames: Iterable[RtspFrame]) -> None:
        for frame in frames:
            due = frame.placed_ns - self._buffer.epoch_ns
            lag = min(max(frame.arrived_ns - frame.placed_ns, 0), MAX_LAG_NS)
            if frame.kind == "audio":
                self._buffer.sound_lag_ns = lag
                self._take_sound(frame, due)
                continue
            self._buffer.picture_lag_ns = lag
            if self._passing:
                self._take_unit(frame, due)
            else:
                self._take_picture(frame, due)

    def _take_unit(self, frame: RtspFrame, due: int) -> None:
        self._whole = frame.keyframe or (self._whole and not frame.after_loss)
        if self._whole:
            unit = AccessUnit(frame.data, frame.keyframe)
            self._whole = self._buffer.put_unit(unit, due)

    def _take_picture(self, frame: RtspFrame, due: int) -> None:
        self._started = self._started or frame.keyframe
        if self._video is None or not self._started:
            return
        for decoded in _decoded(self._video, frame, due, self.source):
            if not isinstance(decoded, av.VideoFrame):
                continue
            self._interlaced = self._interlaced or decoded.interlaced_frame
            decoded.pts = due if decoded.pts is None else decoded.pts
            decoded.time_base = NANOSECOND
            for picture in self._deinterlacer.filter(decoded):
                self._show(picture, _time_of(picture, due))

    def _show(self, picture: av.VideoFrame, due: int) -> None:
        self._decoded += 1
        if self._video is None or not self._cap.accept(due):
            return
        if self._first:
            self.matrix = matrix_of(picture)
        scaled = self._scaler.scale(picture, self._video.sample_aspect_ratio, self.matrix)
        self._buffer.put_picture(Shown(scaled, deque([due])), drop_oldest=True)

    def _take_sound(self, frame: RtspFrame, due: int) -> None:
        if self._audio is None:
            return
        for sound in _decoded(self._audio, frame, due, self.source):
            if isinstance(sound, av.AudioFrame):
                run = self._converter.convert(sound)
                self._buffer.put_sound(due, run)
                due += len(run) * SECOND_NS // self._buffer.sound.rate


def _time_of(picture: av.VideoFrame, due: int) -> int:
    """Return a picture's media time, ns; a filter may count it in other units."""
    if picture.pts is None or picture.time_base is None:
        return due
    return to_ns(picture.pts, picture.time_base)


def _decoded(
    context: VideoCodecContext | AudioCodecContext, frame: RtspFrame, due: int, source: Source
) -> list[av.VideoFrame | av.AudioFrame]:
    packet = Packet(frame.data)
    packet.pts = packet.dts = due
    packet.time_base = NANOSECOND
    try:
        return cast("list[av.VideoFrame | av.AudioFrame]", context.decode(packet))
    except av.FFmpegError as error:
        log.debug("%s: damaged frame: %s", source.public, error)
        return []


def _video_decoder(stream: RtspSource) -> VideoCodecContext:
    context = cast("VideoCodecContext", av.CodecContext.create(stream.video_codec, "r"))
    context.thread_count = 2
    context.thread_type = ThreadType.SLICE  # frame threads hold a picture back
    context.flags |= Flags.low_delay
    context.options = {"skip_loop_filter": "noref"}
    return context


def _audio_decoder(stream: RtspSource) -> AudioCodecContext:
    context = cast("AudioCodecContext", av.CodecContext.create(stream.audio_codec, "r"))
    context.thread_count = 1
    context.sample_rate = stream.sample_rate
    with contextlib.suppress(ValueError):  # AAC says how many in its own words
        context.layout = "mono" if stream.channels == 1 else "stereo"
    if stream.audio_extra_data:
        context.extradata = stream.audio_extra_data
    context.open(strict=False)
    return context
