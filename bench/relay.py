"""What a relay viewer costs the server: one light publisher, many light viewers.

Beside it, in the same run, the least that it could cost: a bare loop that encrypts and sends the
packets of the same clip to as many sockets (``rust/clients/src/bare.rs``).
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bench import Row, wait_until
from bench.clients import LightClients, run_clients
from bench.clip import write_stamped_units, write_units
from bench.load import MEASURE_S, MEBIBYTE, loads
from bench.server import Server

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.load import Load

DELAYED_VIEWERS = 150
GONE_WITHIN_S = 30.0
REST_S = 20.0
"""Timers of what is gone run out in that time, and memory is given back."""


def rows() -> Iterator[Row]:
    """CPU of a forwarded packet beside the bare loop's, memory of a viewer, delay, churn."""
    with tempfile.TemporaryDirectory(prefix="icey-bench-") as folder:
        clip = write_units(Path(folder) / "clip")
        with Server({"mode": "relay"}) as server, LightClients(server, 1, clip=clip):
            few, *many = loads(server, [1, 50, 200])
            for load in many:
                yield from _forwarding(few, load, clip)
        yield _delay(write_stamped_units(Path(folder) / "stamped"))
        yield _churn(clip, 2000)


def _forwarding(few: Load, load: Load, clip: Path) -> Iterator[Row]:
    yield Row(
        f"relay, {load.clients} viewers: CPU a forwarded packet",
        "4 µs",
        f"{load.packet_us:.1f} µs all in, {load.packet_us_more(few):.1f} µs one more,"
        f" {load.engine_us:.1f} µs of the engine's thread; {load.packets_per_second:.0f}"
        f" packets/s, {load.lost} lost",
    )
    # CPU µs of a packet that is encrypted and sent, and nothing else; the second time with
    # segmentation by the kernel.
    bare, segmented = _bare(clip, load.clients), _bare(clip, load.clients, "segmented")
    yield Row(
        "  of a bare loop: AES-256-GCM + sendmmsg",
        "",
        f"{bare:.1f} µs, with segmentation {segmented:.1f} µs",
    )
    yield Row(
        "  of the server: times that",
        "1.5",
        f"{load.packet_us / bare:.2f}, with segmentation {load.packet_us / segmented:.2f}",
    )
    yield Row("  memory of one more viewer", "1 MiB", f"{load.mebibytes_each(few):.2f} MiB")


def _bare(clip: Path, viewers: int, *words: str) -> float:
    answer = run_clients("bare", clip, viewers, f"{MEASURE_S:.0f}", *words)
    return 1e6 * float(answer["cpu_s"]) / int(answer["packets"])


def _delay(clip: Path) -> Row:
    """Measure what the server adds from the source's send to the viewer's kernel.

    Clients and server are on this machine.
    """
    with Server({"mode": "relay"}) as server, LightClients(server, 1, clip=clip):
        (load,) = loads(server, [DELAYED_VIEWERS])
    delays = load.delays or {}
    if not any(delays.values()):
        raise RuntimeError("no packet with the time of its sending came")
    times = np.repeat([*delays], [*delays.values()]) / 100
    median, p99 = np.percentile(times, (50, 99), method="inverted_cdf")
    return Row(
        f"relay, {DELAYED_VIEWERS} viewers: added delay, p99",
        "5 ms",
        f"{p99:.1f} ms, median {median:.1f} ms",
    )


def _churn(clip: Path, joins: int, at_once: int = 50) -> Row:
    """Let viewers come and go, so many at once, while one source sends.

    The memory before is that after the first two groups: pools and buffers are made once.
    """
    with Server({"mode": "relay"}) as server, LightClients(server, 1, clip=clip):
        before = descriptors = 0
        done = 0
        while done < joins + 2 * at_once:
            with LightClients(server, at_once):
                done += at_once
            wait_until(
                lambda: server.active_sessions() <= 1,  # the source alone
                GONE_WITHIN_S,
                lambda: f"viewers are still there after {GONE_WITHIN_S:g} s",
            )
            if done == 2 * at_once:
                time.sleep(REST_S)
                before, descriptors = server.memory_bytes, server.descriptors
        time.sleep(REST_S)
        after = server.memory_bytes
        return Row(
            f"relay, {joins} viewers come and gone",
            "5 %",
            f"{before / MEBIBYTE:.1f} → {after / MEBIBYTE:.1f} MiB"
            f" ({100 * (after / before - 1):+.1f} %), {descriptors} → {server.descriptors}"
            " descriptors",
        )
