"""What a relay viewer costs the server: one light publisher, many light viewers.

Beside it, in the same run, the least that it could cost: a bare loop that encrypts and sends the
packets of the same clip to as many sockets (``rust/engine/examples/bare.rs``).
"""

from __future__ import annotations

import json
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from bench.clients import ROOT, LightClients
from bench.clip import write_units
from bench.server import Server

SETTLE_S = 4.0
MEASURE_S = 10.0
RESENT_WITHIN_S = 2.0
"""A packet that is still missing then is lost."""

GONE_WITHIN_S = 30.0
REST_S = 20.0
"""Timers of what is gone run out in that time, and memory is given back."""


@dataclass(frozen=True)
class Bare:
    """What encrypting and sending alone cost, for as many viewers of the same clip."""

    packets: int
    cpu_s: float

    @property
    def packet_us(self) -> float:
        """CPU µs of a packet."""
        return 1e6 * self.cpu_s / max(self.packets, 1)


@dataclass(frozen=True)
class Delay:
    """What the engine adds to a packet's way, from the source's send to the viewer's kernel."""

    viewers: int
    median_ms: float
    p99_ms: float


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
    bare: Bare
    segmented: Bare

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
                    time.sleep(RESENT_WITHIN_S)
                    lost = viewers.report["lost"]
                bare, segmented = _bare(clip, count), _bare(clip, count, "segmented")
                results.append(
                    Relayed(
                        viewers=count,
                        cpu_s=cost.cpu_s,
                        memory_bytes=cost.memory_bytes,
                        packets=_in_the_stretch(before, after, "packets"),
                        frames=_in_the_stretch(before, after, "frames"),
                        lost=lost,
                        sent=_in_the_stretch(sent, sent_after, "sent"),
                        bare=bare,
                        segmented=segmented,
                    )
                )
            return results


def _in_the_stretch(before: dict[str, float], after: dict[str, float], name: str) -> int:
    """How much of it there was in `MEASURE_S`: the clients report each second, at some moment."""
    return round((after[name] - before[name]) * MEASURE_S / (after["at"] - before["at"]))


def _bare(clip: Path, viewers: int, *words: str) -> Bare:
    answer = _example("bare", str(clip), str(viewers), f"{MEASURE_S:.0f}", *words)
    return Bare(packets=int(answer["packets"]), cpu_s=answer["cpu_s"])


def delay(viewers: int) -> Delay:
    """What the engine adds, measured with its own example and all of it on this machine."""
    answer = _example("relay", str(viewers), f"{MEASURE_S:.0f}", "delay")
    return Delay(viewers, answer["median_ms"], answer["p99_ms"])


def _example(name: str, *words: str) -> dict[str, float]:
    """Run one of the engine's examples, which ends with a line of JSON."""
    command = ["cargo", "run", "--release", "--locked", "--quiet", "--package", "icey-engine"]
    done = subprocess.run(
        [*command, "--example", name, "--", *words],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    answer: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return answer


@dataclass(frozen=True)
class Churn:
    """The server before and after many viewers have come and gone."""

    joins: int
    memory_before: int
    memory_after: int
    descriptors_before: int
    descriptors_after: int


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
