"""Who goes next where many want the same threads: networks in turn, and how often one may ask."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from icey.errors import BusyError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

OFFER_BURST = 10
"""Offers that a call may make at once: a page that adds tracks makes one for each."""

OFFER_EACH_S = 1.0
"""Seconds after which it may make one more."""


@dataclass(slots=True)
class Turns:
    """Lets some go at a time, one of each network, and the networks in turn.

    So whoever asks for much waits for himself alone.

    Args:
        at_a_time: how many go at a time.
        waiting_each: how many of one network may wait.
    """

    at_a_time: int
    waiting_each: int
    _under_way: set[str] = field(default_factory=set)
    _waiting: dict[str, deque[asyncio.Future[None]]] = field(default_factory=dict)

    @asynccontextmanager
    async def turn(self, network: str) -> AsyncIterator[None]:
        """Wait for the turn, and hold it for as long as the context lasts.

        Raises:
            BusyError: too many of this network wait.
        """
        waiting = self._waiting.setdefault(network, deque())
        if len(waiting) >= self.waiting_each:
            message = "busy: too many offers of one address at once"
            raise BusyError(message, bound="offersWaiting")
        mine: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiting.append(mine)
        self._go_on()
        try:
            await mine
        except asyncio.CancelledError:
            if mine.done() and not mine.cancelled():  # it came as this was cancelled
                self._end(network)
            raise
        try:
            yield
        finally:
            self._end(network)

    def _end(self, network: str) -> None:
        self._under_way.discard(network)
        self._go_on()

    def _go_on(self) -> None:
        for network in list(self._waiting):
            if len(self._under_way) >= self.at_a_time:
                return
            if network in self._under_way:
                continue
            waiting = self._waiting.pop(network)
            while waiting:
                first = waiting.popleft()
                if not first.done():
                    self._under_way.add(network)
                    first.set_result(None)
                    break
            if waiting:
                self._waiting[network] = waiting  # behind the others


@dataclass(slots=True)
class OfferRate:
    """How often one call may offer: `OFFER_BURST` at once, then one each `OFFER_EACH_S`."""

    _left: float = OFFER_BURST
    _at: float | None = None

    def take(self, now: float) -> bool:
        """Count an offer; False where it is one too many.

        Args:
            now: monotonic, in seconds.
        """
        if self._at is not None:
            self._left = min(OFFER_BURST, self._left + (now - self._at) / OFFER_EACH_S)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True
