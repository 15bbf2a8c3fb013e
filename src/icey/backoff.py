"""The wait between two tries of something that fails: a source, a webhook.

A library of retries (tenacity, stamina) runs the loop of tries and sleeps in it. Here those who try
wait on conditions that end the wait early: a thread that is to stop, an event loop.
"""

from __future__ import annotations


class Backoff:
    """Seconds to wait before the next try: 1, 2, 4 … 30."""

    FIRST_S = 1.0
    LAST_S = 30.0

    def __init__(self) -> None:
        self._next = self.FIRST_S

    def failed(self) -> float:
        """Return how long to wait now, s; longer each time."""
        wait, self._next = self._next, min(self._next * 2, self.LAST_S)
        return wait

    def succeeded(self) -> None:
        """Start over with the shortest wait."""
        self._next = self.FIRST_S
