"""Which ranges are answered."""

import pytest

from icey.server.ranges import range_counts

SIZE = 1000


@pytest.mark.parametrize(
    "header",
    [
        "bytes=0-0",
        "bytes=0-",
        "bytes=-1",
        "Bytes=0-5",
        " bytes=0-5 ",
        "bytes= 0-5",
        "bytes=0-5,10-20",
        "bytes=0-5 , -20",
        "bytes=999-5000",
        "bytes=-5000",
        "bytes=1000-",
        "bytes=1000-1001,2000-",
        "bytes=-0",
    ],
)
def test_answered(header):
    """Well-formed sets of ranges count, inside the file or as a whole outside of it."""
    assert range_counts("GET", header, SIZE)


@pytest.mark.parametrize(
    "header",
    [
        "",
        "bytes",
        "bytes=",
        "bytes=-",
        "bytes=x-",
        "bytes=5-4",
        "bytes=0-5,9-8",
        "bytes=0-5,",
        "bytes=1_0-",
        "bytes=+1-2",
        "bytes=--1",
        "bytes=²-",
        "bytes=٣-",
        "bytes=0-5;10-20",
        "bytes=0-5,1000-",
        "bytes=0-5,-0",
        "bytes=" + "9" * 5000 + "-",
        "items=0-5",
        "bytes 0-5",
    ],
)
def test_ignored(header):
    """Broken ranges, other units, and sets that lie partly outside are ignored."""
    assert not range_counts("GET", header, SIZE)


def test_only_get_has_ranges():
    """A range in any method but GET is ignored (RFC 9110 §14.2)."""
    assert not range_counts("HEAD", "bytes=0-5", SIZE)


def test_an_empty_file_has_no_ranges():
    """Every range of an empty file lies outside of it."""
    for header in ("bytes=0-", "bytes=-1", "bytes=-0"):
        assert range_counts("GET", header, 0)
