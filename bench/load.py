"""What light clients cost the server: viewers, or publishers that send a clip."""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import Row
from bench.clients import LightClients
from bench.clip import PASSES_THROUGH, write_clip
from bench.server import Cost, Server

if TYPE_CHECKING:
    from collections.abc import Iterator

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
        return self.frames / self.clients / MEASURE_S

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


def rows() -> Iterator[Row]:
    """CPU and memory of viewers, per pipeline; CPU of a packet at 50 viewers."""
    with tempfile.TemporaryDirectory(prefix="icey-bench-") as folder:
        clip = write_clip(Path(folder) / "clip.mp4")
        yield from _pipeline("per-peer", {"source": str(clip)}, "11 %")
        yield from _pipeline("shared", {"source": "demo:"}, "0.2 % one more")
        one, fifty = measure({"source": "demo:"}, [1, 50])
        yield _of_fifty("shared", "", one, fifty)
        cpu, memory = fifty.percent_each(one), fifty.mebibytes_each(one)
        yield Row("shared, CPU of one more viewer of 50", "0.2 %", f"{cpu:.2f} %")
        yield Row("shared, memory of one more viewer", "", f"{memory:.2f} MiB")
        clip = write_clip(Path(folder) / "baseline.mp4", PASSES_THROUGH)
        media = {"source": str(clip), "pipeline": "shared", "passthroughVideo": True}
        yield _of_fifty("passed through", "5 µs", *measure(media, [1, 50]))


def _of_fifty(name: str, budget: str, one: Load, fifty: Load) -> Row:
    """Compare one viewer and fifty: the difference is what the packets cost alone."""
    return Row(
        f"{name}, 50 viewers: CPU a sent packet",
        budget,
        f"{fifty.packet_us:.1f} µs all in, {fifty.packet_us_more(one):.1f} µs one more,"
        f" {fifty.engine_us:.1f} µs of the engine's thread; {fifty.packets_per_second:.0f}"
        f" packets/s, {fifty.frames_per_second:.1f} fps, {fifty.lost} lost",
    )


def _pipeline(name: str, media: dict[str, Any], budget: str) -> Iterator[Row]:
    idle, *loaded = measure(media, [0, 1, 2, 4])
    yield Row(f"{name}, 0 viewers", budget, f"{idle.cost.core_percent:.1f} % of a core")
    for load in loaded:
        yield Row(
            f"{name}, {load.clients} viewers",
            budget,
            f"{load.cost.core_percent:.1f} % of a core = {load.percent_each(idle):.1f} % and"
            f" {load.mebibytes_each(idle):.1f} MiB each, {load.frames_per_second:.1f} fps,"
            f" {load.lost} lost",
        )


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
