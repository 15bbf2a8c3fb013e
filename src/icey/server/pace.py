"""The pace of each network: so many requests a second, and the rest wait in turn.

Nothing is refused: who asks for more than its share waits, and nobody else does. What waits is
bounded by the connections that a network may have, since each has one request at a time.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

BURST_S = 2.0
"""Seconds of its pace that a network may use at once: pages with their files, for a whole room."""

MAX_NETWORKS = 4096
"""Networks remembered; who is forgotten starts with a whole burst."""


def payer_of(network: str, *, health: bool) -> str:
    """Return who pays for a request: for ``/api/health`` not whoever pays for all else.

    So that a network that has used up its pace still learns whether the server lives.
    """
    return f"{network} health" if health else network


@dataclass(eq=False, slots=True)
class Turn:
    """A place in the line of a network; `cancel` gives it up."""

    go: Callable[[], None]
    cost: float
    cancelled: bool = False

    def cancel(self) -> None:
        """Give it up: ``go`` is not called any more."""
        self.cancelled = True


@dataclass(eq=False, slots=True)
class _Line:
    level: float
    updated: float
    waiting: OrderedDict[Turn, None] = field(default_factory=OrderedDict)


class Pace:
    """A token bucket by network, with a line of those who wait. Runs on the event loop.

    Args:
        rate: requests a second of one network; 0 is no bound.
    """

    def __init__(self, rate: int) -> None:
        self._rate = float(rate)
        self._lines: OrderedDict[str, _Line] = OrderedDict()

    def take(self, network: str, go: Callable[[], None], cost: float = 1.0) -> Turn | None:
        """Call ``go`` at once, or when it is this network's turn.

        Args:
            network: who pays (`icey.network.network_of`).
            go: what to do then.
            cost: in requests.

        Returns:
            The place in the line, None where ``go`` was called at once.
        """
        if not self._rate:
            go()
            return None
        loop = asyncio.get_running_loop()
        line = self._line(network, loop.time())
        if not line.waiting and line.level >= cost:
            line.level -= cost
            go()
            return None
        turn = Turn(go, cost)
        line.waiting[turn] = None
        if len(line.waiting) == 1:
            self._wake_later(line, loop)
        return turn

    def _line(self, network: str, now: float) -> _Line:
        line = self._lines.get(network)
        if line is None:
            line = self._lines[network] = _Line(self._rate * BURST_S, now)
            if len(self._lines) > MAX_NETWORKS:
                self._forget_one()
        self._refill(line, now)
        self._lines.move_to_end(network)
        return line

    def _forget_one(self) -> None:
        # The one that was quiet longest; its line, should it have one, still moves.
        self._lines.popitem(last=False)

    def _refill(self, line: _Line, now: float) -> None:
        line.level = min(self._rate * BURST_S, line.level + (now - line.updated) * self._rate)
        line.updated = now

    def _wake_later(self, line: _Line, loop: asyncio.AbstractEventLoop) -> None:
        first = next(iter(line.waiting))
        delay = max(0.0, first.cost - line.level) / self._rate
        loop.call_later(max(delay, 0.005), self._wake, line, loop)

    def _wake(self, line: _Line, loop: asyncio.AbstractEventLoop) -> None:
        self._refill(line, loop.time())
        while line.waiting:
            turn = next(iter(line.waiting))
            if not turn.cancelled:
                if line.level < turn.cost:
                    break
                line.level -= turn.cost
            del line.waiting[turn]
            if not turn.cancelled:
                turn.go()
        if line.waiting:
            self._wake_later(line, loop)
