"""The orientation in a picture's EXIF."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from icey.media.exif import is_mirrored


def tiff(orientation, order=">", before=()):
    """Write a TIFF structure with an orientation behind other tags."""
    tags = [*before, (0x0112, 3, 1, orientation)]
    head = (b"MM" if order == ">" else b"II") + struct.pack(f"{order}HI", 42, 8)
    return (
        head
        + struct.pack(f"{order}H", len(tags))
        + b"".join(struct.pack(f"{order}HHIHxx", *tag) for tag in tags)
    )


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("marker", [b"Exif\0\0", b"eXIf"])
@pytest.mark.parametrize("orientation", range(10))
def test_mirrored(orientation, marker, order):
    """Four of the eight orientations are mirrored, in both orders of bytes."""
    data = b"\xff\xd8\xff\xe1.." + marker + tiff(orientation, order, [(0x010E, 3, 1, 5)])
    assert is_mirrored(data) == (orientation in {2, 4, 5, 7})


@given(st.binary(max_size=200))
def test_any_bytes(tail):
    """Damaged EXIF is upright, or anything else, but no error."""
    assert is_mirrored(b"Exif\0\0" + tail) in {True, False}
    assert is_mirrored(b"Exif\0\0MM\0*" + tail) in {True, False}
    assert not is_mirrored(tiff(5)[:12])
