"""A call whose caller's socket is lost while its media go on."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from icey.sessions.work import stats_blocking

if TYPE_CHECKING:
    from collections.abc import Callable

    from icey._core import Peer
    from icey.sessions.work import Work

SILENCE_SECONDS = 2.0
"""A caller without a socket that sent media and sends none for so long is gone.

One that only receives is given up by the engine, which hears its consent checks (RFC 7675).
"""

CHECK_SECONDS = 0.5


async def falls_silent(peer: Peer, work: Work, absent: Callable[[], bool]) -> bool:
    """Watch a caller while it is absent.

    Args:
        peer: the caller's.
        work: asks the engine.
        absent: says whether it still is.

    Returns:
        Whether it has fallen silent; False where it came back, or its call ended otherwise.
    """
    received, since = 0, work.loop.time()
    while absent():
        stats = await work.in_thread(stats_blocking, peer)
        if stats is None:
            return False
        now = work.loop.time()
        if stats.packets_received != received:
            received, since = stats.packets_received, now
        elif received and now - since >= SILENCE_SECONDS:
            return absent()
        await asyncio.sleep(CHECK_SECONDS)
    return False
