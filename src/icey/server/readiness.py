"""The preflight report of a running server, at most one in a few seconds."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from icey.preflight.report import Report

TTL_S = 5.0
"""How long a report counts as fresh, so that asking for it is no way to load the server."""


class Readiness:
    """Runs the checks in a thread; concurrent requests wait for the same run.

    Args:
        prepare: called on the event loop, where the state of the server may be looked at; returns
            what makes the report, which blocks and is called in a thread.
        first: the report of the check at the start.
        now: the time at which it was made, on the event loop's clock.
    """

    def __init__(
        self, prepare: Callable[[], Callable[[], Report]], first: Report, now: float
    ) -> None:
        self.last = first
        """The newest report, however old."""
        self._prepare = prepare
        self._made = now
        self._running: asyncio.Task[Report] | None = None

    async def current(self) -> Report:
        """Return a report that is at most `TTL_S` seconds old."""
        loop = asyncio.get_running_loop()
        if loop.time() - self._made < TTL_S:
            return self.last
        if self._running is None:
            self._running = loop.create_task(self._check())
        # Shielded: one client that hangs up does not take the report from the others.
        return await asyncio.shield(self._running)

    async def _check(self) -> Report:
        try:
            self.last = await asyncio.to_thread(self._prepare())
            self._made = asyncio.get_running_loop().time()
        finally:
            self._running = None
        return self.last
