"""However a call ends, its file is finished: nobody is needed to rescue it."""

from __future__ import annotations

import asyncio
import signal
import time
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import pytest
from playwright.async_api import expect

from e2e.chromium import AUTOPLAY, open_chromium, processes_of
from e2e.publisher import DrawnCamera, Publisher
from e2e.recording_file import read_recording
from e2e.server_process import running_server
from e2e.waiting import until

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.async_api import Browser

    from e2e.recording_file import RecordingFile
    from e2e.server_process import ServerProcess

pytestmark = pytest.mark.alone

SECONDS = 3
SILENT_FOR_S = 20
"""So long may a browser be silent, as a network that is lost makes it, before its call is over."""

ENOUGH_S = 30


async def test_every_end_finishes_the_file(tmp_path):
    """Tab closed, browser killed, network lost, server stopped: each leaves a whole file."""
    folder = tmp_path / "recordings"
    async with AsyncExitStack() as browsers:
        async with running_server(tmp_path, "--mode", "record", "--record-dir", folder) as server:
            tabs: dict[str, tuple[Browser, Publisher]] = {}
            for end in ("closed", "killed", "lost", "stopped"):
                browser = await browsers.enter_async_context(open_chromium(AUTOPLAY))
                tabs[end] = browser, await _recorded_tab(browser, server)
            await asyncio.sleep(SECONDS)

            users = {end: await _user(publisher) for end, (_, publisher) in tabs.items()}
            await asyncio.gather(
                _closed(tabs["closed"][1], folder, users["closed"]),
                _killed(tabs["killed"][0], folder, users["killed"]),
                _lost(tabs["lost"][0], folder, users["lost"]),
            )
            assert await server.active_sessions() == 1
            begun = time.monotonic()
            server.process.send_signal(signal.SIGTERM)
            wall_ms = time.time() * 1000
            await server.process.wait()
            assert time.monotonic() - begun < 5
        stopped = _finished(folder, users["stopped"])
        assert stopped is not None
        _assert_whole("stopped", stopped, wall_ms, within_ms=700)
        page = tabs["stopped"][1].page
        await expect(page.locator("#status")).to_contain_text("Waiting for it to come back")
    assert not list(folder.glob("*.part"))


async def _recorded_tab(browser: Browser, server: ServerProcess) -> Publisher:
    camera = DrawnCamera(480, 270, 15)
    publisher = await Publisher.open(await browser.new_context(), server.url, camera)
    await publisher.call()
    return publisher


async def _user(publisher: Publisher) -> str:
    """What the page calls itself, and its files begin with."""
    return str(await publisher.page.evaluate("icey.user"))


async def _closed(publisher: Publisher, folder: Path, user: str) -> None:
    """The page hangs up on its way out, so this is quick."""
    wall_ms = time.time() * 1000
    await publisher.page.close(run_before_unload=True)
    file = await until(lambda: _finished(folder, user), "the file", deadline_s=3)
    _assert_whole("closed", file, wall_ms, within_ms=400)


async def _killed(browser: Browser, folder: Path, user: str) -> None:
    """The socket closes when its process is gone, so this is quick, too."""
    wall_ms = time.time() * 1000
    for process in await processes_of(browser):
        process.kill()
    file = await until(lambda: _finished(folder, user), "the file", deadline_s=5)
    _assert_whole("killed", file, wall_ms, within_ms=400)


async def _lost(browser: Browser, folder: Path, user: str) -> None:
    """Nothing is heard of the browser any more; both connections stay open."""
    processes = await processes_of(browser)
    wall_ms = time.time() * 1000
    begun = time.monotonic()
    for process in processes:
        process.suspend()
    try:
        file = await until(lambda: _finished(folder, user), "the file", deadline_s=ENOUGH_S)
        took = time.monotonic() - begun
    finally:
        for process in processes:
            process.resume()
    print(f"lost: finished after {took:.1f} s")  # noqa: T201
    assert took < SILENT_FOR_S + 5
    _assert_whole("lost", file, wall_ms, within_ms=400)


def _finished(folder: Path, user: str) -> Path | None:
    return next(folder.glob(f"{user}-*.mp4"), None)


def _assert_whole(end: str, file: Path, wall_ms: float, *, within_ms: int) -> None:
    """It lasts from the call's beginning to the moment of its end."""
    recording: RecordingFile = read_recording(file)
    last_ms = wall_ms - recording.clocks[-1]
    print(f"{end}: {recording.duration:.2f} s, its last picture {last_ms:.0f} ms old")  # noqa: T201
    assert ".recovered." not in file.name
    assert last_ms < within_ms
    filmed = (recording.clocks[-1] - recording.clocks[0]) / 1000
    assert abs(recording.duration - filmed) < 0.3
    assert filmed > SECONDS - 0.5
    assert recording.codecs == ("h264", "opus")
