"""Lets few sources open at a time, and the networks that wait take turns.

Opening a source costs as much CPU as a second of sending it. Where many callers come at once, those
who are in keep their pictures, and no network waits for all callers of another one.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class Openings:
    """The turns to open a source. All on the event loop.

    Args:
        most: how many open at a time.
    """

    def __init__(self, most: int) -> None:
        self._free = most
        # By network, the one whose turn is next first; those of one network in their order.
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}

    @property
    def waiting(self) -> int:
        """How many wait for their turn."""
        return sum(map(len, self._waiting.values()))

    @asynccontextmanager
    async def turn(self, network: str) -> AsyncIterator[None]:
        """Wait for the turn of this network, and open within the context."""
        await self._wait(network)
        try:
            yield
        finally:
            self._pass_on()

    async def _wait(self, network: str) -> None:
        if self._free > 0:
            self._free -= 1
            return
        mine = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(network, deque()).append(mine)
        try:
            await mine
        except asyncio.CancelledError:
            if mine.done() and not mine.cancelled():  # it got its turn and does not want it
                self._pass_on()
            else:
                self._forget(network, mine)
            raise

    def _pass_on(self) -> None:
        """Give a turn that is free to the next network, which then stands last."""
        if not self._waiting:
            self._free += 1
            return
        network = next(iter(self._waiting))
        waiting = self._waiting.pop(network)
        waiting.popleft().set_result(None)
        if waiting:
            self._waiting[network] = waiting

    def _forget(self, network: str, mine: asyncio.Future[None]) -> None:
        waiting = self._waiting.get(network)
        if waiting is None or mine not in waiting:
            return
        waiting.remove(mine)
        if not waiting:
            del self._waiting[network]
