"""Laying pictures into the frame that is sent."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from icey.media.scale import Fit, fit

HD = (1280, 720)


@pytest.mark.parametrize(
    ("size", "aspect", "rotation", "expected"),
    [
        ((1920, 1080), None, 0, Fit(1280, 720, 0, 0, 0)),
        ((640, 480), None, 0, Fit(960, 720, 160, 0, 0)),
        ((1920, 800), None, 0, Fit(1280, 534, 0, 92, 0)),
        ((720, 576), Fraction(64, 45), 0, Fit(1280, 720, 0, 0, 0)),
        ((1920, 1080), None, 90, Fit(406, 720, 436, 0, 90)),
        ((1920, 1080), None, -90, Fit(406, 720, 436, 0, 270)),
        ((1920, 1080), None, 180, Fit(1280, 720, 0, 0, 180)),
        ((853, 480), None, 0, Fit(1280, 720, 0, 0, 0)),
        ((640, 480), Fraction(0), 0, Fit(960, 720, 160, 0, 0)),
    ],
)
def test_fit(size, aspect, rotation, expected):
    """Known shapes are laid out as a player would."""
    result = fit(size, aspect, rotation, HD)
    assert result.turn == expected.turn
    assert abs(result.width - expected.width) <= 2
    assert abs(result.height - expected.height) <= 2
    assert abs(result.left - expected.left) <= 2
    assert abs(result.top - expected.top) <= 2


@given(
    st.tuples(st.integers(1, 8000), st.integers(1, 8000)),
    st.one_of(st.none(), st.fractions(Fraction(1, 50), 50)),
    st.integers(-180, 180),
    st.tuples(st.integers(16, 1920), st.integers(16, 1920)),
)
def test_fit_stays_inside(size, aspect, rotation, half):
    """Any picture lies inside the frame, on even pixels, touching two opposite edges."""
    target = half[0] * 2, half[1] * 2
    result = fit(size, aspect, rotation, target)
    assert 2 <= result.width <= target[0]
    assert 2 <= result.height <= target[1]
    assert result.left >= 0
    assert result.left + result.width <= target[0]
    assert result.top >= 0
    assert result.top + result.height <= target[1]
    assert not any(v % 2 for v in (result.width, result.height, result.left, result.top))
    assert result.width == target[0] or result.height == target[1]
