"""Several browsers at once, and one that dies."""

from __future__ import annotations

import os
import signal
from contextlib import AsyncExitStack

import pytest

from e2e.chromium import AUTOPLAY, open_chromium
from e2e.clip import make_clip
from e2e.server_process import POOL_THREADS, running_server
from e2e.viewer import Viewer
from e2e.waiting import until

pytestmark = pytest.mark.alone


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
                two, threads_of_two = server.usage(), set(server.thread_times())
        for viewer in viewers:
            stats = await viewer.stats()
            assert stats["audioEnergy"] > 0
        os.kill(await browser_pid(browsers[2]), signal.SIGKILL)

        await server.sessions_become(2, deadline_s=5)

        await until(
            lambda: server.usage().descriptors <= two.descriptors,
            f"no more descriptors than {two.descriptors}",
            deadline_s=25,
        )
        # Only idle threads of the pool may have come since: media threads never rest.
        before = server.thread_times()
        await viewers[0].page.wait_for_timeout(2_000)
        after = server.thread_times()
        since = {tid: after[tid] - before.get(tid, 0) for tid in after.keys() - threads_of_two}
        assert len(since) <= POOL_THREADS
        assert sum(since.values()) < 0.1

        for viewer in viewers[:2]:
            await viewer.moves(pictures=50)  # more than one loop's worth of stalling would hide
            assert viewer.errors == []
            await viewer.page.close()
        await server.sessions_become(0)
        assert "Traceback" not in server.output


async def test_each_call_on_a_film_is_freed(tmp_path, context):
    """Of 24 calls, each with a pipeline of its own, nothing stays: threads, descriptors, memory."""
    clip = tmp_path / "clip.mp4"
    make_clip(clip)
    async with running_server(tmp_path, "--source", str(clip)) as server:
        viewer = await Viewer.open(context, server.url)
        await viewer.watch()
        await viewer.hang_up()
        await server.sessions_become(0)
        before = server.usage()
        for _ in range(24):
            await viewer.watch()
            await viewer.hang_up()
        await server.sessions_become(0)

        def back() -> bool:
            now = server.usage()
            threads = before.threads + POOL_THREADS
            return now.threads <= threads and now.descriptors <= before.descriptors

        await until(back, f"no more threads and descriptors than {before}")
        # Kept pipelines would be 500 MB; what the allocator keeps for the pool's threads is not.
        assert server.usage().memory - before.memory < 100 * 2**20
