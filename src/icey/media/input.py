"""An opened source: FFmpeg's demuxer and decoders behind three calls that fail in one way.

Every call to a network or a device has a deadline (PyAV interrupts FFmpeg, `icey.media.v4l2` ends
the wait for a device), so a dead camera blocks its thread for `READ_TIMEOUT_S` at most. A file has
none: a disk answers or fails.
"""

from __future__ import annotations

import contextlib
import logging
import re
import time
from typing import TYPE_CHECKING, Literal, TypeAlias, cast

import av
import av.error
from av.codec.context import Flags, ThreadType
from av.stream import Discard, Disposition

from icey.errors import SourceError
from icey.media import srt, v4l2
from icey.media.camera import choose
from icey.media.exif import is_mirrored
from icey.media.packet import detached, identity
from icey.media.picture import mark_bt601
from icey.media.timebase import SECOND_NS, to_ns

if TYPE_CHECKING:
    from collections.abc import Sequence
    from fractions import Fraction
    from typing import Any

    from av.audio.stream import AudioStream
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.stream import VideoStream

    from icey._core import SrtReceiver
    from icey.config.model import VideoSettings
    from icey.media.source import Source

log = logging.getLogger(__name__)

OPEN_TIMEOUT_S = 5.0
"""Seconds that opening a URL may take, and finding out what it sends as much again."""

READ_TIMEOUT_S = 5.0
"""Seconds without a packet after which a live source counts as lost."""

MAX_DAMAGED = 150
"""Packets in a row that cannot be decoded before the source counts as broken: 5 s at 30 fps."""

_PROGRESSIVE = 1  # AVFieldOrder; 0 is unknown

_ANALYSIS = {"probesize": "500000", "analyzeduration": "500000", "fpsprobesize": "0"}
_OPTIONS: dict[str, dict[str, str]] = {
    # TCP, as lost UDP packets of a camera leave smears; then nothing is to be put in order.
    # The SDP says all that decoders need, so nothing is analysed: 0.1 s to the first picture. The
    # usual fflags=nobuffer throws away what was read for analysis, the first keyframe too: 1.1 s.
    "rtsp": {
        "max_delay": "0",
        "reorder_queue_size": "0",
        "probesize": "32",
        "analyzeduration": "0",
    },
    "rtmp": {**_ANALYSIS, "rtmp_live": "live"},
    "udp": {**_ANALYSIS, "overrun_nonfatal": "1"},
    "http": {},
}
"""FFmpeg's options by scheme (rtsps like rtsp and so on)."""

_IN_ORDER = frozenset({"max_delay", "reorder_queue_size"})
"""Those for packets that come in order."""

RtspTransport: TypeAlias = Literal["auto", "tcp", "udp"]

_INDEXED = frozenset({"mov", "matroska"})
"""FFmpeg's first names of the containers whose header knows the true length."""

_JUMPING = frozenset({"mpegts", "mpeg", "flv", "live_flv", "hls", "ogg", "asf", "nut"})
"""Likewise of those whose time stamps jump where somebody joined two."""

_BEFORE_ALL = -(2**50)
"""A time before that of any packet, µs. A seek to the time at which a container says that it starts
lands behind the first keyframe where pictures are not in the order in which they are shown."""

_APART_NS = 2 * SECOND_NS
"""How far from its start the first packet of a file may be, ns."""

_DURATION_TAG = re.compile(r"(\d+):(\d\d):(\d\d(?:\.\d{1,9})?)\d*")


class Input:
    """A source, open. Used by one thread at a time.

    Args:
        source: what to open; not ``demo:``.
        video: size and rate to ask a camera for; other sources give what they have.
        analyse: look into an RTSP stream for its profile, which takes half a second.
        transport: of RTSP: ``auto`` is TCP, or UDP where the camera refuses that.

    Attributes:
        video: the best video stream, None if there is none but a cover picture.
        audio: the best audio stream, None if there is none.
        mirrored: its picture is to be flipped top to bottom; known once it was read.

    Raises:
        SourceError: it cannot be opened, or holds neither pictures nor sound.
    """

    def __init__(
        self,
        source: Source,
        video: VideoSettings | None = None,
        *,
        analyse: bool = False,
        transport: RtspTransport = "auto",
    ) -> None:
        self.source = source
        self.mirrored = False
        self._damaged_in_a_row = 0
        self._receiver: SrtReceiver | None = None
        if source.scheme == "srt":
            self._receiver = srt.connect(source, READ_TIMEOUT_S)
        known = v4l2.descriptors(source.location) if source.scheme == "v4l2" else set()
        self._device: int | None = None  # of a V4L2 device: the descriptor, which is FFmpeg's
        try:
            self._container = _open(
                source, video, self._receiver, analyse=analyse, transport=transport
            )
        except BaseException as error:
            self._hang_up(error)
            raise
        try:
            self.video = self._pick_video()
            self.audio = cast("AudioStream | None", self._container.streams.best("audio"))
            self._streams = self._pick_streams()
            self._set_up_decoders()
            if source.scheme == "v4l2":
                self._device = min(v4l2.descriptors(source.location) - known, default=None)
            self._sd = self._device is not None and not v4l2.is_bt709(self._device)
        except BaseException as error:
            self._container.close()
            self._hang_up(error)
            raise
        self._packets = self._container.demux(self._streams)
        self._first: Packet[Any] | None = None  # read already to see whether a rewind worked
        self._beginning: tuple[object, ...] | None = None  # what the first packet ever was

    @property
    def sample_aspect(self) -> Fraction | None:
        """Width by height of a pixel of the video stream, None if unknown."""
        return self.video.sample_aspect_ratio if self.video is not None else None

    @property
    def start_ns(self) -> int:
        """The source time at which the container says that it starts, 0 if it does not."""
        return (self._container.start_time or 0) * 1000

    def begin_ns(self) -> int:
        """Return the source time at which it begins, before anything is read.

        That is the container's start, but where FFmpeg saw a jump within what it analysed: the
        start is then the lowest time of all.
        """
        if not self.jumps:
            return self.start_ns
        if self._first is None:
            self._first = self.read()
        first = self._first
        if first is None or first.pts is None:
            return self.start_ns
        at = to_ns(first.pts, first.time_base)
        return self.start_ns if abs(at - self.start_ns) < _APART_NS else at

    @property
    def jumps(self) -> bool:
        """Whether its container is one whose time stamps jump where two files were joined."""
        return self._format in _JUMPING

    @property
    def interlaced(self) -> bool:
        """Whether its pictures are said to be interlaced."""
        return self.video is not None and self.video.codec_context.field_order > _PROGRESSIVE

    @property
    def decoded_early(self) -> int | None:
        """How much earlier pictures are decoded than shown, in units of their time.

        None where the container has times of both.
        """
        if self._format != "avi" or self.video is None:
            return None
        return int(self.video.codec_context.has_b_frames)  # AVI counts time in pictures

    @property
    def is_image(self) -> bool:
        """Whether it is a picture (JPEG, PNG …), which has no end."""
        return self._format == "image2" or self._format.endswith("_pipe")

    def promised_ns(self) -> dict[int, int]:
        """Return when the played streams surely end, by what was written when they were complete.

        FFmpeg reports a film that was cut off as one that ends; only this tells them apart. What
        other streams promise (subtitles, a second language) is nobody's.

        Returns:
            Source times by the number of the stream, ns; none where the container does not know.
        """
        if self._format not in _INDEXED:
            return {}
        ends = {}
        for stream in self._streams:
            if (end := self._promised_end(stream)) is not None:
                ends[stream.index] = end
        duration = self._container.duration
        if not ends and duration and len(self._streams) == len(self._container.streams):
            ends[self._streams[0].index] = self._end_of(duration * 1000, self.start_ns)
        return ends

    def _promised_end(self, stream: VideoStream | AudioStream) -> int | None:
        if stream.time_base is None:
            return None
        start = to_ns(stream.start_time or 0, stream.time_base)
        if self._format == "matroska":
            # There a stream's duration is FFmpeg's guess, by that of the whole file.
            match = _DURATION_TAG.fullmatch(stream.metadata.get("DURATION", ""))
            if match is None:
                return None
            seconds = (int(match[1]) * 60 + int(match[2])) * 60 + float(match[3])
            return self._end_of(int(seconds * SECOND_NS), start)
        if not stream.duration or stream.duration < 0:
            return None
        return start + to_ns(stream.duration, stream.time_base)

    @staticmethod
    def _end_of(length_ns: int, start_ns: int) -> int:
        """Return the end by a length that some count from 0 and some from the start."""
        return length_ns if length_ns > start_ns else start_ns + length_ns

    @property
    def _format(self) -> str:
        return str(self._container.format.name.split(",")[0])

    def read(self) -> Packet[Any] | None:
        """Return the next packet of either stream; None at the end.

        At the end each stream first gives an empty packet, which makes `decode` give up what the
        decoder still holds.

        Raises:
            SourceError: FFmpeg cannot read on.
        """
        first, self._first = self._first, None
        if first is not None:
            return first
        packet = self._read()
        if self._beginning is None and packet is not None:
            self._beginning = identity(packet)
            self.mirrored = self.is_image and is_mirrored(bytes(packet))
        return packet

    def _read(self) -> Packet[Any] | None:
        if self.source.scheme == "v4l2":
            return self._read_device()
        packet = self._next()
        if packet is None and (reason := self._reason()):
            raise self.source.error(reason)
        return packet

    def _next(self) -> Packet[Any] | None:
        try:
            return next(self._packets, None)
        except av.FFmpegError as error:
            raise self.source.error(self._reason() or error) from None

    def _read_device(self) -> Packet[Any] | None:
        while True:
            if self._device is not None and not v4l2.wait(self._device, READ_TIMEOUT_S):
                raise self.source.error("no picture came in time")
            packet = self._next()
            if packet is None or packet.size:
                return None if packet is None else detached(packet)
            # The device says that it is damaged, or it has not the size of a picture.
            self._count_damaged("only damaged pictures come")

    def decode(self, packet: Packet[Any]) -> Sequence[av.VideoFrame | av.AudioFrame]:
        """Decode a packet; a damaged one gives nothing.

        Raises:
            SourceError: nothing could be decoded for `MAX_DAMAGED` packets.
        """
        try:
            frames = cast("list[av.VideoFrame | av.AudioFrame]", packet.decode())
        except av.error.EOFError:
            return []
        except av.FFmpegError as error:
            log.debug("%s: damaged packet: %s", self.source.public, error.strerror)
            self._count_damaged(error)
            return []
        if frames:
            self._damaged_in_a_row = 0
        if self._sd:
            for frame in frames:
                mark_bt601(frame)
        return frames

    def _count_damaged(self, error: av.FFmpegError | str) -> None:
        self._damaged_in_a_row += 1
        if self._damaged_in_a_row >= MAX_DAMAGED:
            raise self.source.error(error) from None

    def is_video(self, packet: Packet[Any]) -> bool:
        """Say whether a packet is the video stream's."""
        # An empty packet at the end has no number of its stream.
        return self.video is not None and packet.stream.index == self.video.index

    def rewind(self) -> None:
        """Go back to the beginning.

        What a seek finds differs from container to container: the first packet must be the one that
        was first before, or the source is opened again.

        Raises:
            SourceError: FFmpeg can neither seek nor open the source again.
        """
        self._packets.close()  # type: ignore[attr-defined] # it is a generator
        # Where packets of the streams overlap in the file a time finds the first that is complete.
        if self.jumps and self._seek(0, by_bytes=True):
            return
        if self._seek(_BEFORE_ALL) or self._seek(self._container.start_time or 0):
            return
        twin = Input(self.source)
        self._container.close()
        self._container, self._packets, self._first = twin._container, twin._packets, None
        self.video, self.audio, self._streams = twin.video, twin.audio, twin._streams

    def _seek(self, at: int, *, by_bytes: bool = False) -> bool:
        try:
            self._container.seek(at, unsupported_byte_offset=by_bytes)
            self._packets = self._container.demux(self._streams)
            # A web server without ranges lets the seek pass, and fails the first read after it.
            self._first = next(self._packets, None)
        except av.FFmpegError:
            return False
        return self._first is not None and identity(self._first) == self._beginning

    def close(self) -> None:
        """Free everything."""
        self._device = None
        with contextlib.suppress(av.FFmpegError):  # a socket that is broken already
            self._packets.close()  # type: ignore[attr-defined] # it is a generator
            self._container.close()
        self._hang_up()
        self.video = self.audio = self._first = None
        self._streams = []

    def _reason(self) -> str | None:
        """Why SRT ended the stream; FFmpeg only sees the end of a pipe."""
        return self._receiver.error() if self._receiver is not None else None

    def _hang_up(self, error: BaseException | None = None) -> None:
        """End SRT, if that is it; where opening failed as SRT ended, raise its reason instead."""
        receiver, self._receiver = self._receiver, None
        if receiver is None:
            return
        reason = receiver.error()
        receiver.close()
        if isinstance(error, SourceError) and reason:
            raise self.source.error(reason) from None

    def _pick_video(self) -> VideoStream | None:
        stream = cast("VideoStream | None", self._container.streams.best("video"))
        if stream is not None and stream.disposition & Disposition.attached_pic:
            return None  # a cover picture is no film
        return stream

    def _pick_streams(self) -> list[VideoStream | AudioStream]:
        streams = [stream for stream in (self.video, self.audio) if stream is not None]
        if not streams:
            raise self.source.error("it holds neither pictures nor sound")
        indices = {stream.index for stream in streams}
        for stream in self._container.streams:
            if stream.index not in indices:
                stream.discard = Discard.all
            elif stream.codec_context is None:
                raise self.source.error(f"FFmpeg has no decoder for its {stream.type}")
        return streams

    def _set_up_decoders(self) -> None:
        if self.audio is not None:
            self.audio.codec_context.thread_count = 1
        if self.video is None:
            return
        context = self.video.codec_context
        big = context.width * context.height > 1920 * 1088
        context.thread_count = 2 if big else 1
        # Pictures that no other needs stay unsmoothed: a tenth less CPU, and x264 coarsens more.
        context.options = {"skip_loop_filter": "noref"}
        if self.source.live:
            # Frame threads hold a picture back.
            context.thread_type = ThreadType.SLICE
            context.flags |= Flags.low_delay
            if context.name == "libdav1d":
                context.options |= {"max_frame_delay": "1"}
        else:
            context.thread_type = ThreadType.AUTO


def _open(
    source: Source,
    video: VideoSettings | None,
    receiver: SrtReceiver | None,
    *,
    analyse: bool,
    transport: RtspTransport,
) -> InputContainer:
    if source.kind == "file":
        # A picture's name is a name, whatever % and * are in it.
        return _av_open(source, f"file:{source.location}", None, {"pattern_type": "none"})
    if receiver is not None:
        return _av_open(source, f"pipe:{receiver.fileno()}", "mpegts", _ANALYSIS)
    if source.kind == "url":
        plain = source.scheme if source.scheme in _OPTIONS else source.scheme[:-1]
        timeout = str(int(READ_TIMEOUT_S * 1_000_000))
        name = "timeout" if plain in {"rtsp", "udp"} else "rw_timeout"
        options = _OPTIONS[plain] | (_ANALYSIS if analyse else {}) | {name: timeout}
        if plain == "rtsp":
            return _open_rtsp(source, options, transport)
        return _av_open(source, source.location, None, options)
    return _open_device(source, video)


def _open_rtsp(source: Source, options: dict[str, str], transport: RtspTransport) -> InputContainer:
    first = "udp" if transport == "udp" else "tcp"
    try:
        return _av_open(source, source.location, None, options | {"rtsp_transport": first})
    except SourceError as error:
        # FFmpeg's words for 461, RTSP's for a transport that the camera does not take.
        if transport != "auto" or "Protocol not supported" not in error.detail:
            raise
    # Datagrams may overtake each other.
    options = {key: value for key, value in options.items() if key not in _IN_ORDER}
    return _av_open(source, source.location, None, options | {"rtsp_transport": "udp"})


def _open_device(source: Source, video: VideoSettings | None) -> InputContainer:
    """Open a camera in the mode that fits best, else in the one that it is in."""
    if video is None:
        return _av_open_device(source, {})
    options = {"video_size": f"{video.width}x{video.height}", "framerate": str(video.fps)}
    if source.scheme == "v4l2":
        try:
            mode = choose(v4l2.read_modes(source.location, video), video)
        except OSError as error:
            raise source.error(error) from None
        if mode is not None:
            size, rate = f"{mode.width}x{mode.height}", str(mode.fps or video.fps)
            options = {"input_format": mode.format, "video_size": size, "framerate": rate}
    try:
        return _av_open_device(source, options)
    except SourceError as error:
        # Only a refused mode is worth another try, not a missing or busy camera.
        if "Invalid argument" not in error.detail:
            raise
    return _av_open_device(source, {})


def _av_open_device(source: Source, options: dict[str, str]) -> InputContainer:
    if source.scheme != "v4l2":
        return _av_open(source, source.location, source.scheme, options)
    with v4l2.deadline(source.location, OPEN_TIMEOUT_S) as over:
        container = _av_open(source, source.location, "v4l2", options)
    if over.is_set():
        container.close()
        raise source.error("no picture came in time")
    return container


def _av_open(
    source: Source, location: str, format_name: str | None, options: dict[str, str]
) -> InputContainer:
    timeout = None if source.kind == "file" else (OPEN_TIMEOUT_S, READ_TIMEOUT_S)
    started = time.monotonic()
    try:
        return av.open(location, format=format_name, options=options, timeout=timeout)
    except (av.FFmpegError, ValueError, UnicodeError) as error:
        if timeout is not None and time.monotonic() - started >= OPEN_TIMEOUT_S:
            # What FFmpeg says of a call that was interrupted differs from protocol to protocol.
            raise source.error("no answer in time") from None
        raise source.error(error) from None
