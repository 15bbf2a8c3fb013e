"""Looking into access units; FFmpeg reads the parameter sets."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from icey.media.h264 import annex_b, nal_units, parameter_sets
from integration.media.parameter_sets import sequence_set, unit
from integration.recording.played_source import Browser

MEASURE = """
import resource, sys
from icey.media.h264 import parameter_sets
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
parameter_sets(bytes.fromhex(sys.argv[1]), None)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""

KEYFRAME = Browser((320, 240)).picture().data
SPS, PPS, _, SLICE = nal_units(KEYFRAME)


def test_the_sets_of_a_keyframe():
    """Both sets as they are, and the size of the picture without what is cropped."""
    sets = parameter_sets(KEYFRAME, None)
    assert (sets.sequence, sets.picture) == (SPS, PPS)
    assert (sets.width, sets.height) == (320, 240)
    assert parameter_sets(Browser((318, 178)).picture().data, None).height == 178


def test_sets_that_are_known_are_not_read_again():
    """The same sets give the same object; others are read."""
    sets = parameter_sets(KEYFRAME, None)
    assert parameter_sets(KEYFRAME, sets) is sets
    other = parameter_sets(Browser((160, 120)).picture().data, sets)
    assert (other.width, other.height) == (160, 120)


def test_a_long_keyframe_is_read_at_its_beginning():
    """Sets are found in front of a slice of any length; one that is cut off is none."""
    long = unit(SPS, PPS, SLICE + b"\x55" * 100_000)
    assert parameter_sets(long, None).picture == PPS
    late = unit(b"\x06" + b"\x11" * 4080, SPS + b"\x55" * 200, PPS)
    assert parameter_sets(late, None) is None


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0\0\1",
        unit(SLICE),
        unit(SPS),
        unit(PPS, SLICE),
        unit(b"\x67", PPS),
        unit(b"\x67abc", PPS),
    ],
    ids=["empty", "start code", "slice", "no PPS", "no SPS", "short SPS", "broken SPS"],
)
def test_what_has_no_sets(data):
    """Anything less than both sets is none."""
    assert parameter_sets(data, None) is None


@pytest.mark.parametrize(
    ("columns", "rows"), [(900, 900), (512, 512), (1023, 4), (4, 1023), (20, 418)]
)
def test_a_huge_picture_is_refused_and_allocates_nothing(columns, rows):
    """A few bytes announce a picture of 14400x14400 or 320x6688: no sets, and no memory for it."""
    data = unit(sequence_set(columns, rows), PPS, SLICE)
    assert parameter_sets(data, None) is None
    # Alone in a process, as what others leave behind takes memory too.
    grown = subprocess.run(
        [sys.executable, "-c", MEASURE, data.hex()], check=True, capture_output=True, text=True
    )
    assert int(grown.stdout) < 64 * 1024  # KiB


@given(st.binary(max_size=300))
@settings(max_examples=100, deadline=None)
def test_anything_may_come(data):
    """No bytes are an error: behind good start codes neither."""
    assert all(isinstance(found, bytes) for found in nal_units(data))
    parameter_sets(data, None)
    parameter_sets(unit(SPS + data, PPS, data), None)


@given(
    st.lists(
        st.binary(min_size=1, max_size=40).map(lambda b: b.replace(b"\0", b"\x11")), max_size=5
    )
)
def test_units_come_apart_as_they_were_put_together(units):
    """From lengths to start codes and back."""
    sample = b"".join(len(one).to_bytes(4, "big") + one for one in units)
    assert list(nal_units(annex_b(sample))) == units


@given(st.binary(max_size=60))
def test_lengths_that_lie_are_no_error(sample):
    """A sample whose lengths lead out of it gives what is there."""
    assert len(annex_b(sample)) <= 2 * len(sample) + 8
