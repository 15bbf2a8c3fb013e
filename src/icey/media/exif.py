"""The one thing that is read of a picture's EXIF: whether it is mirrored.

FFmpeg turns the orientation into a rotation, which is all that PyAV shows of it.
"""

from __future__ import annotations

import struct

_TAG, _SHORT = 0x0112, 3  # Exif 2.32 §4.6.4: Orientation, of type SHORT
_MIRRORED = frozenset({2, 4, 5, 7})
_WITHIN = 1 << 18
"""Bytes at a picture's beginning in which its EXIF is looked for."""


def is_mirrored(picture: bytes) -> bool:
    """Say whether a JPEG or PNG is to be flipped top to bottom before it is turned."""
    return _orientation(picture[:_WITHIN]) in _MIRRORED


def _orientation(data: bytes) -> int:
    """Return the orientation, 1 (upright) where none is given."""
    for marker in (b"Exif\0\0", b"eXIf"):
        at = data.find(marker)
        if at >= 0:
            return _first_directory(data[at + len(marker) :])
    return 1


def _first_directory(tiff: bytes) -> int:
    """Return the orientation in the first directory of a TIFF structure (TIFF 6.0 §2)."""
    order = {b"II": "<", b"MM": ">"}.get(tiff[:2])
    if order is None:
        return 1
    try:
        (start,) = struct.unpack_from(f"{order}I", tiff, 4)
        (count,) = struct.unpack_from(f"{order}H", tiff, start)
        for number in range(count):
            tag, kind, _, value = struct.unpack_from(f"{order}HHIH", tiff, start + 2 + 12 * number)
            if (tag, kind) == (_TAG, _SHORT):
                return int(value)
    except struct.error:  # it is cut off
        return 1
    return 1
