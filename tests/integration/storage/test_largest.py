"""The size in the header of a recording is that of pictures that decode."""

from __future__ import annotations

from icey.media.h264 import decodes, nal_units, parameter_sets
from icey.storage import largest as largest_module
from icey.storage.largest import MAX_FAILURES, LargestPicture
from integration.media.parameter_sets import sequence_set, unit
from integration.recording.played_source import Browser

SMALL, LARGE = (Browser(size).picture().data for size in ((320, 240), (640, 480)))
_, PPS, _, SLICE = nal_units(SMALL)


def hostile(columns, rows):
    """The picture of 320x240 behind parameter sets that announce another size."""
    return unit(sequence_set(columns, rows), PPS, SLICE)


def test_a_larger_picture_that_decodes_counts():
    """A browser that grows is followed; one that shrinks again changes nothing."""
    largest = LargestPicture(SMALL)
    largest.add(LARGE)
    largest.add(SMALL)
    assert (largest.sets.width, largest.sets.height) == (640, 480)
    assert (largest.declared.width, largest.declared.height) == (320, 240)


def test_announced_sizes_do_not_count():
    """Parameter sets of another size over the slices of a small picture are not believed."""
    largest = LargestPicture(SMALL)
    announced = hostile(256, 144)
    assert parameter_sets(announced, None).width == 4096
    largest.add(announced)
    assert largest.sets is largest.declared


def test_tries_are_few(monkeypatch):
    """Who goes on announcing sizes is not decoded any more."""
    tries = []

    def decode(keyframe, sets):
        tries.append(sets.area)
        return decodes(keyframe, sets)

    monkeypatch.setattr(largest_module, "decodes", decode)
    largest = LargestPicture(SMALL)
    for columns in range(30, 60):
        largest.add(hostile(columns, 30))
    assert len(tries) == MAX_FAILURES
    assert largest.sets is largest.declared
