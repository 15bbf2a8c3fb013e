"""Says whether a pipeline is behind time, by its late pictures. Pure: `now` is passed in."""

from __future__ import annotations

from collections import deque

WINDOW_SECONDS = 5.0
"""Over how long late pictures are counted."""

LATE_SHARE = 0.1
"""The share of late pictures from which a pipeline is behind: 27 of 30 a second."""

LEAST_LATE = 5
"""So many must be late at least: a start, or the seam of a loop, is no trouble."""


class Punctuality:
    """The late pictures of one pipeline over the last seconds."""

    def __init__(self) -> None:
        self._counts: deque[tuple[float, int, int]] = deque()

    def note(self, due: int, late: int, now: float) -> None:
        """Note how many pictures were due, and how many of these late, since the start.

        Args:
            due: pictures.
            late: pictures.
            now: seconds, from a monotonic clock.
        """
        self._counts.append((now, due, late))
        while len(self._counts) > 2 and self._counts[1][0] <= now - WINDOW_SECONDS:
            self._counts.popleft()

    @property
    def late_share(self) -> float:
        """The share of late pictures over the window; 0 where they are too few to tell."""
        if not self._counts:
            return 0.0
        (_, due_before, late_before), (_, due, late) = self._counts[0], self._counts[-1]
        if late - late_before < LEAST_LATE:
            return 0.0
        return (late - late_before) / max(due - due_before, late - late_before)

    @property
    def is_behind(self) -> bool:
        """Whether it shows clearly fewer pictures than its source has."""
        return self.late_share >= LATE_SHARE
