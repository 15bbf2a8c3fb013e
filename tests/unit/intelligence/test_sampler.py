"""Which frames a detector gets."""

import pytest

from icey.intelligence.sampler import Sampler

THIRTY_FPS = [number * 1_000_000 // 30 for number in range(60)]


def chosen(sampler, times):
    """The indices of the frames that are chosen."""
    return [index for index, time in enumerate(times) if sampler.accept(time)]


@pytest.mark.parametrize(
    ("every", "interval", "expected"),
    [
        (1, 0, list(range(60))),
        (6, 0, list(range(0, 60, 6))),
        (6, 200_000, list(range(0, 60, 6))),
        (1, 200_000, list(range(0, 60, 6))),
        (1, 210_000, list(range(0, 60, 7))),
        (10, 100_000, list(range(0, 60, 10))),
        (1, 60_000_000, [0]),
    ],
)
def test_both_limits_hold(every, interval, expected):
    """A frame is chosen where it is the n-th and the interval is over; the first always is."""
    assert chosen(Sampler(every, interval), THIRTY_FPS) == expected


def test_late_frames_do_not_shift_the_rest():
    """After a pause the next frame is chosen at once."""
    assert chosen(Sampler(1, 200_000), [0, 100_000, 5_000_000, 5_100_000, 5_200_000]) == [0, 2, 4]


def test_time_that_goes_back():
    """A stream that begins anew is sampled at once."""
    assert chosen(Sampler(1, 200_000), [5_000_000, 0, 100_000, 200_000]) == [0, 1, 3]
