"""Media time, in simulated time."""

import random
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from icey.media.timebase import (
    AUDIO_CLOCK,
    SECOND_NS,
    VIDEO_CLOCK,
    ArrivalClock,
    FrameGrid,
    KeyframeGate,
    RateCap,
    output_rate,
    to_ns,
    to_timestamp,
)

MS = 1_000_000


def test_timestamps_are_media_time_in_clock_units():
    """One second is 90000 units of video and 48000 of audio."""
    assert to_timestamp(SECOND_NS, VIDEO_CLOCK) == 90_000
    assert to_timestamp(20 * MS, AUDIO_CLOCK) == 960


def test_thirty_frames_a_second_have_equal_steps():
    """A day of frames at 30 fps is 3000 units apart, each of them."""
    grid = FrameGrid(Fraction(30))
    for tick in (0, 1, 2, 29, 30, 2_591_998):
        steps = [to_timestamp(grid.time(tick + i), VIDEO_CLOCK) for i in (0, 1)]
        assert steps[1] - steps[0] == 3000


def test_container_times_become_nanoseconds():
    """A time base of 1/90000 is exact to the nanosecond below."""
    assert to_ns(90_000, Fraction(1, 90_000)) == SECOND_NS
    assert to_ns(1, Fraction(1, 3)) == SECOND_NS // 3


@pytest.mark.parametrize(
    ("average", "guessed", "limit", "rate"),
    [
        (Fraction(30), Fraction(30), 30, Fraction(30)),
        (Fraction(25), Fraction(25), 30, Fraction(25)),
        (Fraction(30000, 1001), Fraction(30000, 1001), 30, Fraction(30000, 1001)),
        (Fraction(60), Fraction(60), 30, Fraction(30)),
        (Fraction(50), Fraction(50), 30, Fraction(30)),
        (Fraction(5), Fraction(5), 30, Fraction(15)),
        (Fraction(1), Fraction(1), 30, Fraction(15)),
        (Fraction(18), Fraction(60), 30, Fraction(30)),
        (None, Fraction(25), 30, Fraction(30)),
        (Fraction(25), None, 24, Fraction(24)),
        (Fraction(5), Fraction(5), 10, Fraction(10)),
    ],
)
def test_output_rate(average, guessed, limit, rate):
    """A steady source keeps its rate or a multiple of it; others get the limit."""
    assert output_rate(average, guessed, limit) == rate


def test_steady_source_maps_one_to_one_in_spite_of_rounding():
    """Times rounded to ms, as Matroska's are, neither repeat nor drop a frame."""
    grid = FrameGrid(Fraction(30))
    times = [round(n * 1000 / 30) * MS for n in range(1, 600)]
    assert [len(grid.cover(t)) for t in times] == [1] * len(times)


def test_faster_source_drops_every_other():
    """60 fps into 30 shows each second picture."""
    grid = FrameGrid(Fraction(30))
    shown = [len(grid.cover(n * SECOND_NS // 60)) for n in range(1, 601)]
    assert sum(shown) == 300
    assert set(shown) <= {0, 1}


def test_pause_in_the_source_repeats():
    """A picture that lasts a second is shown 30 times."""
    grid = FrameGrid(Fraction(30))
    assert len(grid.cover(SECOND_NS)) == 30
    assert grid.next_tick == 30


@given(st.lists(st.integers(0, 200 * MS), min_size=1, max_size=200))
def test_variable_rate_becomes_constant(steps):
    """Whatever the times, every tick is given out once, in order, near the picture's time."""
    grid = FrameGrid(Fraction(30))
    now, seen = 0, []
    for step in steps:
        start = now
        now += step
        ticks = grid.cover(now)
        seen += ticks
        assert all(start - 17 * MS <= grid.time(t) <= now + 17 * MS for t in ticks)
    assert seen == list(range(len(seen)))


@pytest.mark.parametrize(
    ("fps", "limit", "sent"), [(60, 30, 300), (30, 30, 300), (25, 30, 250), (50, 30, 300)]
)
def test_rate_cap_with_jitter(fps, limit, sent):
    """A live source is thinned to the limit, and jitter costs a slower one nothing."""
    chance = random.Random(3)
    cap = RateCap(limit)
    times = [n * SECOND_NS // fps + chance.randrange(4 * MS) for n in range(fps * 10)]
    accepted = sum(cap.accept(t) for t in times)
    assert abs(accepted - sent) <= sent * 0.02 + 1


def test_arrival_clock_removes_jitter():
    """Pictures that arrive with up to 40 ms of jitter get even times."""
    chance = random.Random(5)
    clock = ArrivalClock()
    placed = []
    for n in range(600):
        source = n * SECOND_NS // 30
        delay = 0 if n == 20 else chance.randrange(1, 40) * MS
        placed.append(clock.place(source, 5 * SECOND_NS + source + delay))
    steps = {b - a for a, b in pairwise(placed[21:251])}
    assert max(steps) - min(steps) <= 1


def test_arrival_clock_never_places_in_the_future():
    """What has arrived happened before."""
    clock = ArrivalClock()
    chance = random.Random(6)
    for n in range(300):
        arrival = n * SECOND_NS // 30 + chance.randrange(100) * MS
        assert clock.place(n * SECOND_NS // 30, arrival) <= arrival


def test_arrival_clock_follows_a_slow_source_clock():
    """A camera whose clock loses 200 ppm is never more than 10 ms off."""
    clock = ArrivalClock()
    for n in range(30 * 600):
        arrival = n * SECOND_NS // 30
        source = arrival * 999_800 // 1_000_000
        assert abs(clock.place(source, arrival) - arrival) < 10 * MS


def test_arrival_clock_follows_a_jump():
    """Timestamps that start anew are placed at their arrival."""
    clock = ArrivalClock()
    clock.place(1000 * SECOND_NS, SECOND_NS)
    assert clock.place(0, 2 * SECOND_NS) == 2 * SECOND_NS


def test_first_frame_is_a_keyframe():
    """A gate opens with the first frame."""
    assert KeyframeGate().due(0)


def test_keyframes_are_300_ms_apart():
    """A hundred requests in a second make four keyframes, and the last one is not lost."""
    gate = KeyframeGate()
    sent = []
    for ms in range(0, 1500, 10):
        if ms < 1000:
            gate.request()
        if gate.due(ms * MS):
            gate.sent(ms * MS)
            sent.append(ms)
    assert sent == [0, 300, 600, 900, 1200]


def test_unasked_keyframe_counts():
    """After a periodic keyframe a request waits as after any other."""
    gate = KeyframeGate()
    gate.sent(0)
    gate.request()
    assert not gate.due(200 * MS)
    assert gate.due(300 * MS)
