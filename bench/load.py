"""What a viewer costs the server: light viewers on both kinds of pipeline."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from bench.clients import LightClients
from bench.server import Server

SETTLE_S = 3.0
MEASURE_S = 10.0


@dataclass(frozen=True)
class Load:
    """The server under so many viewers, over `MEASURE_S` seconds."""

    viewers: int
    core_percent: float
    packets: int
    frames: int
    lost: int
    memory_bytes: int

    @property
    def cpu_s(self) -> float:
        """CPU seconds in the stretch that was measured."""
        return self.core_percent / 100 * MEASURE_S

    @property
    def frames_per_second(self) -> float:
        """Pictures a second at each viewer, on the average."""
        return self.frames / self.viewers / MEASURE_S if self.viewers else 0.0


def measure(media: dict[str, Any], counts: list[int]) -> list[Load]:
    """Start one server, and load it with one number of viewers after the other."""
    with Server(media) as server:
        loads = []
        for count in counts:
            if count == 0:
                cost = server.measure(MEASURE_S)
                loads.append(Load(0, cost.core_percent, 0, 0, 0, cost.memory_bytes))
                continue
            with LightClients(server, count) as viewers:
                time.sleep(SETTLE_S)
                before = viewers.report
                cost = server.measure(MEASURE_S)
                after = viewers.report
            loads.append(
                Load(
                    viewers=count,
                    core_percent=cost.core_percent,
                    packets=after["packets"] - before["packets"],
                    frames=after["frames"] - before["frames"],
                    lost=after["lost"] - before["lost"],
                    memory_bytes=cost.memory_bytes,
                )
            )
        return loads
