"""Measurements beside the budgets of the design; they print, they never fail on a number."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Row", "wait_until"]


class Row(NamedTuple):
    """What was measured, its budget, and what is reached."""

    measured: str
    budget: str
    reached: str


def wait_until(done: Callable[[], object], seconds: float, complaint: Callable[[], str]) -> None:
    """Look again and again.

    Raises:
        RuntimeError: it was not done in time; with the complaint.
    """
    deadline = time.monotonic() + seconds
    while not done():
        if time.monotonic() > deadline:
            raise RuntimeError(complaint())
        time.sleep(0.02)
