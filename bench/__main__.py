"""``make bench``: measure the budgets of the design, and print them beside what is reached.

``make bench ARGS=--only=load`` measures one part: start, load, browser, record, relay, detect,
turn.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench import browser, detectors, load, recordings, relay, turn
from bench.clip import write_clip
from bench.server import Server

PARTS = ("start", "load", "browser", "record", "relay", "detect", "turn")
MEBIBYTE = 1024 * 1024


def start(table: Table) -> None:
    """From the command to the first answer of the API."""
    times = []
    for _ in range(7):
        with Server({"source": "demo:"}) as server:
            times.append(server.ready_after_s)
    table.add_row("start to ready, median of 7", "1.5 s", f"{statistics.median(times):.2f} s")


def viewer_load(table: Table) -> None:
    """CPU and memory of viewers, per pipeline; CPU of a packet at 50 viewers."""
    with tempfile.TemporaryDirectory(prefix="icey-bench-") as folder:
        clip = write_clip(Path(folder) / "clip.mp4")
        _pipeline(table, "per-peer", load.measure({"source": str(clip)}, [0, 1, 2, 4]), "11 %")
    _pipeline(table, "shared", load.measure({"source": "demo:"}, [0, 1, 2, 4]), "0.2 % one more")
    # One viewer and fifty, side by side: the difference is what the packets cost alone.
    one, fifty = load.measure({"source": "demo:"}, [1, 50])
    alone = (fifty.cpu_s - one.cpu_s) / (fifty.packets - one.packets)
    table.add_row(
        "shared, 50 viewers: CPU a sent packet",
        "",
        f"{1e6 * fifty.cpu_s / fifty.packets:.1f} µs all in, {1e6 * alone:.1f} µs one more;"
        f" {fifty.packets / load.MEASURE_S:.0f} packets/s, {fifty.frames_per_second:.1f} fps,"
        f" {fifty.lost} lost",
    )
    more = (fifty.core_percent - one.core_percent) / 49
    table.add_row("shared, CPU of one more viewer of 50", "0.2 %", f"{more:.2f} %")
    memory = (fifty.memory_bytes - one.memory_bytes) / 49 / MEBIBYTE
    table.add_row("shared, memory of one more viewer", "", f"{memory:.2f} MiB")


def _pipeline(table: Table, name: str, loads: list[load.Load], budget: str) -> None:
    idle = loads[0]
    for entry in loads:
        each = (
            f" = {(entry.core_percent - idle.core_percent) / entry.viewers:.1f} % and"
            f" {(entry.memory_bytes - idle.memory_bytes) / entry.viewers / MEBIBYTE:.1f} MiB each,"
            f" {entry.frames_per_second:.1f} fps, {entry.lost} lost"
            if entry.viewers
            else ""
        )
        table.add_row(
            f"{name}, {entry.viewers} viewers",
            budget,
            f"{entry.core_percent:.1f} % of a core{each}",
        )


def picture(table: Table) -> None:
    """What a person at a browser notices."""
    result = browser.measure()
    table.add_row(
        "click to first picture, median of 20",
        "150 ms",
        f"{statistics.median(result.first_picture_ms):.0f} ms"
        f" ({min(result.first_picture_ms):.0f}–{max(result.first_picture_ms):.0f})",
    )
    table.add_row(
        "capture to glass, median",
        "100 ms",
        f"{statistics.median(result.glass_ms):.0f} ms"
        f" ({min(result.glass_ms):.0f}–{max(result.glass_ms):.0f};"
        f" {len(result.glass_ms)} pictures)",
    )


def recorded(table: Table) -> None:
    """CPU and memory of a session that records; what a kill -9 costs."""
    for name, budget in (("copy", "1.5 %"), ("transcode", "")):
        idle, *costs = recordings.measure([0, 1, 2, 4], video=name)
        for cost in costs:
            cpu = (cost.core_percent - idle.core_percent) / cost.sessions
            memory = (cost.memory_bytes - idle.memory_bytes) / cost.sessions / MEBIBYTE
            table.add_row(
                f"record, {name}, {cost.sessions} sessions",
                budget,
                f"{cpu:.2f} % of a core and {memory:.1f} MiB each",
            )
    losses = recordings.kill_losses(20)
    table.add_row(
        f"kill -9 while recording loses, {len(losses)} files",
        "1.5 s",
        f"worst {max(losses):.2f} s, median {statistics.median(losses):.2f} s",
    )


def relayed(table: Table) -> None:
    """CPU of a forwarded packet beside the bare loop's, memory of a viewer, delay, churn."""
    few, *many = relay.measure([1, 50, 200])
    for entry in many:
        more = 1e6 * (entry.cpu_s - few.cpu_s) / (entry.packets - few.packets)
        memory = (entry.memory_bytes - few.memory_bytes) / (entry.viewers - few.viewers) / MEBIBYTE
        table.add_row(
            f"relay, {entry.viewers} viewers: CPU a forwarded packet",
            "4 µs",
            f"{entry.packet_us:.1f} µs all in, {more:.1f} µs one more;"
            f" {entry.packets / relay.MEASURE_S:.0f} packets/s, {entry.lost} lost",
        )
        bare, segmented = entry.bare.packet_us, entry.segmented.packet_us
        table.add_row(
            "  of a bare loop: AES-256-GCM + sendmmsg",
            "",
            f"{bare:.1f} µs, with segmentation {segmented:.1f} µs",
        )
        table.add_row(
            "  of the server: times that",
            "1.5",
            f"{entry.packet_us / bare:.2f}, with segmentation {entry.packet_us / segmented:.2f}",
        )
        table.add_row("  memory of one more viewer", "1 MiB", f"{memory:.2f} MiB")
    added = relay.delay(150)
    table.add_row(
        f"relay, {added.viewers} viewers: added delay, p99",
        "5 ms",
        f"{added.p99_ms:.1f} ms, median {added.median_ms:.1f} ms",
    )
    gone = relay.churn(2000)
    growth = 100 * (gone.memory_after / gone.memory_before - 1)
    table.add_row(
        f"relay, {gone.joins} viewers come and gone",
        "5 %",
        f"{gone.memory_before / MEBIBYTE:.1f} → {gone.memory_after / MEBIBYTE:.1f} MiB"
        f" ({growth:+.1f} %), {gone.descriptors_before} → {gone.descriptors_after} descriptors",
    )


def detected(table: Table) -> None:
    """CPU of motion and speech beside a stream, and how soon they tell."""
    result = detectors.measure()
    costs = ", ".join(f"{name} {share:.2f} %" for name, share in result.core_percent.items())
    table.add_row(
        "motion and speech beside a stream",
        "",
        f"{costs} of a core, handing over {result.tap_percent:.2f} %; the stream alone"
        f" {result.stream_percent:.1f} %; {result.frames[0]:.1f} fps without,"
        f" {result.frames[1]:.1f} with",
    )
    table.add_row(
        "frame to event, median",
        "",
        f"{result.latency_ms:.1f} ms ({min(result.latencies_ms):.1f}–"
        f"{max(result.latencies_ms):.1f}; {len(result.latencies_ms)} events)",
    )


def turned(table: Table) -> None:
    """CPU of a datagram through the TURN server, beside coturn under the same load."""
    for transport, pace in (("udp", "burst"), ("udp", "paced"), ("tcp", "burst")):
        costs = turn.measure(pace, transport)
        table.add_row(
            f"TURN over {transport.upper()}, {pace}: CPU a datagram",
            "",
            "; ".join(
                f"{cost.server} {cost.packet_us:.1f} µs at {cost.packets_per_second:.0f}/s,"
                f" {cost.lost} lost"
                for cost in costs
            ),
        )


def main() -> None:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--only", choices=PARTS, action="append", help="measure this part")
    parts = parser.parse_args().only or PARTS
    if not (Path(sys.prefix) / ".built").exists():
        parser.error("the engine in .venv is the tests', without LTO: run `make build` first")
    table = Table("measured", "budget", "reached", title="icey-server, 720p30 at 2 Mb/s + Opus")
    measures = (start, viewer_load, picture, recorded, relayed, detected, turned)
    for name, measure in zip(PARTS, measures, strict=True):
        if name in parts:
            measure(table)
    Console(width=150).print(table)


if __name__ == "__main__":
    main()
