"""Decoding a passed-through source for the detectors."""

from fractions import Fraction

import av
import numpy as np
import pytest

from icey.intelligence.decoding import UnitDecoder
from icey.intelligence.pixels import luma_of
from icey.intelligence.sample import Moment, UnitSample
from icey.media.passthrough import AccessUnit

COUNT = 20


@pytest.fixture(scope="module")
def units():
    """Twenty pictures, each brighter than the last; a keyframe each ten."""
    encoder = av.CodecContext.create("libx264", "w")
    encoder.width, encoder.height, encoder.pix_fmt = 64, 64, "yuv420p"
    encoder.options = {"preset": "ultrafast", "tune": "zerolatency", "x264-params": "keyint=10"}
    encoder.time_base = Fraction(1, 30)
    made = []
    for number in range(COUNT):
        picture = av.VideoFrame(64, 64, "yuv420p")
        for plane, value in zip(picture.planes, (40 + 8 * number, 128, 128), strict=True):
            np.frombuffer(memoryview(plane), np.uint8)[:] = value
        picture.pts = number
        for packet in encoder.encode(picture):
            unit = AccessUnit(bytes(packet), packet.is_keyframe)
            made.append(UnitSample(unit, Moment(number, number * 33_333, 0, 0)))
    assert [s.moment.number for s in made if s.unit.keyframe] == [0, 10]
    return made


def decoded(units):
    """The number of each picture that comes out, by its brightness; checked against its moment."""
    decoder, found = UnitDecoder(), []
    for sample in units:
        for out in decoder.decode(sample):
            number = round((float(luma_of(out.picture).mean()) - 40) / 8)
            assert number == out.moment.number
            found.append(number)
    return found


def test_each_unit_is_a_picture(units):
    """Every unit gives its picture at once, with its own moment."""
    decoder = UnitDecoder()
    for sample in units:
        assert [out.moment for out in decoder.decode(sample)] == [sample.moment]
    assert decoded(units) == list(range(COUNT))


def test_it_begins_at_a_keyframe(units):
    """What comes before the first keyframe is left out."""
    assert decoded(units[3:]) == list(range(10, COUNT))


def test_after_a_gap_it_waits_for_a_keyframe(units):
    """Where a unit was dropped, pictures that lean on it are not shown."""
    assert decoded(units[:4] + units[5:]) == [0, 1, 2, 3, *range(10, COUNT)]


def test_damage_is_no_failure(units):
    """A damaged unit costs pictures up to the next keyframe, and raises nothing."""
    bad = units[4]
    damaged = UnitSample(AccessUnit(b"\0\0\0\1\x65" + b"\xff" * 40, False), bad.moment)
    found = decoded([*units[:4], damaged])
    assert found[:4] == [0, 1, 2, 3]
    garbage = UnitSample(AccessUnit(b"nothing at all", True), Moment(0, 0, 0, 0))
    assert decoded([garbage]) == []
