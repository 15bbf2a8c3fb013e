"""Chooses frames for a detector: one of so many, no two closer than an interval. Pure."""

from __future__ import annotations


class Sampler:
    """Chooses among the frames of one stream.

    A frame is chosen where it is the n-th since the last chosen one and the interval is over too;
    the first frame always is. Time that goes back (a file begins anew) starts the interval again.

    Args:
        every_nth: 1 is every frame.
        min_interval_usec: microseconds of media time; 0 is no limit.
    """

    def __init__(self, every_nth: int = 1, min_interval_usec: int = 0) -> None:
        self._every_nth = every_nth
        # A thirtieth of a second is 33333 µs here and 33334 there: a millisecond is no difference.
        self._interval = max(0, min_interval_usec - 1000)
        self._since = every_nth - 1
        self._last: int | None = None

    def accept(self, media_usec: int) -> bool:
        """Return whether the frame of this media time is chosen."""
        self._since += 1
        if self._since < self._every_nth:
            return False
        if self._last is not None and 0 <= media_usec - self._last < self._interval:
            return False
        self._since, self._last = 0, media_usec
        return True
