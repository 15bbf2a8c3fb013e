"""The demo picture: what machines read in it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from icey.media.demo import (
    BARS,
    STRIP_BLOCKS,
    STRIP_HEIGHT,
    DemoPicture,
    decode_strip,
    demo_sound,
    encode_strip,
)
from icey.media.picture import planes, yuv709


def read_strip(luma):
    """Sample the middle of each block, as a browser does."""
    height, width = luma.shape
    y = int(height * STRIP_HEIGHT / 2)
    return [float(luma[y, int((i + 0.5) * width / STRIP_BLOCKS)]) for i in range(STRIP_BLOCKS)]


@given(st.integers(0, (1 << 48) - 1))
def test_strip_round_trip(wall_ms):
    """Any time is read back as it was written."""
    assert decode_strip([200.0 if bit else 30.0 for bit in encode_strip(wall_ms)]) == wall_ms


@given(st.integers(0, (1 << 48) - 1), st.integers(0, STRIP_BLOCKS - 1))
def test_strip_with_a_wrong_block_is_refused(wall_ms, block):
    """A block misread does not pass the check."""
    bits = list(encode_strip(wall_ms))
    bits[block] = not bits[block]
    if len(set(bits)) == 2:
        assert decode_strip([float(bit) for bit in bits]) is None


@pytest.mark.parametrize("size", [(1280, 720), (640, 360), (320, 180), (854, 480)])
def test_strip_in_the_picture(size):
    """The strip of each drawn picture carries its time, also when drawn over the one before."""
    demo = DemoPicture(*size)
    for wall_ms in (1_700_000_000_000, 1_700_000_000_033, 1_999_999_999_999):
        picture = demo.draw(0, wall_ms)
        assert decode_strip(read_strip(planes(picture)[0])) == wall_ms


def test_bars_have_their_colours():
    """Each bar is the colour that `BARS` says, in the middle of its area."""
    y, u, v = planes(DemoPicture(1280, 720).draw(0, 0))
    for i, (_, rgb) in enumerate(BARS):
        x = int((i + 0.5) * 160)
        assert (y[200, x], u[100, x // 2], v[100, x // 2]) == yuv709(rgb)


def test_picture_moves():
    """Box, digits and square change; the drawing leaves no trails."""
    demo = DemoPicture(640, 360)
    first = planes(demo.draw(0, 0))[0].copy()
    moved = planes(demo.draw(1_500_000_000, 1_234))[0].copy()
    assert (first != moved).any()
    back = planes(demo.draw(4_000_000_000, 0))[0]
    assert np.array_equal(back, first)


@pytest.mark.parametrize("size", [(32, 32), (3840, 32), (32, 3840), (256, 144)])
def test_any_size_can_be_drawn(size):
    """The smallest and oddest sizes that a configuration allows are drawn."""
    picture = DemoPicture(*size).draw(123_456_789, 1_700_000_000_000)
    assert (picture.width, picture.height) == size


@pytest.mark.parametrize("channels", [1, 2])
def test_sound_is_a_tone_with_a_beep(channels):
    """A second of sound is loud in its first 100 ms and steady after them."""
    sound = demo_sound(48_000, channels)
    assert sound.shape == (48_000, channels)
    level = np.abs(sound[:, 0].astype(float)) / 32768
    assert level[:4800].mean() > 0.25
    assert 0.05 < level[4800:].mean() < 0.08
