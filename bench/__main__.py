"""``make bench``: measure the budgets of the design, and print them beside what is reached.

``make bench ARGS=--only=load`` measures one part: start, load, browser, record, relay, detect,
turn.
"""

from __future__ import annotations

import argparse
import sys
from importlib import import_module
from pathlib import Path

from rich.console import Console
from rich.table import Table

PARTS = {
    "start": "bench.start",
    "load": "bench.load",
    "browser": "bench.browser",
    "record": "bench.recordings",
    "relay": "bench.relay",
    "detect": "bench.detectors",
    "turn": "bench.turn",
}
"""The module of each part, whose ``rows`` measures it.

Some import the package, which an older build has under other names. The others know the command
alone, so that the Python beside any build measures that build: a module is imported for its turn.
"""


def main() -> None:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--only", choices=PARTS, action="append", help="measure this part")
    parts = parser.parse_args().only or PARTS
    if not (Path(sys.prefix) / ".built").exists():
        parser.error("the engine in .venv is the tests', without LTO: run `make build` first")
    table = Table("measured", "budget", "reached", title="icey-server, 720p30 at 2 Mb/s + Opus")
    for name, module in PARTS.items():
        if name in parts:
            for row in import_module(module).rows():
                table.add_row(*row)
    Console(width=150).print(table)


if __name__ == "__main__":
    main()
