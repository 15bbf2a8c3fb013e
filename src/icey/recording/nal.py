"""H.264 access units in Annex B, as far as a recorder looks into them."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import av
from av.error import FFmpegError

from icey.recording.boxes import ParameterSets

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["annex_b", "nal_units", "parameter_sets"]

SPS, PPS = 7, 8  # H.264 table 7-1


def nal_units(access_unit: bytes) -> Iterator[bytes]:
    """Yield the NAL units of an access unit without their start codes (H.264 §B.1)."""
    start = access_unit.find(b"\0\0\1")
    while start >= 0:
        following = access_unit.find(b"\0\0\1", start + 3)
        unit = access_unit[start + 3 : following if following >= 0 else None]
        yield unit.rstrip(b"\0") if following >= 0 else unit
        start = following


def annex_b(sample: bytes) -> bytes:
    """Turn a sample of an MP4, NAL units behind lengths of 4 bytes, into Annex B."""
    units = []
    at = 0
    while at + 4 <= len(sample):
        length = int.from_bytes(sample[at : at + 4], "big")
        units.append(b"\0\0\0\1" + sample[at + 4 : at + 4 + length])
        at += 4 + length
    return b"".join(units)


def parameter_sets(access_unit: bytes, known: ParameterSets | None) -> ParameterSets | None:
    """Read the parameter sets of a keyframe.

    Args:
        access_unit: an IDR with its SPS and PPS.
        known: those of the keyframe before, which are returned where nothing has changed: FFmpeg
            is only asked about new ones.

    Returns:
        None where there are none, or where FFmpeg makes nothing of them.
    """
    # The sets come first; a slice of a keyframe is long, and is not looked through.
    units = [unit for unit in nal_units(access_unit[:4096]) if unit]
    sequence = next((unit for unit in units if unit[0] & 31 == SPS), None)
    picture = next((unit for unit in units if unit[0] & 31 == PPS), None)
    if sequence is None or picture is None or len(sequence) < 4:
        return None
    if known is not None and (known.sequence, known.picture) == (sequence, picture):
        return known
    try:
        with av.open(io.BytesIO(access_unit), format="h264") as container:
            context = container.streams.video[0].codec_context
            size = context.width, context.height
    except (FFmpegError, IndexError):
        return None
    return ParameterSets(sequence, picture, *size) if all(size) else None
