"""Light clients: ``rust/clients`` as a process of its own, with signalling done here."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from bench import wait_until
from bench.symple import Caller

if TYPE_CHECKING:
    from bench.server import Server

ROOT = Path(__file__).parents[1]
CONNECTED_WITHIN_S = 30.0


def build() -> Path:
    """Build the clients in release mode, and return the path of the program."""
    subprocess.run(
        ["cargo", "build", "--release", "--locked", "--quiet", "--package", "icey-clients"],
        cwd=ROOT,
        check=True,
    )
    return ROOT / "target" / "release" / "icey-clients"


def run_clients(*words: object) -> dict[str, Any]:
    """Run the program to its end, which is a line of JSON."""
    command: list[str | Path] = [build(), *map(str, words)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    told: dict[str, Any] = json.loads(done.stdout)
    return told


class LightClients:
    """So many clients, all connected; a context manager.

    Args:
        server: what they call.
        count: how many.
        clip: what each of them sends (see `bench.clip.write_units`); None for viewers, which
            receive and decode nothing.
    """

    def __init__(self, server: Server, count: int, *, clip: Path | None = None) -> None:
        self._server = server
        self._count = count
        self._words = ["watch"] if clip is None else ["publish", str(clip)]
        self._callers: list[Caller] = []
        self._report: dict[str, Any] = {}

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [build(), *self._words, str(self._count)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        if self._process.stdin is None or self._process.stdout is None:
            raise RuntimeError("the clients have no standard input or output")
        # All offers first: the clients take no answer before they have written them.
        offers = [json.loads(self._process.stdout.readline()) for _ in range(self._count)]
        for offer in offers:
            caller = Caller(self._server.url, f"client{offer['client']}")
            self._callers.append(caller)
            answer = {"client": offer["client"], "sdp": caller.call(offer["sdp"])}
            self._process.stdin.write(json.dumps(answer) + "\n")
            self._process.stdin.flush()
        threading.Thread(target=self._read, daemon=True).start()
        wait_until(
            lambda: self.report.get("connected", 0) >= self._count,
            CONNECTED_WITHIN_S,
            lambda: f"not all of {self._count} clients connected: {self.report}",
        )
        return self

    def __exit__(self, *_: object) -> None:
        for caller in self._callers:
            caller.close()
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait(timeout=10)

    @property
    def report(self) -> dict[str, Any]:
        """The newest totals (``rust/clients/src/reception.rs``), `connected`, and `at`, in s."""
        return dict(self._report)

    def _read(self) -> None:
        for line in self._process.stdout or ():
            self._report = {**json.loads(line), "at": time.monotonic()}
