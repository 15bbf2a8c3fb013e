"""GStreamer's RTSP server as a process, to be stopped and started by a test."""

from __future__ import annotations

import asyncio
from pathlib import Path

SCRIPT = Path(__file__).parents[1] / "integration" / "media" / "rtsp_server.py"
READY_WITHIN_S = 20


class RtspServer:
    """Serves a moving test card with a tone at `url`; the system's Python has the bindings."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.url = f"rtsp://user:secret@127.0.0.1:{port}/live"
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start it and wait until it listens."""
        self._process = await asyncio.create_subprocess_exec(
            "/usr/bin/python3", SCRIPT, str(self.port), stdout=asyncio.subprocess.PIPE
        )
        assert self._process.stdout is not None
        line = await asyncio.wait_for(self._process.stdout.readline(), READY_WITHIN_S)
        assert line == b"ready\n"

    async def stop(self) -> None:
        """End it; harmless where it does not run."""
        if self._process and self._process.returncode is None:
            self._process.terminate()
            await self._process.wait()
