"""NAL units, read without FFmpeg."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from icey.media.h264 import is_plausible, nal_types


def test_nal_types():
    """Both lengths of start codes are found, in order."""
    unit = b"\0\0\0\1\x67aa\0\0\1\x68b\0\0\1\x65ccc"
    assert list(nal_types(unit)) == [7, 8, 5]


@given(st.binary(max_size=200))
def test_any_bytes(data):
    """Garbage gives types between 0 and 31, and an end."""
    assert all(0 <= kind <= 31 for kind in nal_types(data))


@pytest.mark.parametrize(
    ("width", "height", "is_so"),
    [
        (320, 240, True),
        (1080, 1920, True),
        (4096, 2304, True),
        (5120, 640, True),
        (320, 6688, False),
        (16_384, 128, False),
        (8704, 1088, False),
        (16_384, 16_384, False),
        (0, 240, False),
        (-16, 240, False),
    ],
)
def test_plausible_sizes(width, height, is_so):
    """Sizes of cameras and screens are taken, those that changed bytes announce are not."""
    assert is_plausible(width, height) == is_so
