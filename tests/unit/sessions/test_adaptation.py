"""The bitrate of each encoder, and the viewers of each."""

from hypothesis import given
from hypothesis import strategies as st

from icey.sessions.adaptation import MINIMUM_BITRATE, LanePlan, Move

MAXIMUM = 2_000_000
AUDIO = 128_000


def plan(lanes: int = 3) -> LanePlan:
    return LanePlan(maximum=MAXIMUM, audio=AUDIO, lanes=lanes)


def run(lanes: LanePlan, start: float, seconds: float) -> list[Move]:
    """Step the plan ten times a second, as the sessions do."""
    moves = []
    for step in range(int(seconds * 10)):
        now = start + step / 10
        moves += lanes.plan(now)
        lanes.rates(now)
    return moves


def test_starts_at_the_configured_bitrate():
    """Before anybody has reported anything, a lane runs at the configured bitrate."""
    lanes = plan()
    lane = lanes.join(1, 0.0)
    assert lanes.rates(0.1) == {lane: MAXIMUM}


def test_falls_at_once():
    """The rate is down at the first step after a low estimate, audio and headers taken off."""
    lanes = plan()
    lane = lanes.join(1, 0.0)
    lanes.estimate(1, 800_000)
    assert lanes.rates(0.1)[lane] == int(800_000 * 0.85) - AUDIO


def test_rises_gently():
    """After a fall the rate waits a second, then grows by 8 % a second, not faster."""
    lanes = plan()
    lane = lanes.join(1, 0.0)
    lanes.estimate(1, 500_000)
    low = lanes.rates(0.1)[lane]
    lanes.estimate(1, 800_000)
    assert lanes.rates(0.5)[lane] == low
    run(lanes, 1.1, 5.0)
    after = lanes.rates(6.1)[lane]
    assert low * 1.3 < after < low * 1.55
    run(lanes, 6.2, 60.0)
    assert lanes.rates(67.0)[lane] == int(800_000 * 0.85) - AUDIO


def test_returns_faster_below_half_of_what_is_carried():
    """A path that is wide again has its rate back in 15 s, in steps that the estimate watches."""
    lanes = plan()
    lane = lanes.join(1, 0.0)
    lanes.estimate(1, 300_000)
    low = lanes.rates(0.1)[lane]
    lanes.estimate(1, 5_000_000)
    run(lanes, 0.2, 4.0)
    assert low * 2 < lanes.rates(4.1)[lane] < low * 3
    run(lanes, 4.1, 13.0)
    assert lanes.rates(17.2)[lane] == MAXIMUM


def test_a_start_on_trust_ends_with_the_first_estimates():
    """A new viewer begins low, and has what its path carries at once; later rises are gentle."""
    lanes = LanePlan(maximum=MAXIMUM, audio=AUDIO, lanes=1, start=800_000)
    lane = lanes.join(1, 0.0)
    begin = int(800_000 * 0.85) - AUDIO
    assert lanes.start_rate == begin
    assert lanes.rates(0.1) == {lane: begin}
    lanes.estimate(1, 800_000)
    assert lanes.rates(0.2) == {lane: begin}
    lanes.estimate(1, 2_600_000)
    assert lanes.rates(0.3) == {lane: MAXIMUM}
    lanes.estimate(1, 1_000_000)
    low = lanes.rates(0.4)[lane]
    lanes.estimate(1, 2_600_000)
    assert lanes.rates(0.5) == {lane: low}


def test_an_estimate_that_wavers_is_no_fall():
    """A dip of a twentieth in the first second does not cost the quick start."""
    lanes = LanePlan(maximum=MAXIMUM, audio=AUDIO, lanes=1, start=800_000)
    lane = lanes.join(1, 0.0)
    lanes.estimate(1, 770_000)
    assert lanes.rates(0.1)[lane] < lanes.start_rate
    lanes.estimate(1, 2_600_000)
    assert lanes.rates(0.2) == {lane: MAXIMUM}


def test_the_floor_is_no_trap():
    """A browser's estimate rises to half more than it receives: from the floor the rate gets up."""
    lanes = plan()
    lane = lanes.join(1, 0.0)
    lanes.audio = 40_000
    lanes.estimate(1, 100_000)
    rate = lanes.rates(0.1)[lane]
    assert rate == MINIMUM_BITRATE
    for second in range(2, 60):
        lanes.estimate(1, round(1.5 * (rate + lanes.audio)))
        rate = lanes.rates(float(second))[lane]
    assert rate == MAXIMUM


def test_never_below_the_floor():
    """An estimate of nothing leaves a picture of 150 kb/s."""
    lanes = plan()
    lane = lanes.join(1, 0.0)
    lanes.estimate(1, 0)
    assert lanes.rates(0.1)[lane] == MINIMUM_BITRATE


def test_slow_viewer_gets_a_lane_of_its_own():
    """A viewer that carries less than half moves away, and the others keep their rate."""
    lanes = plan()
    for viewer in (1, 2, 3):
        lanes.join(viewer, 0.0)
    fast = lanes.lane_of(1)
    lanes.estimate(1, 4_000_000)
    lanes.estimate(2, 4_000_000)
    lanes.estimate(3, 400_000)
    assert lanes.rates(0.1)[fast] == MAXIMUM
    moves = run(lanes, 0.2, 3.0)
    assert [move.viewer for move in moves] == [3]
    slow = lanes.lane_of(3)
    assert slow != fast
    assert lanes.rates(3.3) == {fast: MAXIMUM, slow: int(400_000 * 0.85) - AUDIO}


def test_a_viewer_without_an_estimate_is_not_slowed_down():
    """Chromium sends no REMB while all is well: such a viewer keeps its rate beside a slow one."""
    lanes = plan()
    lanes.join(1, 0.0)
    lanes.join(2, 0.0)
    fast = lanes.lane_of(1)
    lanes.estimate(2, 400_000)
    assert lanes.rates(0.1) == {fast: MAXIMUM}
    moves = run(lanes, 0.2, 3.0)
    assert [move.viewer for move in moves] == [2]
    assert lanes.rates(3.3)[fast] == MAXIMUM


def test_slow_viewer_climbs_back():
    """A viewer whose path carries the fast lane for five seconds returns, and its lane is gone."""
    lanes = plan()
    for viewer in (1, 2):
        lanes.join(viewer, 0.0)
        lanes.estimate(viewer, 4_000_000)
    fast = lanes.lane_of(1)
    lanes.estimate(2, 300_000)
    run(lanes, 0.0, 3.0)
    lanes.estimate(2, 4_000_000)
    moves = run(lanes, 3.0, 8.0)
    assert moves == [Move(2, fast)]
    assert lanes.lanes == {fast}


def test_lanes_are_limited():
    """With no lane left to open, a slow viewer joins the slowest lane there is."""
    lanes = plan(lanes=2)
    for viewer, bitrate in ((1, 4_000_000), (2, 1_000_000), (3, 300_000)):
        lanes.join(viewer, 0.0)
        lanes.estimate(viewer, bitrate)
    run(lanes, 0.0, 6.0)
    assert len(lanes.lanes) == 2
    assert lanes.lane_of(2) == lanes.lane_of(3) != lanes.lane_of(1)


def test_one_lane_follows_its_only_viewer():
    """A pipeline of the viewer's own never moves anybody."""
    lanes = plan(lanes=1)
    lane = lanes.join(7, 0.0)
    lanes.estimate(7, 200_000)
    assert run(lanes, 0.0, 10.0) == []
    assert lanes.rates(10.1) == {lane: MINIMUM_BITRATE}


def test_last_viewer_closes_the_lane():
    """A lane lives as long as it has viewers; unknown viewers are ignored."""
    lanes = plan()
    lanes.join(1, 0.0)
    lanes.leave(99)
    lanes.estimate(99, 1)
    lanes.leave(1)
    assert lanes.lanes == frozenset()
    assert lanes.lane_of(1) is None


@given(
    st.lists(
        st.tuples(
            st.integers(0, 5), st.one_of(st.none(), st.integers(-(10**6), 10**10)), st.booleans()
        ),
        max_size=120,
    )
)
def test_any_history_keeps_the_promises(history):
    """Whatever viewers do: rates within bounds, lanes within their number, each viewer in one."""
    lanes = plan()
    present = set()
    for step, (viewer, bitrate, stays) in enumerate(history):
        now = step * 0.7
        if not stays:
            lanes.leave(viewer)
            present.discard(viewer)
        elif viewer not in present:
            lanes.join(viewer, now)
            present.add(viewer)
        if bitrate is not None:
            lanes.estimate(viewer, bitrate)
        lanes.plan(now)
        rates = lanes.rates(now)
        assert len(rates) <= 3
        assert all(MINIMUM_BITRATE <= rate <= MAXIMUM for rate in rates.values())
        assert {lanes.lane_of(v) for v in present} == set(rates)
