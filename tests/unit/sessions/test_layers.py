"""The choice of a viewer's simulcast layer."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from icey.sessions.layers import (
    CLIMB_SECONDS,
    EASE_SECONDS,
    PATIENCE_SECONDS,
    START_SECONDS,
    LayerChoice,
)

RATES = [150_000, 500_000, 1_500_000]


def play(choice, path, seconds, start=0.0, rates=RATES):
    """So many seconds with what `path` carries (a number, or of the rate it gets); each layer."""
    layers = []
    for n in range(round(seconds * 4)):
        carried = path(rates[choice.layer]) if callable(path) else path
        layers.append(choice.choose(rates, carried, start + n / 4))
    return layers


def started():
    """One whose start is over, on the lowest layer."""
    choice = LayerChoice()
    play(choice, 165_000, START_SECONDS, start=-START_SECONDS)
    return choice


def test_what_is_known_at_the_start_is_taken_at_once():
    """The first estimate, of a probe, leads to the best layer that fits; one that grows, too."""
    assert LayerChoice().choose(RATES, 3_000_000, 0.0) == 2
    assert LayerChoice().choose(RATES, 600_000, 0.0) == 1
    choice = LayerChoice()
    assert choice.choose(RATES, 200_000, 0.0) == 0
    assert choice.choose(RATES, 2_000_000, 4.0) == 2


def test_a_layer_that_failed_at_the_start_is_not_taken_at_once_again():
    """In the first seconds the layer does not swing either."""
    choice = LayerChoice()
    assert choice.choose(RATES, 3_000_000, 0.0) == 2
    assert choice.choose(RATES, 200_000, 1.0) == 0
    assert play(choice, 3_000_000, 9, start=1.25)[-1] == 0


def test_it_climbs_step_by_step_where_the_path_carries_more():
    """A viewer climbs one layer each five seconds, never two at once."""
    layers = play(started(), 3_000_000, 15)
    assert layers[0] == 0
    assert layers.index(1) == CLIMB_SECONDS * 4
    assert layers.index(2) == pytest.approx(2 * CLIMB_SECONDS * 4, abs=2)


def test_it_falls_at_once_to_what_fits():
    """A viewer falls from the top to the layer that its path carries in one step."""
    choice = LayerChoice(2)
    assert choice.choose(RATES, 200_000, 0.0) == 0
    choice = LayerChoice(2)
    assert choice.choose(RATES, 600_000, 0.0) == 1
    assert LayerChoice(2).choose(RATES, 10_000, 0.0) == 0


def test_an_estimate_that_only_follows_still_climbs():
    """Where REMB stays at 1.5 times what is sent, the next layer is tried after a while."""
    layers = play(LayerChoice(), lambda rate: rate * 1.5, 30)
    assert layers.index(1) == EASE_SECONDS * 4
    assert layers[-1] == 2


class Growing:
    """An estimate as Chromium's: 8 % more a second, up to 1.5 times what comes, or to `most`."""

    def __init__(self, most=10**9):
        self.most = most
        self.estimate = 1.0

    def __call__(self, rate):
        """Tell what it is a quarter of a second later."""
        if rate > self.most:
            self.estimate = 0.85 * self.most  # packets wait longer and longer: the path is full
        else:
            self.estimate = min(max(self.estimate * 1.08**0.25, rate), rate * 1.5)
        return round(self.estimate)


def test_an_estimate_that_grows_slowly_climbs_to_the_top():
    """A try is not given up because the estimate, a moment later, has not grown yet."""
    layers = play(LayerChoice(), Growing(), 60)
    assert layers[-1] == 2
    assert layers == sorted(layers), "no layer was left again"


def test_a_full_path_ends_a_try():
    """Where the estimate stops growing, the tried layer is left, and rarely tried again."""
    layers = play(LayerChoice(), Growing(most=300_000), 400)
    tries = sum(1 for a, b in pairwise(layers) if a < b)
    assert 3 <= tries <= 6
    assert layers.count(1) <= tries * (PATIENCE_SECONDS * 4 + 2)
    assert layers.count(2) == 0


def test_an_estimate_that_falls_ends_a_try_at_once():
    """The layer that was tried is left in the same step."""
    choice = LayerChoice()
    assert play(choice, 200_000, EASE_SECONDS + 0.25)[-1] == 1
    assert choice.choose(RATES, 200_000, 11.0) == 1
    assert choice.choose(RATES, 170_000, 11.25) == 0


def test_tries_that_fail_become_rare():
    """A path that carries the lowest layer alone: the pauses between tries double."""
    choice = LayerChoice()
    layers = play(choice, lambda rate: rate * 1.5 if rate == RATES[0] else RATES[0], 400)
    tries = sum(1 for a, b in pairwise(layers) if a < b)
    assert 3 <= tries <= 6
    assert layers.count(0) / len(layers) > 0.98


def test_congestion_is_one_layer_down():
    """Congestion lowers the layer without an estimate."""
    choice = LayerChoice(2)
    choice.congested(0.0)
    assert choice.layer == 1
    assert play(choice, 9_000_000, 9, rates=RATES)[-1] == 1, "a pause before the next try"
    choice.congested(10.0)
    choice.congested(10.0)
    assert choice.layer == 0


def test_a_source_with_other_layers():
    """The chosen layer is always one that the source sends, also after a change of the source."""
    assert LayerChoice(2).choose([800_000], 1_000_000, 0.0) == 0
    assert LayerChoice(2).choose([150_000, 500_000, 0], None, 0.0) == 1
    assert LayerChoice(0).choose([0, 0, 900_000], None, 0.0) == 2
    assert LayerChoice(1).choose([0, 0, 0], 1, 0.0) == 1
    assert LayerChoice(1).choose([], 1, 0.0) == 1


@given(
    st.lists(
        st.tuples(
            st.lists(st.integers(0, 3_000_000), max_size=4),
            st.none() | st.integers(0, 10**9),
            st.booleans(),
        ),
        max_size=60,
    )
)
def test_the_choice_is_always_there(steps):
    """Whatever is reported, the layer is one that the source sends, where it sends any."""
    choice = LayerChoice()
    for now, (rates, path, congested) in enumerate(steps):
        if congested:
            choice.congested(float(now))
        layer = choice.choose(rates, path, float(now))
        assert layer >= 0
        if any(rates):
            assert rates[layer] > 0
