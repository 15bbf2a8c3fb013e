"""Several browsers at once, and one that dies."""

from __future__ import annotations

import os
import signal
from contextlib import AsyncExitStack

import av
import numpy as np

from e2e.chromium import AUTOPLAY, open_chromium
from e2e.server_process import running_server
from e2e.viewer import Viewer
from e2e.waiting import until

RATE = 48_000


def make_clip(path, *, seconds=4.0, width=640, height=360, fps=25):
    """Write an MP4 with a moving H.264 picture and a 440 Hz tone in AAC."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=fps, options={"preset": "ultrafast"})
        video.width, video.height, video.pix_fmt = width, height, "yuv420p"
        audio = container.add_stream("aac", rate=RATE, layout="stereo")
        for index in range(int(seconds * fps)):
            picture = np.full((height, width, 3), 60, np.uint8)
            left = index * 8 % (width - 40)
            picture[:, left : left + 40] = (220, 40, 40)
            container.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        wave = 0.3 * np.sin(2 * np.pi * 440 * np.arange(int(seconds * RATE)) / RATE)
        for start in range(0, wave.size - 1023, 1024):
            block = np.tile(wave[start : start + 1024].astype(np.float32), (2, 1))
            frame = av.AudioFrame.from_ndarray(block, format="fltp", layout="stereo")
            frame.sample_rate, frame.pts = RATE, start
            container.mux(audio.encode(frame))
        container.mux(video.encode(None))
        container.mux(audio.encode(None))


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
