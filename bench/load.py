"""What light clients cost the server: viewers, or publishers that send a clip."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bench.clients import LightClients
from bench.server import Cost, Server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SETTLE_S = 4.0
MEASURE_S = 10.0
RESENT_WITHIN_S = 2.0
"""A packet that is still missing then is lost."""

MEBIBYTE = 1024 * 1024


@dataclass(frozen=True)
class Load:
    """The server under so many clients, over `MEASURE_S` seconds.

    Attributes:
        clients: how many.
        cost: of the server.
        packets: that all viewers received.
        frames: pictures that all viewers received.
        lost: packets that never came, since the viewers' start.
        delays: how many packets took so long from publisher to viewer, by steps of 10 µs.
    """

    clients: int
    cost: Cost
    packets: int = 0
    frames: int = 0
    lost: int = 0
    delays: dict[int, int] | None = None

    @property
    def packet_us(self) -> float:
        """CPU µs of a packet, all in."""
        return 1e6 * self.cost.cpu_s / max(self.packets, 1)

    @property
    def engine_us(self) -> float:
        """CPU µs of a packet in the engine's thread."""
        return 1e6 * self.cost.engine_s / max(self.packets, 1)

    @property
    def packets_per_second(self) -> float:
        """Of all viewers."""
        return self.packets / MEASURE_S

    @property
    def frames_per_second(self) -> float:
        """Pictures a second at each viewer, on the average."""
        return self.frames / self.clients / MEASURE_S if self.clients else 0.0

    def percent_each(self, less: Load) -> float:
        """CPU of one more client, as a share of a core."""
        more = self.cost.core_percent - less.cost.core_percent
        return more / (self.clients - less.clients)

    def mebibytes_each(self, less: Load) -> float:
        """Memory of one more client."""
        more = self.cost.memory_bytes - less.cost.memory_bytes
        return more / (self.clients - less.clients) / MEBIBYTE

    def packet_us_more(self, less: Load) -> float:
        """CPU µs of one more packet."""
        return 1e6 * (self.cost.cpu_s - less.cost.cpu_s) / max(self.packets - less.packets, 1)


def measure(media: dict[str, Any], counts: list[int]) -> list[Load]:
    """Start one server, and load it with one number of viewers after the other."""
    with Server(media) as server:
        return list(loads(server, counts))


def loads(server: Server, counts: list[int], clip: Path | None = None) -> Iterator[Load]:
    """Load a server with one number of clients after the other.

    Args:
        server: what runs.
        counts: how many clients; 0 measures it idle.
        clip: what they publish; None: they watch.
    """
    for count in counts:
        if count == 0:
            yield Load(0, server.measure(MEASURE_S))
            continue
        with LightClients(server, count, clip=clip) as clients:
            time.sleep(SETTLE_S)
            before = clients.report
            cost = server.measure(MEASURE_S)
            after = clients.report
            if clip is None:
                time.sleep(RESENT_WITHIN_S)
            lost = clients.report["lost"]
        # The clients report each second, at some moment.
        share = MEASURE_S / (after["at"] - before["at"])
        yield Load(
            clients=count,
            cost=cost,
            packets=round((after["packets"] - before["packets"]) * share),
            frames=round((after["frames"] - before["frames"]) * share),
            lost=lost,
            delays={
                int(step): count - before["delays"].get(step, 0)
                for step, count in after["delays"].items()
            },
        )
