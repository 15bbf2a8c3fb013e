"""Starts and stops the RTSP server of `rtsp_server.py`; the fixture `rtsp_server` is one."""

from __future__ import annotations

import subprocess
from pathlib import Path

from bench.ports import free_port

SCRIPT = Path(__file__).with_name("rtsp_server.py")
SYSTEM_PYTHON = "/usr/bin/python3"  # Debian's bindings of GStreamer are for the system's Python


class RtspServer:
    """One server process; `stop` and `start` may alternate, the port stays the same."""

    def __init__(self) -> None:
        self.port = free_port()
        self._process: subprocess.Popen[str] | None = None

    @property
    def url(self) -> str:
        """Where it serves colour bars and a tone, with user and password."""
        return f"rtsp://user:secret@127.0.0.1:{self.port}/live"

    @property
    def process_id(self) -> int:
        """The id of the running process."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start it and wait until it listens."""
        self._process = subprocess.Popen(
            [SYSTEM_PYTHON, str(SCRIPT), str(self.port)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line == "ready\n", "the RTSP server did not start: is tests/packages.sh done?"

    def stop(self) -> None:
        """Kill it, as a camera that loses its power."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            assert self._process.stdout is not None
            self._process.stdout.close()
            self._process = None
