"""The installed `icey-server` as a process of its own, on free ports of loopback."""

from __future__ import annotations

import asyncio
import signal
import subprocess
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx
import psutil
from bench.server import command, write_config

from e2e.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

READY_WITHIN_S = 60  # the budget is 1.5 s; the rest is for a machine that others use too
STOP_WITHIN_S = 10
POOL_THREADS = 8
"""Threads of the server's pool for blocking calls; it makes them when it first needs them."""


@dataclass(frozen=True)
class Usage:
    """What a process holds; `memory` is its unique set size in bytes."""

    threads: int
    descriptors: int
    memory: int


class ServerProcess:
    """A running server: where it is, what it says about itself, what it uses."""

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        port: int,
        log: Path,
        *,
        host: str = "127.0.0.1",
        tls: bool = False,
    ) -> None:
        self.process = process
        self.url = f"{'https' if tls else 'http'}://{host}:{port}"
        self.log = log
        self._ps = psutil.Process(process.pid)
        # Loopback goes to no proxy, whatever the environment says.
        # Certificates of tests are signed by themselves.
        self._http = httpx.AsyncClient(base_url=self.url, trust_env=False, verify=not tls)

    @property
    def output(self) -> str:
        """Everything that it wrote so far."""
        return self.log.read_text(errors="replace")

    def thread_times(self) -> dict[int, float]:
        """CPU seconds of each of its threads so far, by thread id."""
        return {t.id: t.user_time + t.system_time for t in self._ps.threads()}

    def usage(self) -> Usage:
        """Measure it now."""
        with self._ps.oneshot():
            return Usage(
                threads=self._ps.num_threads(),
                descriptors=self._ps.num_fds(),
                memory=self._ps.memory_full_info().uss,
            )

    async def get(self, path: str) -> dict[str, Any]:
        """Get a JSON answer of the API."""
        body: dict[str, Any] = (await self._http.get(path)).json()
        return body

    async def active_sessions(self) -> int:
        """How many calls it has now, by its own account."""
        return int((await self.get("/api/status"))["sessions"]["active"])

    async def sessions_become(self, count: int, *, deadline_s: float = 10) -> None:
        """Wait until it has exactly this many calls."""

        async def reached() -> bool:
            return await self.active_sessions() == count

        await until(reached, f"{count} active sessions", deadline_s=deadline_s)

    async def answers(self) -> bool:
        """Whether /api/health is answered; an ended process is an error at once."""
        if self.process.returncode is not None:
            message = f"icey-server ended with {self.process.returncode}:\n{self.output}"
            raise AssertionError(message)
        try:
            return (await self._http.get("/api/health")).status_code == 200
        except httpx.TransportError:
            return False

    async def kill(self) -> None:
        """End it in the middle of whatever it does."""
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()
        await self._http.aclose()

    async def stop(self) -> int:
        """End it as a service manager does; return its exit code."""
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return await asyncio.wait_for(self.process.wait(), STOP_WITHIN_S)
        except TimeoutError:
            self.process.kill()
            await self.process.wait()
            message = f"icey-server did not end within {STOP_WITHIN_S} s:\n{self.output}"
            raise AssertionError(message) from None
        finally:
            await self._http.aclose()


@asynccontextmanager
async def running_server(
    folder: Path, *arguments: str, settings: dict[str, Any] | None = None
) -> AsyncIterator[ServerProcess]:
    """Run the server until the block is left; its output is printed then, for a failed test."""
    path, port = write_config(folder, settings)
    server = await start(folder, path, port, *arguments)
    if settings:
        server = ServerProcess(
            server.process,
            port,
            server.log,
            host="[::1]" if settings.get("http", {}).get("host") == "::1" else "127.0.0.1",
            tls="tls" in settings,
        )
    try:
        await until(server.answers, "the server answers", deadline_s=READY_WITHIN_S)
        yield server
    finally:
        try:
            code = await server.stop()
        finally:
            print(f"--- {server.log}\n{server.output}")  # noqa: T201
    assert code == 0


async def start(folder: Path, config: Path, port: int, *arguments: str) -> ServerProcess:
    """Start the process; it may not answer yet."""
    log = folder / "server.log"
    with log.open("ab") as output:
        process = await asyncio.create_subprocess_exec(
            command(),
            "--config",
            config,
            *arguments,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    return ServerProcess(process, port, log)
