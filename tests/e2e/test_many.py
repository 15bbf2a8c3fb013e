"""Several browsers at once, and one that dies."""

from __future__ import annotations

import os
import signal
from contextlib import AsyncExitStack

from e2e.chromium import AUTOPLAY, open_chromium
from e2e.clip import make_clip
from e2e.server_process import running_server
from e2e.viewer import Viewer
from e2e.waiting import until


async def browser_pid(browser):
    """The process id of a Chromium."""
    session = await browser.new_browser_cdp_session()
    info = await session.send("SystemInfo.getProcessInfo")
    return next(process["id"] for process in info["processInfo"] if process["type"] == "browser")


async def test_three_browsers_one_killed(tmp_path):
    """Three watch a file with sound; one is killed; two play on, and nothing stays of the third."""
    clip = tmp_path / "clip.mp4"
    make_clip(clip)
    async with running_server(tmp_path, "--source", str(clip)) as server, AsyncExitStack() as stack:
        viewers, browsers = [], []
        for number in range(3):
            browser = await stack.enter_async_context(open_chromium(AUTOPLAY))
            browsers.append(browser)
            viewers.append(await Viewer.open(await browser.new_context(), server.url))
            await viewers[-1].watch()
            await server.sessions_become(number + 1)
            if number == 1:
                two = server.usage()
        for viewer in viewers:
            stats = await viewer.stats()
            assert stats["audioEnergy"] > 0
        os.kill(await browser_pid(browsers[2]), signal.SIGKILL)

        await server.sessions_become(2, deadline_s=5)

        def back() -> bool:
            now = server.usage()
            return now.threads <= two.threads and now.descriptors <= two.descriptors

        await until(back, f"no more threads and descriptors than {two}", deadline_s=25)
        for viewer in viewers[:2]:
            await viewer.moves(pictures=50)  # more than one loop's worth of stalling would hide
            assert viewer.errors == []
            await viewer.page.close()
        await server.sessions_become(0)
        assert "Traceback" not in server.output
