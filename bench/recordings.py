"""What a recording costs the server, and what a crash costs a recording."""

from __future__ import annotations

import random
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from bench import Row, wait_until
from bench.clients import LightClients
from bench.clip import write_units
from bench.load import loads
from bench.server import Server
from icey.recording.library import Library
from icey.storage.paths import PART, parse_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.load import Load

PARTS_WITHIN_S = 20.0
CAMERAS = 2


def rows() -> Iterator[Row]:
    """CPU and memory of a session that records; what a kill -9 costs."""
    for name, budget in (("copy", "1.5 %"), ("transcode", "")):
        idle, *costs = measure([0, 1, 2, 4], video=name)
        for cost in costs:
            yield Row(
                f"record, {name}, {cost.clients} sessions",
                budget,
                f"{cost.percent_each(idle):.2f} % of a core and {cost.mebibytes_each(idle):.1f} MiB"
                " each",
            )
    losses = kill_losses(20)
    yield Row(
        f"kill -9 while recording loses, {len(losses)} files",
        "1.5 s",
        f"worst {max(losses):.2f} s, median {statistics.median(losses):.2f} s",
    )


def measure(counts: list[int], **record: str) -> Iterator[Load]:
    """Start one server with these settings of ``media.record``, and record with each count."""
    with tempfile.TemporaryDirectory(prefix="icey-bench-") as folder:
        clip = write_units(Path(folder) / "clip")
        media = {"mode": "record", "recordDir": f"{folder}/recordings", "record": record}
        with Server(media) as server:
            for load in loads(server, counts, clip):
                _wait_for_parts(Path(folder) / "recordings", 0)
                yield load


def kill_losses(kills: int) -> list[float]:
    """Kill a recording server so often at a random moment; the seconds that each file lacks."""
    losses = []
    chance = random.Random(1)
    with tempfile.TemporaryDirectory(prefix="icey-bench-") as folder:
        clip = write_units(Path(folder) / "clip")
        for kill in range(kills):
            recordings = Path(folder) / f"recordings{kill}"
            media = {"mode": "record", "recordDir": str(recordings)}
            with Server(media) as server, LightClients(server, CAMERAS, clip=clip):
                _wait_for_parts(recordings, CAMERAS)
                time.sleep(chance.uniform(0.0, 3.0))
                open_ones = [path.name for path in recordings.glob(f"*{PART}")]
                server.kill()
                killed = time.time()
            with Server(media):
                _wait_for_parts(recordings, 0)
            saved = {r.start: r.duration_s for r in Library(recordings).list_recordings()}
            for name in open_ones:
                parsed = parse_name(name.removesuffix(PART) + ".mp4")
                if parsed is None:
                    raise RuntimeError(f"{name} is no name of a recording")
                # One that was killed before its first fragment was whole has lost all that it had.
                kept = saved.get(parsed.start, 0.0)
                losses.append(killed - parsed.start.timestamp() - kept)
    return losses


def _wait_for_parts(folder: Path, count: int) -> None:
    """Wait until exactly so many recordings are open, or being repaired."""
    wait_until(
        lambda: len(list(folder.glob(f"*{PART}*"))) == count,
        PARTS_WITHIN_S,
        lambda: f"not {count} open recordings within {PARTS_WITHIN_S:g} s",
    )
