"""From the command to the first answer of the API."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

from bench import Row
from bench.server import Server

if TYPE_CHECKING:
    from collections.abc import Iterator


def rows() -> Iterator[Row]:
    """Start the server seven times."""
    times = []
    for _ in range(7):
        with Server({"source": "demo:"}) as server:
            times.append(server.ready_after_s)
    yield Row("start to ready, median of 7", "1.5 s", f"{statistics.median(times):.2f} s")
