"""The log level ``trace``: once a second, what changed in the counters of ``/api/status``.

Datagrams never enter Python and are not logged one by one; their counters are the sample of them.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from icey.config.model import TRACE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

log = logging.getLogger(__name__)

INTERVAL_S = 1.0


async def log_counters(status: Callable[[], Mapping[str, Any]]) -> None:
    """Log the changes until cancelled; return at once where the level is not logged.

    Args:
        status: makes what ``/api/status`` answers.
    """
    before: dict[str, float] = {}
    while log.isEnabledFor(TRACE):
        now = dict(_numbers(status()))
        changes = {name: number - before.get(name, 0) for name, number in now.items()}
        changed = [f"{name} {change:+g}" for name, change in changes.items() if change]
        if changed:
            log.log(TRACE, "%s", ", ".join(changed))
        before = now
        await asyncio.sleep(INTERVAL_S)


def _numbers(status: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    for name, value in status.items():
        if isinstance(value, dict):
            yield from _numbers(value, f"{prefix}{name}.")
        elif type(value) in {int, float} and name != "uptimeSec":
            yield f"{prefix}{name}", value
