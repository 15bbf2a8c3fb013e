"""What a datagram costs the TURN server, next to coturn (``rust/turn-server/examples/turn.rs``)."""

from __future__ import annotations

import re
import statistics
import subprocess
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
CLIENTS = 20
MEASURE_S = 5

_LINE = re.compile(
    r"^\s*(?P<server>\w+):\s+(?P<us>[\d.]+) µs .*?(?P<rate>\d+) datagrams/s, (?P<lost>\d+) lost$"
)


@dataclass(frozen=True)
class Cost:
    """One server under one kind of load: medians of all rounds."""

    server: str
    packet_us: float
    packets_per_second: float
    lost: int


def measure(pace: str, transport: str) -> list[Cost]:
    """Load both servers, three times in turn.

    Args:
        pace: ``burst`` sends a picture's datagrams at once, ``paced`` evenly.
        transport: of the clients, ``udp`` or ``tcp``.
    """
    command = ["cargo", "run", "--release", "--locked", "--quiet", "--package", "icey-turn-server"]
    arguments = ["--example", "turn", "--", str(CLIENTS), str(MEASURE_S), pace, transport]
    done = subprocess.run(
        [*command, *arguments], cwd=ROOT, check=True, capture_output=True, text=True
    )
    rounds: dict[str, list[re.Match[str]]] = {}
    for line in done.stdout.splitlines():
        if (match := _LINE.match(line)) is None:
            raise RuntimeError(f"the measurement printed {line!r}")
        rounds.setdefault(match["server"], []).append(match)
    return [
        Cost(
            server=server,
            packet_us=statistics.median(float(match["us"]) for match in matches),
            packets_per_second=statistics.median(float(match["rate"]) for match in matches),
            lost=sum(int(match["lost"]) for match in matches),
        )
        for server, matches in rounds.items()
    ]
