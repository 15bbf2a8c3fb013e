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
from typing import Any

from rich.console import Console
from rich.table import Table

from bench import browser, load, relay, turn
from bench.clip import PASSES_THROUGH, write_clip
from bench.server import Server

PARTS = ("start", "load", "browser", "record", "relay", "detect", "turn")
DELAYED_VIEWERS = 150


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
        _pipeline(
            table, "shared", load.measure({"source": "demo:"}, [0, 1, 2, 4]), "0.2 % one more"
        )
        one, fifty = _fifty(table, "shared", "", {"source": "demo:"})
        table.add_row(
            "shared, CPU of one more viewer of 50", "0.2 %", f"{fifty.percent_each(one):.2f} %"
        )
        table.add_row(
            "shared, memory of one more viewer", "", f"{fifty.mebibytes_each(one):.2f} MiB"
        )
        clip = write_clip(Path(folder) / "baseline.mp4", PASSES_THROUGH)
        media = {"source": str(clip), "pipeline": "shared", "passthroughVideo": True}
        _fifty(table, "passed through", "5 µs", media)


def _fifty(
    table: Table, name: str, budget: str, media: dict[str, Any]
) -> tuple[load.Load, load.Load]:
    """Measure one viewer and fifty: the difference is what the packets cost alone."""
    one, fifty = load.measure(media, [1, 50])
    table.add_row(
        f"{name}, 50 viewers: CPU a sent packet",
        budget,
        f"{fifty.packet_us:.1f} µs all in, {fifty.packet_us_more(one):.1f} µs one more,"
        f" {fifty.engine_us:.1f} µs of the engine's thread; {fifty.packets_per_second:.0f}"
        f" packets/s, {fifty.frames_per_second:.1f} fps, {fifty.lost} lost",
    )
    return one, fifty


def _pipeline(table: Table, name: str, loads: list[load.Load], budget: str) -> None:
    idle = loads[0]
    for entry in loads:
        each = (
            f" = {entry.percent_each(idle):.1f} % and {entry.mebibytes_each(idle):.1f} MiB each,"
            f" {entry.frames_per_second:.1f} fps, {entry.lost} lost"
            if entry.clients
            else ""
        )
        table.add_row(
            f"{name}, {entry.clients} viewers",
            budget,
            f"{entry.cost.core_percent:.1f} % of a core{each}",
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
    from bench import recordings  # noqa: PLC0415 - it imports the package: see `detected`

    for name, budget in (("copy", "1.5 %"), ("transcode", "")):
        idle, *costs = recordings.measure([0, 1, 2, 4], video=name)
        for cost in costs:
            table.add_row(
                f"record, {name}, {cost.clients} sessions",
                budget,
                f"{cost.percent_each(idle):.2f} % of a core and {cost.mebibytes_each(idle):.1f} MiB"
                " each",
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
        cost, bare, segmented = entry.load, entry.bare_us, entry.segmented_us
        table.add_row(
            f"relay, {cost.clients} viewers: CPU a forwarded packet",
            "4 µs",
            f"{cost.packet_us:.1f} µs all in, {cost.packet_us_more(few.load):.1f} µs one more,"
            f" {cost.engine_us:.1f} µs of the engine's thread; {cost.packets_per_second:.0f}"
            f" packets/s, {cost.lost} lost",
        )
        table.add_row(
            "  of a bare loop: AES-256-GCM + sendmmsg",
            "",
            f"{bare:.1f} µs, with segmentation {segmented:.1f} µs",
        )
        table.add_row(
            "  of the server: times that",
            "1.5",
            f"{cost.packet_us / bare:.2f}, with segmentation {cost.packet_us / segmented:.2f}",
        )
        memory = cost.mebibytes_each(few.load)
        table.add_row("  memory of one more viewer", "1 MiB", f"{memory:.2f} MiB")
    added = relay.delay(DELAYED_VIEWERS)
    table.add_row(
        f"relay, {DELAYED_VIEWERS} viewers: added delay, p99",
        "5 ms",
        f"{added.p99_ms:.1f} ms, median {added.median_ms:.1f} ms",
    )
    gone = relay.churn(2000)
    growth = 100 * (gone.memory_after / gone.memory_before - 1)
    table.add_row(
        f"relay, {gone.joins} viewers come and gone",
        "5 %",
        f"{gone.memory_before / load.MEBIBYTE:.1f} → {gone.memory_after / load.MEBIBYTE:.1f} MiB"
        f" ({growth:+.1f} %), {gone.descriptors_before} → {gone.descriptors_after} descriptors",
    )


def detected(table: Table) -> None:
    """CPU of motion and speech beside a stream, and how soon they tell."""
    # It imports the package, which an older build has under other names. The other parts know
    # the command alone, so that the Python beside any build measures that build.
    from bench import detectors  # noqa: PLC0415

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
