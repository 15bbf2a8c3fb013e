"""The one reader of H.264: NAL units in Annex B, and parameter sets (ITU-T H.264).

Only what copying needs is read here; FFmpeg does the rest.
"""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import av
from av.error import FFmpegError

if TYPE_CHECKING:
    from av.container import InputContainer

IDR, SPS, PPS = 5, 7, 8  # H.264 table 7-1
SLICES = frozenset(range(1, 6))

MAX_PIXELS = 36_864 * 256
"""Of a picture: what level 5.1 allows (table A-1), 4096x2304. A few bytes of a sender can announce
a picture of 16384x16384, for which a decoder would allocate 400 MB."""

LONGEST_SIDE = 16 * 543
"""px: √(8 MaxFS) macroblocks of level 5.2 (§A.3.1), the longest side that level allows."""

LONGEST_RATIO = 8
"""Of the longer side to the shorter. No camera and no screen sends a picture of 320x6688, but some
changed bytes of a parameter set announce one, and the header of a recording would say so."""

SETS_WITHIN = 4096
"""Bytes of a keyframe in which its parameter sets are looked for."""


@dataclass(frozen=True, slots=True)
class ParameterSets:
    """An SPS and a PPS without start codes, and the size that they give a picture, px."""

    sequence: bytes
    picture: bytes
    width: int
    height: int

    @property
    def area(self) -> int:
        """Pixels of a picture."""
        return self.width * self.height

    def configuration(self) -> bytes:
        """Return an ``avcC`` box's content (ISO/IEC 14496-15 §5.3.3.1), NAL lengths of 4 bytes."""
        return (
            bytes([1, *self.sequence[1:4], 0xFF, 0xE1])
            + struct.pack(">H", len(self.sequence))
            + self.sequence
            + b"\x01"
            + struct.pack(">H", len(self.picture))
            + self.picture
        )


def nal_units(access_unit: bytes) -> list[bytes]:
    """Return the NAL units of an access unit without their start codes (H.264 §B.1)."""
    _, *units = access_unit.split(b"\0\0\1")
    return [unit.rstrip(b"\0") for unit in units[:-1]] + units[-1:]


def nal_types(access_unit: bytes) -> list[int]:
    """Return the types of the NAL units of an access unit, in order (H.264 §7.4.1)."""
    return [unit[0] & 0x1F for unit in nal_units(access_unit) if unit]


def annex_b(sample: bytes) -> bytes:
    """Turn a sample of an MP4, NAL units behind lengths of 4 bytes, into Annex B."""
    units = []
    at = 0
    while at + 4 <= len(sample):
        length = int.from_bytes(sample[at : at + 4], "big")
        units.append(b"\0\0\0\1" + sample[at + 4 : at + 4 + length])
        at += 4 + length
    return b"".join(units)


def open_unit(access_unit: bytes) -> InputContainer:
    """Have FFmpeg look at one access unit, within `MAX_PIXELS`.

    Raises:
        FFmpegError: it is not H.264.
    """
    limit = {"max_pixels": str(MAX_PIXELS)}
    # PyAV's stub has the wrong type for what is a dictionary for each stream.
    options: Any = [limit]
    return av.open(io.BytesIO(access_unit), "r", format="h264", stream_options=options)


def parameter_sets(access_unit: bytes, known: ParameterSets | None) -> ParameterSets | None:
    """Read the parameter sets of a keyframe.

    Args:
        access_unit: an IDR with its SPS and PPS.
        known: those of the keyframe before, which are returned where nothing has changed: FFmpeg
            is only asked about new ones.

    Returns:
        None where there are none, where FFmpeg makes nothing of them, or where the picture is
        too large.
    """
    # The sets come first; a slice of a keyframe is long, and is not looked through.
    units = [unit for unit in nal_units(access_unit[:SETS_WITHIN]) if unit]
    if len(access_unit) > SETS_WITHIN:
        units = units[:-1]  # it is cut off
    sequence = next((unit for unit in units if unit[0] & 0x1F == SPS), None)
    picture = next((unit for unit in units if unit[0] & 0x1F == PPS), None)
    if sequence is None or picture is None or len(sequence) < 4:
        return None
    if known is not None and (known.sequence, known.picture) == (sequence, picture):
        return known
    try:
        with open_unit(access_unit) as container:
            context = container.streams.video[0].codec_context
            width, height = context.width, context.height
    except (FFmpegError, IndexError):
        return None
    if not is_plausible(width, height):
        return None
    return ParameterSets(sequence, picture, width, height)


def decodes(access_unit: bytes, sets: ParameterSets) -> bool:
    """Say whether a keyframe decodes without a fault into a picture of the size of its sets."""
    decoder = av.CodecContext.create("h264", "r")
    decoder.thread_count = 1
    decoder.options = {"max_pixels": str(MAX_PIXELS), "err_detect": "explode"}
    try:
        pictures = [*decoder.decode(av.Packet(access_unit)), *decoder.decode(None)]
    except FFmpegError:
        return False
    return any(
        isinstance(picture, av.VideoFrame)
        and (picture.width, picture.height) == (sets.width, sets.height)
        and not picture.is_corrupt
        for picture in pictures
    )


def is_plausible(width: int, height: int) -> bool:
    """Say whether a camera, a screen or an encoder sends pictures of this size, px."""
    shorter, longer = sorted((width, height))
    return (
        0 < width * height <= MAX_PIXELS
        and longer <= LONGEST_SIDE
        and longer <= LONGEST_RATIO * shorter
    )
