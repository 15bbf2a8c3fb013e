"""NAL units, read without FFmpeg."""

from hypothesis import given
from hypothesis import strategies as st

from icey.media.h264 import nal_types


def test_nal_types():
    """Both lengths of start codes are found, in order."""
    unit = b"\0\0\0\1\x67aa\0\0\1\x68b\0\0\1\x65ccc"
    assert list(nal_types(unit)) == [7, 8, 5]


@given(st.binary(max_size=200))
def test_any_bytes(data):
    """Garbage gives types between 0 and 31, and an end."""
    assert all(0 <= kind <= 31 for kind in nal_types(data))
