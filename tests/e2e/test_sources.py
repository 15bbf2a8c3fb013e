"""Films with something missing or a seam, seen and heard in the browser."""

from __future__ import annotations

import av
import numpy as np
import pytest

from e2e.clip import RATE, make_clip
from e2e.server_process import running_server
from e2e.viewer import Viewer
from e2e.waiting import until


@pytest.mark.alone
async def test_loop_has_no_seam(tmp_path, context):
    """A film of 2 s that loops plays through its end: no frozen picture, no hole in the sound."""
    clip = tmp_path / "clip.mp4"
    make_clip(clip, seconds=2)
    async with running_server(tmp_path, "--source", str(clip)) as server:
        viewer = await Viewer.open(context, server.url)
        await viewer.watch()
        tries = []

        async def smooth() -> bool:
            before = await viewer.stats()
            rate = await viewer.frame_rate(6.5)  # three seams
            after = await viewer.stats()
            tries.append((rate, after["freezeCount"] - before["freezeCount"]))
            return rate >= 23 and tries[-1][1] == 0

        # The machine is shared: another stretch may be tried, a worse one may not pass.
        await until(smooth, f"a smooth stretch over three seams: {tries}", deadline_s=20)
        assert await viewer.page.evaluate("icey.peerConnection.connectionState") == "connected"


async def test_sound_only(tmp_path, context):
    """A source without a picture plays its sound below a dark picture with a caption."""
    film = tmp_path / "sound.m4a"
    with av.open(str(film), "w", format="mp4") as container:
        audio = container.add_stream("aac", rate=RATE, layout="mono")
        for start in range(0, 4 * RATE, 1024):
            wave = 0.3 * np.sin(2 * np.pi * 440 * np.arange(start, start + 1024) / RATE)
            frame = av.AudioFrame.from_ndarray(
                wave[None].astype("f4"), format="fltp", layout="mono"
            )
            frame.sample_rate, frame.pts = RATE, start
            container.mux(audio.encode(frame))
        container.mux(audio.encode(None))
    async with running_server(tmp_path, "--source", str(film)) as server:
        viewer = await Viewer.open(context, server.url)
        await viewer.watch()

        async def heard() -> bool:
            return (await viewer.stats())["audioLevel"] > 0.05

        await until(heard, "the tone")
        corners = [(0.02, 0.02), (0.98, 0.02), (0.02, 0.2), (0.98, 0.2)]
        assert max(max(pixel) for pixel in await viewer.pixels(corners)) < 40
        grid = [(x / 200, y / 40) for x in range(1, 200) for y in range(1, 40)]
        assert max(max(pixel) for pixel in await viewer.pixels(grid)) > 120, "no caption"


async def test_picture_only(tmp_path, context):
    """A source without sound plays its picture."""
    clip = tmp_path / "clip.mp4"
    make_clip(clip, seconds=2, sound=False)
    async with running_server(tmp_path, "--source", str(clip)) as server:
        viewer = await Viewer.open(context, server.url)
        await viewer.watch()
        await viewer.moves(pictures=75)
        assert viewer.errors == []
