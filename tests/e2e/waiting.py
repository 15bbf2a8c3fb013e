"""Waiting for something to become true, with a deadline and a reason."""

from __future__ import annotations

import asyncio
import inspect
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


async def until(
    condition: Callable[[], Any | Awaitable[Any]],
    what: str,
    *,
    deadline_s: float = 10,
    every_s: float = 0.05,
) -> Any:
    """Return the first true value of `condition`; fail with `what` after `deadline_s`."""
    end = time.monotonic() + deadline_s
    while True:
        value = condition()
        if inspect.isawaitable(value):
            value = await value
        if value:
            return value
        if time.monotonic() > end:
            message = f"not within {deadline_s} s: {what} (last seen: {value!r})"
            raise AssertionError(message)
        await asyncio.sleep(every_s)
