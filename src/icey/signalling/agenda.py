"""What the hub has put off."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator

Task: TypeAlias = Literal["tell", "answer", "admit"]
"""Tell a peer's presence, answer its probe, let those who wait into ``public``."""


class Agenda:
    """Tasks in the order of their times; each names a session, or none."""

    def __init__(self) -> None:
        self._tasks: list[tuple[float, int, Task, str]] = []
        self._numbered = 0  # keeps the order of tasks of one time

    @property
    def next(self) -> float | None:
        """When the next one is due."""
        return self._tasks[0][0] if self._tasks else None

    def put_off(self, at: float, task: Task, session: str = "") -> None:
        """Note a task for a time, in seconds of the hub's clock."""
        self._numbered += 1
        heapq.heappush(self._tasks, (at, self._numbered, task, session))

    def due(self, now: float) -> Iterator[tuple[Task, str]]:
        """Take out what is due, also what is noted for this time meanwhile."""
        while self._tasks and self._tasks[0][0] <= now:
            _, _, task, session = heapq.heappop(self._tasks)
            yield task, session
