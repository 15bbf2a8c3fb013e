"""The installed server as a process of its own, and what it costs.

The tests with a browser start it from here too (``tests/e2e/server_process.py``).
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import psutil

from bench.ports import free_port

READY_WITHIN_S = 30.0
UNBOUNDED = dict.fromkeys(
    (
        "calls",
        "callsPerAddress",
        "unconnectedCalls",
        "unconnectedCallsPerAddress",
        "recordings",
        "recordingsPerAddress",
    ),
    0,
)
"""``limits`` of a server that is measured: all its load comes from one address."""

ENGINE = "icey-engine"
"""The name of the engine's thread."""


def command() -> Path:
    """Return the installed command: the one beside the Python that runs this."""
    path = Path(sys.executable).with_name("icey-server")
    if not path.exists():
        raise FileNotFoundError(f"{path} is not there: run `make build`")
    return path


def write_config(folder: Path, settings: dict[str, Any] | None = None) -> tuple[Path, int]:
    """Write a configuration with free ports into a folder; return its path and the HTTP port.

    Args:
        folder: where ``config.json`` goes.
        settings: merged on top, section by section.
    """
    config: dict[str, Any] = {
        "http": {"host": "127.0.0.1", "port": free_port()},
        "webrtc": {"port": free_port()},
        "turn": {"port": 0},
    }
    for section, values in (settings or {}).items():
        config.setdefault(section, {}).update(values)
    path = folder / "config.json"
    path.write_text(json.dumps(config))
    return path, config["http"]["port"]


def cpu_seconds(process: int, thread: str | None = None) -> float:
    """Return the CPU seconds so far of a process's threads, or of those with this name."""
    total = 0
    for task in Path(f"/proc/{process}/task").iterdir():
        try:
            if thread is None or (task / "comm").read_text().strip() == thread:
                total += int((task / "schedstat").read_text().split()[0])  # ns, proc(5)
        except (FileNotFoundError, ProcessLookupError):  # it has ended since
            continue
    return total / 1e9


@dataclass(frozen=True)
class Cost:
    """What the server used in a stretch of time.

    Attributes:
        wall_s: how long it was.
        cpu_s: CPU seconds of all threads.
        engine_s: of these, the engine's.
        memory_bytes: resident memory at the end that no other process shares.
    """

    wall_s: float
    cpu_s: float
    engine_s: float
    memory_bytes: int

    @property
    def core_percent(self) -> float:
        """CPU time as a share of one core."""
        return 100 * self.cpu_s / self.wall_s


class Server:
    """``icey-server`` on free ports of the loopback; a context manager.

    Args:
        media: the ``media`` part of the configuration.
        sections: the others.
    """

    def __init__(self, media: dict[str, Any], **sections: dict[str, Any]) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="icey-bench-")
        settings = {"media": {"maxEncoders": 0, **media}, "limits": UNBOUNDED, **sections}
        self._config, self.port = write_config(Path(self._folder.name), settings)
        self.ready_after_s = 0.0

    @property
    def url(self) -> str:
        """Where the page is."""
        return f"http://127.0.0.1:{self.port}/"

    def __enter__(self) -> Self:
        begin = time.perf_counter()
        self._log = (Path(self._folder.name) / "log").open("w+")
        self._process = subprocess.Popen(
            [command(), "--config", self._config], stdout=self._log, stderr=subprocess.STDOUT
        )
        self._usage = psutil.Process(self._process.pid)
        while True:
            try:
                self.get("api/health")
                break
            except (urllib.error.URLError, ConnectionError, TimeoutError):
                if self._process.poll() is not None or time.perf_counter() - begin > READY_WITHIN_S:
                    raise RuntimeError(f"the server did not start:\n{self.log}") from None
                time.sleep(0.01)
        self.ready_after_s = time.perf_counter() - begin
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(timeout=20)
        self._log.close()
        self._folder.cleanup()

    def kill(self) -> None:
        """End it in the middle of whatever it does."""
        self._process.kill()
        self._process.wait()

    @property
    def log(self) -> str:
        """What it has written so far."""
        return Path(self._log.name).read_text()

    @property
    def pid(self) -> int:
        """Of its process."""
        return self._process.pid

    @property
    def memory_bytes(self) -> int:
        """Resident memory that no other process shares."""
        return int(self._usage.memory_full_info().uss)

    @property
    def descriptors(self) -> int:
        """Open file descriptors."""
        return int(self._usage.num_fds())

    def get(self, path: str) -> Any:  # noqa: ANN401
        """Get a JSON answer of the API."""
        with urllib.request.urlopen(self.url + path, timeout=10) as answer:
            return json.load(answer)

    def active_sessions(self) -> int:
        """How many calls it has now, by its own account."""
        return int(self.get("api/status")["sessions"]["active"])

    def measure(self, seconds: float) -> Cost:
        """Watch the server for a while."""
        begin = time.perf_counter()
        cpu, engine = cpu_seconds(self.pid), cpu_seconds(self.pid, ENGINE)
        time.sleep(seconds)
        return Cost(
            cpu_s=cpu_seconds(self.pid) - cpu,
            engine_s=cpu_seconds(self.pid, ENGINE) - engine,
            wall_s=time.perf_counter() - begin,
            memory_bytes=self.memory_bytes,
        )
