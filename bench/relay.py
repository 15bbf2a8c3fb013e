"""What a relay viewer costs the server: one light publisher, many light viewers."""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from bench.clients import LightClients
from bench.clip import write_units
from bench.server import Server

SETTLE_S = 4.0
MEASURE_S = 10.0


@dataclass(frozen=True)
class Relayed:
    """The server under so many viewers, over `MEASURE_S` seconds."""

    viewers: int
    cpu_s: float
    memory_bytes: int
    packets: int
    frames: int
    lost: int
    sent: int

    @property
    def packet_us(self) -> float:
        """CPU µs of a forwarded packet, all in."""
        return 1e6 * self.cpu_s / max(self.packets, 1)

    @property
    def frames_each(self) -> float:
        """The share of the source's pictures that came to each viewer."""
        return self.frames / max(self.viewers, 1) / max(self.sent, 1)


def measure(counts: list[int]) -> list[Relayed]:
    """Start one server with one source, and load it with one number of viewers after the other."""
    with tempfile.TemporaryDirectory(prefix="icey-bench-") as folder:
        clip = write_units(Path(folder) / "clip")
        with Server({"mode": "relay"}) as server, LightClients(server, 1, clip=clip) as source:
            results = []
            for count in counts:
                with LightClients(server, count) as viewers:
                    time.sleep(SETTLE_S)
                    before, sent = viewers.report, source.report
                    cost = server.measure(MEASURE_S)
                    after, sent_after = viewers.report, source.report
                results.append(
                    Relayed(
                        viewers=count,
                        cpu_s=cost.cpu_s,
                        memory_bytes=cost.memory_bytes,
                        packets=after["packets"] - before["packets"],
                        frames=after["frames"] - before["frames"],
                        lost=after["lost"] - before["lost"],
                        sent=sent_after["sent"] - sent["sent"],
                    )
                )
            return results
