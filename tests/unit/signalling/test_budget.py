"""What peers may cost others."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from icey.signalling.budget import NETWORKS, Allowance, Budgets
from icey.signalling.limits import Limits

LIMITS = Limits(sender_bytes=1000, sender_window_s=2.0, network_senders=3)


def test_an_allowance_comes_back_with_time():
    """All of it at once, then its rate; a debt is paid first."""
    allowance = Allowance(100, 2.0, 0.0)
    assert allowance.left(0.0) == 200
    allowance.spend(250)
    assert allowance.left(0.0) == -50
    assert allowance.left(0.4) == -10
    assert allowance.left(1.5) == pytest.approx(100)
    assert allowance.left(60.0) == 200
    assert allowance.left(1.0) == 200, "a clock that goes back takes nothing"


def test_a_rate_of_zero_is_no_bound():
    """Where nothing is set anything passes."""
    allowance = Allowance(0, 2.0, 0.0)
    allowance.spend(1e12)
    assert allowance.left(0.0) == math.inf


@given(st.lists(st.tuples(st.floats(0, 3), st.integers(1, 500)), max_size=200))
def test_never_more_than_a_debt_of_one_message(script):
    """Over any time no more passes than the rate, the window and one message."""
    allowance, now, passed = Allowance(100, 1.0, 0.0), 0.0, 0
    for pause, cost in script:
        now += pause
        if allowance.left(now) > 0:
            allowance.spend(cost)
            passed += cost
    assert passed <= 100 * now + 100 + 500 + 1e-6


def test_a_sender_has_its_own_budget():
    """What a sender spends is missing in its budget and comes back with time."""
    budgets = Budgets(LIMITS)
    sender = budgets.of_sender(0.0)
    budgets.spend(sender, "net", 2000, 0.0)
    assert budgets.exceeded(sender, "net", 0.0) == "sender"
    assert budgets.exceeded(sender, "net", 0.1) is None


def test_sockets_of_one_network_share():
    """A stranger with many sockets has the budget of a few; another network has its own."""
    budgets = Budgets(LIMITS)
    for _ in range(6):
        budgets.spend(budgets.of_sender(0.0), "net", 1000, 0.0)
    fresh = budgets.of_sender(0.0)
    assert budgets.exceeded(fresh, "net", 0.0) == "network"
    assert budgets.exceeded(fresh, "other", 0.0) is None


def test_networks_are_forgotten_once_they_have_all_again():
    """The memory of networks is bounded by those that have spent of late."""
    budgets = Budgets(LIMITS)
    sender = budgets.of_sender(0.0)
    for n in range(3 * NETWORKS):
        budgets.exceeded(sender, f"net{n}", 0.0)
    budgets.spend(sender, "spender", 10_000, 0.0)
    for n in range(3 * NETWORKS):
        budgets.exceeded(budgets.of_sender(0.0), f"more{n}", 0.0)
    assert len(budgets._networks) <= NETWORKS + 1
    assert budgets.exceeded(budgets.of_sender(0.0), "spender", 0.0) == "network"
