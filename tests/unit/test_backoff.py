"""Waits between tries."""

from icey.backoff import Backoff


def test_backoff_grows_to_30_seconds_and_starts_over():
    """1, 2, 4, 8, 16, 30, 30 s; after a success 1 s."""
    backoff = Backoff()
    assert [backoff.failed() for _ in range(7)] == [1, 2, 4, 8, 16, 30, 30]
    backoff.succeeded()
    assert backoff.failed() == 1
