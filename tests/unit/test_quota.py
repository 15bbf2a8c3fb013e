"""Bounds in all and by network."""

import pytest

from icey.quota import Quota


def test_each_network_has_its_own_bound():
    """A network at its bound leaves room to others, until all are taken."""
    quota = Quota(total=3, each=2)
    for network in ("a", "a", "b"):
        assert quota.exceeded(network) is None
        quota.take(network)
    assert quota.exceeded("a") == "each"
    assert quota.exceeded("c") == "total"
    quota.give_back("a")
    assert quota.exceeded("c") is None
    assert (quota.taken, quota.taken_by("a")) == (2, 1)


def test_zero_is_no_bound():
    """0 lets any number in."""
    quota = Quota(total=0, each=0)
    for _ in range(10_000):
        quota.take("a")
    assert quota.exceeded("a") is None


def test_what_was_not_taken_is_not_given_back():
    """Giving back twice is a bug that shows."""
    quota = Quota(total=1, each=1)
    with pytest.raises(KeyError):
        quota.give_back("a")
    assert quota.taken == 0
