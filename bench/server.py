"""The installed server as a process of its own, and what it costs."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import psutil

if TYPE_CHECKING:
    from types import TracebackType

COMMAND = Path(sys.executable).parent / "icey-server"
READY_WITHIN_S = 30.0


def free_port(kind: socket.SocketKind) -> int:
    """A port of the loopback that nobody holds at the moment."""
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True)
class Cost:
    """What the server used in a stretch of time."""

    wall_s: float
    cpu_s: float
    memory_bytes: int

    @property
    def core_percent(self) -> float:
        """CPU time as a share of one core."""
        return 100 * self.cpu_s / self.wall_s


class Server:
    """``icey-server`` on free ports of the loopback; a context manager.

    Args:
        media: the ``media`` part of the configuration.
    """

    def __init__(self, media: dict[str, Any]) -> None:
        self.port = free_port(socket.SOCK_STREAM)
        self._folder = tempfile.TemporaryDirectory(prefix="icey-bench-")
        self._config = Path(self._folder.name) / "config.json"
        self._config.write_text(
            json.dumps(
                {
                    "http": {"host": "127.0.0.1", "port": self.port},
                    "webrtc": {"port": free_port(socket.SOCK_DGRAM)},
                    "turn": {"port": 0},
                    "media": media,
                }
            )
        )
        self.ready_after_s = 0.0

    @property
    def url(self) -> str:
        """Where the page is."""
        return f"http://127.0.0.1:{self.port}/"

    def __enter__(self) -> Self:
        begin = time.perf_counter()
        self._log = (Path(self._folder.name) / "log").open("w+")
        self._process = subprocess.Popen(
            [COMMAND, "--config", self._config], stdout=self._log, stderr=subprocess.STDOUT
        )
        self._usage = psutil.Process(self._process.pid)
        while True:
            try:
                with urllib.request.urlopen(f"{self.url}api/health", timeout=1):
                    break
            except (urllib.error.URLError, ConnectionError, TimeoutError):
                if self._process.poll() is not None or time.perf_counter() - begin > READY_WITHIN_S:
                    self._log.seek(0)
                    raise RuntimeError(f"the server did not start:\n{self._log.read()}") from None
                time.sleep(0.01)
        self.ready_after_s = time.perf_counter() - begin
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.terminate()
        self._process.wait(timeout=20)
        self._log.close()
        self._folder.cleanup()

    def kill(self) -> None:
        """End it in the middle of whatever it does."""
        self._process.kill()
        self._process.wait()

    @property
    def memory_bytes(self) -> int:
        """Resident memory that no other process shares."""
        return int(self._usage.memory_full_info().uss)

    @property
    def descriptors(self) -> int:
        """Open file descriptors."""
        return int(self._usage.num_fds())

    def active_sessions(self) -> int:
        """How many calls it has now, by its own account."""
        with urllib.request.urlopen(f"{self.url}api/status", timeout=10) as answer:
            return int(json.load(answer)["sessions"]["active"])

    def measure(self, seconds: float) -> Cost:
        """Watch the server for a while."""
        begin, before = time.perf_counter(), self._usage.cpu_times()
        time.sleep(seconds)
        after, wall = self._usage.cpu_times(), time.perf_counter() - begin
        cpu = after.user + after.system - before.user - before.system
        return Cost(wall_s=wall, cpu_s=cpu, memory_bytes=self.memory_bytes)
