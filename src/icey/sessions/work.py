"""Work beside the event loop: threads for what may block, and tasks that the end waits for."""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar, TypeVarTuple

from icey.errors import ClosedError
from icey.sessions.turns import Turns

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from icey._core import Peer, PeerStats

log = logging.getLogger(__name__)

THREADS = 8
"""Threads of the pool."""

WAITING_EACH = 128
"""Calls `Work.in_turn` of one network that may wait: as many viewers behind one NAT may come back
at once after a restart."""

Result = TypeVar("Result")
Arguments = TypeVarTuple("Arguments")


class Work:
    """A small pool of threads, and the tasks that are under way. Made on the event loop.

    Attributes:
        loop: that event loop, for threads that call back.
    """

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._pool = ThreadPoolExecutor(max_workers=THREADS, thread_name_prefix="icey-open")
        self._turns = Turns(at_a_time=THREADS // 2, waiting_each=WAITING_EACH)

    async def in_thread(
        self, function: Callable[[*Arguments], Result], *arguments: *Arguments
    ) -> Result:
        """Call a function that may block."""
        return await self.loop.run_in_executor(self._pool, function, *arguments)

    async def in_turn(
        self, network: str, function: Callable[[*Arguments], Result], *arguments: *Arguments
    ) -> Result:
        """Call a function that may block, for a caller of this network.

        Such calls have half of the threads, one of each network at a time, and the networks take
        turns: a flood of one delays neither others nor what else is done in threads.

        Raises:
            BusyError: too many of this network wait.
        """
        async with self._turns.turn(network):
            return await self.in_thread(function, *arguments)

    def spawn(
        self, task: Coroutine[Any, Any, None], on_error: Callable[[], None] | None = None
    ) -> None:
        """Run a task to its end.

        Args:
            task: an exception out of it is a bug, and is logged.
            on_error: called after that.
        """
        running = self.loop.create_task(task)
        self._tasks.add(running)
        running.add_done_callback(lambda done: self._done(done, on_error))

    async def finish(self, timeout_s: float) -> None:
        """Wait for the tasks that are under way, at most so long, and begin nothing in a thread."""
        deadline = self.loop.time() + timeout_s
        while self._tasks and (left := deadline - self.loop.time()) > 0:
            await asyncio.wait(self._tasks, timeout=left)
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _done(self, task: asyncio.Task[None], on_error: Callable[[], None] | None) -> None:
        self._tasks.discard(task)
        if task.cancelled() or task.exception() is None:
            return
        log.error("internal error in a call", exc_info=task.exception())
        if on_error is not None:
            on_error()


def stats_blocking(peer: Peer) -> PeerStats | None:
    """Ask the engine's thread for a peer's counters; None where the peer is gone."""
    try:
        return peer.stats()
    except ClosedError:
        return None
