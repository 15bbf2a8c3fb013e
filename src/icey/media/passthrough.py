"""Sending the H.264 of a source as it is: no decoder, no encoder, no change of bitrate.

Possible where browsers can decode what the source has (8 bit 4:2:0, Main or High at most), in
the order in which it is shown (no B-frames, as WebRTC has no reordering), and upright.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

import av
from av.bitstream import BitStreamFilterContext
from av.packet import Packet

from icey.media.h264 import IDR, PPS, SLICES, SPS, nal_types
from icey.media.scale import Scaler, matrix_of

if TYPE_CHECKING:
    from av.video.codeccontext import VideoCodecContext
    from av.video.stream import VideoStream

    from icey.media.input import Input

log = logging.getLogger(__name__)

PROFILES = frozenset({"Baseline", "Constrained Baseline", "Main", "High"})
"""What every browser decodes, though only Constrained Baseline is negotiated."""

MAX_KEYFRAME_GAP_S = 5.0
"""Seconds between keyframes beyond which ``auto`` encodes: a lost packet would freeze the picture
that long, as nobody can ask a file for a keyframe."""

MAX_GROUP_BYTES = 4 << 20
"""Bytes kept of a passed-through live source since its last keyframe; 4 MiB is 16 s at 2 Mb/s."""


@dataclass(frozen=True, slots=True)
class AccessUnit:
    """One coded picture in Annex B; a keyframe is an IDR with its SPS and PPS before it."""

    data: bytes
    keyframe: bool


def obstacle(stream: VideoStream) -> str | None:
    """Say why a video stream cannot be passed through; None where it can."""
    return obstacle_of(stream.codec_context)


def obstacle_of(context: VideoCodecContext) -> str | None:
    """Say why what a decoder has seen cannot be passed through; None where it can."""
    if context.name != "h264":
        return f"the source is {context.name}, not h264"
    if context.profile not in PROFILES:
        return f"browsers do not decode the H.264 profile {context.profile}"
    if context.pix_fmt not in {"yuv420p", "yuvj420p"}:
        return f"browsers do not decode {context.pix_fmt}"
    if context.has_b_frames:
        return "the source has B-frames"
    return None


def keyframe_gap_s(stream: VideoStream) -> float | None:
    """Return the longest time between keyframes by the container's index, s; None if unknown."""
    if stream.time_base is None:
        return None
    times = [entry.timestamp for entry in stream.index_entries if entry.is_keyframe]
    if stream.duration is not None and times:
        times.append(times[0] + stream.duration)
    gaps = [later - earlier for earlier, later in pairwise(times)]
    return float(max(gaps) * stream.time_base) if gaps else None


class AnnexB:
    """Turns packets of a container into access units in Annex B, headers before each IDR.

    MP4 keeps the headers apart, MPEG-TS repeats them in the stream, RTSP says them once in its SDP:
    the two filters of FFmpeg make all three alike.
    """

    def __init__(self, stream: VideoStream) -> None:
        self._to_annexb = BitStreamFilterContext("h264_mp4toannexb", stream)
        headers = stream.codec_context.extradata or b""
        # Where it is avcC, the filter knows it.
        self._headers = headers if headers.startswith((b"\0\0\1", b"\0\0\0\1")) else b""

    def convert(self, packet: Packet[VideoStream]) -> AccessUnit | None:
        """Return the packet's access unit; None where it holds no picture or is damaged."""
        if not packet.size:
            return None
        try:
            data = b"".join(bytes(out) for out in self._to_annexb.filter(packet))
        except av.FFmpegError as error:
            log.debug("damaged packet: %s", error)
            return None
        types = set(nal_types(data))
        if types.isdisjoint(SLICES):  # what a server that died had got as far as sending
            return None
        keyframe = IDR in types
        if keyframe and not {SPS, PPS} <= types:
            data = self._headers + data
            keyframe = bool(self._headers)
        return AccessUnit(data, keyframe)


class LastGroup:
    """Keeps what was sent since the last keyframe, to show its last picture when a source is lost.

    A group larger than `MAX_GROUP_BYTES` is not kept: its last picture is then black.
    """

    def __init__(self) -> None:
        self._units: list[bytes] = []
        self._bytes = 0

    def add(self, unit: AccessUnit) -> None:
        """Note a unit that was sent."""
        if unit.keyframe:
            self._units, self._bytes = [], 0
        elif not self._units:
            return
        self._bytes += len(unit.data)
        if self._bytes > MAX_GROUP_BYTES:
            self._units = []
        else:
            self._units.append(unit.data)

    def replace(self, units: list[bytes]) -> None:
        """Take a group that was kept elsewhere, from its keyframe on."""
        self._units, self._bytes = units, sum(map(len, units))

    def last_picture(self, width: int, height: int) -> av.VideoFrame | None:
        """Decode the group, once, and return its last picture in this size; None without any."""
        decoder = av.CodecContext.create("h264", "r")
        decoder.thread_count = 1
        last = None
        units, self._units = self._units, []
        try:
            for data in [*map(Packet, units), None]:
                for frame in decoder.decode(data):
                    last = frame
        except av.FFmpegError as error:
            log.debug("the last picture is damaged: %s", error)
        if last is None:
            return None
        return Scaler(width, height).scale(last, None, matrix_of(last))


def open_passthrough(
    opened: Input,
    wanted: bool | Literal["auto"],  # noqa: FBT001 - the setting's own type
) -> AnnexB | None:
    """Decide whether a source just opened is passed through (``media.passthroughVideo``).

    Returns:
        The filter for its packets; None where it is decoded.

    Raises:
        SourceError: the setting is true and the source does not allow it.
    """
    if not wanted or opened.video is None:
        return None
    why = obstacle(opened.video) or _rotation_obstacle(opened)
    gap = keyframe_gap_s(opened.video)
    if why is None and wanted == "auto" and gap is not None and gap > MAX_KEYFRAME_GAP_S:
        why = f"the source has keyframes {gap:.0f} s apart"
    if why is None:
        return AnnexB(opened.video)
    if wanted == "auto":
        log.info("%s: encoding, as %s", opened.source.public, why)
        return None
    raise opened.source.error(f"media.passthroughVideo is true, but {why}")


def _rotation_obstacle(opened: Input) -> str | None:
    """Look at the first picture of a file; only a decoded one says how it is turned."""
    if opened.source.live:
        return None
    packets = filter(opened.is_video, iter(opened.read, None))
    first = next((frame for packet in packets for frame in opened.decode(packet)), None)
    rotation = first.rotation if isinstance(first, av.VideoFrame) else 0
    opened.rewind()
    return "the source is to be rotated" if rotation else None
