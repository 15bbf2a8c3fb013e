"""What a relay viewer costs the server: one light publisher, many light viewers.

Beside it, in the same run, the least that it could cost: a bare loop that encrypts and sends the
packets of the same clip to as many sockets (``rust/clients/src/bare.rs``).
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench.clients import LightClients, run_clients
from bench.clip import write_stamped_units, write_units
from bench.load import MEASURE_S, Load, loads
from bench.server import Server

if TYPE_CHECKING:
    from collections.abc import Iterator

GONE_WITHIN_S = 30.0
REST_S = 20.0
"""Timers of what is gone run out in that time, and memory is given back."""


@dataclass(frozen=True)
class Relayed:
    """The server under so many viewers, and the bare loop.

    Attributes:
        load: of the server.
        bare_us: CPU µs of a packet that is encrypted and sent, and nothing else.
        segmented_us: the same with segmentation by the kernel.
    """

    load: Load
    bare_us: float
    segmented_us: float


@dataclass(frozen=True)
class Delay:
    """What the server adds to a packet's way, from the source's send to the viewer's kernel."""

    median_ms: float
    p99_ms: float


@dataclass(frozen=True)
class Churn:
    """The server before and after many viewers have come and gone."""

    joins: int
    memory_before: int
    memory_after: int
    descriptors_before: int
    descriptors_after: int


def measure(counts: list[int]) -> Iterator[Relayed]:
    """Start one server with one source, and load it with one number of viewers after the other."""
    with tempfile.TemporaryDirectory(prefix="icey-bench-") as folder:
        clip = write_units(Path(folder) / "clip")
        with Server({"mode": "relay"}) as server, LightClients(server, 1, clip=clip):
            for load in loads(server, counts):
                bare, segmented = _bare(clip, load.clients), _bare(clip, load.clients, "segmented")
                yield Relayed(load, bare, segmented)


def _bare(clip: Path, viewers: int, *words: str) -> float:
    answer = run_clients("bare", clip, viewers, f"{MEASURE_S:.0f}", *words)
    return 1e6 * float(answer["cpu_s"]) / int(answer["packets"])


def delay(viewers: int) -> Delay:
    """Measure what the server adds, with clients and server on this machine."""
    with tempfile.TemporaryDirectory(prefix="icey-bench-") as folder:
        clip = write_stamped_units(Path(folder) / "clip")
        with Server({"mode": "relay"}) as server, LightClients(server, 1, clip=clip):
            (load,) = loads(server, [viewers])
    seen = sorted((load.delays or {}).items())
    total = sum(count for _, count in seen)

    def percentile(part: float) -> float:
        rest = part * total
        for step, count in seen:
            rest -= count
            if rest <= 0:
                return step / 100
        raise RuntimeError("no packet with the time of its sending came")

    return Delay(percentile(0.5), percentile(0.99))


def churn(joins: int, at_once: int = 50) -> Churn:
    """Let viewers come and go, so many at once, while one source sends.

    The memory before is that after the first two groups: pools and buffers are made once.
    """
    with tempfile.TemporaryDirectory(prefix="icey-bench-") as folder:
        clip = write_units(Path(folder) / "clip")
        with Server({"mode": "relay"}) as server, LightClients(server, 1, clip=clip):
            before = 0, 0
            done = 0
            while done < joins + 2 * at_once:
                with LightClients(server, at_once):
                    done += at_once
                _wait_until_gone(server)
                if done == 2 * at_once:
                    time.sleep(REST_S)
                    before = server.memory_bytes, server.descriptors
            time.sleep(REST_S)
            return Churn(joins, before[0], server.memory_bytes, before[1], server.descriptors)


def _wait_until_gone(server: Server) -> None:
    """Wait until the source is alone again."""
    deadline = time.monotonic() + GONE_WITHIN_S
    while server.active_sessions() > 1:
        if time.monotonic() > deadline:
            raise RuntimeError(f"viewers are still there after {GONE_WITHIN_S:g} s")
        time.sleep(0.05)
