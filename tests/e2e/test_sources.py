"""Films with something missing or a seam, seen and heard in the browser."""

from __future__ import annotations

import json
import os
from pathlib import Path

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


async def test_any_name_plays(tmp_path, context):
    """A file whose name has a line feed and a byte that is no UTF-8 plays; its name is escaped."""
    clip = tmp_path / "clip.mp4"
    make_clip(clip, seconds=2)
    odd = clip.rename(Path(os.fsdecode(os.fsencode(tmp_path) + b"/two\nlines caf\xe9.mp4")))
    async with running_server(tmp_path, settings={"media": {"source": str(odd)}}) as server:
        viewer = await Viewer.open(context, server.url)
        await viewer.watch()
        assert r"two\\nlines caf\\xe9.mp4" in json.dumps(await server.get("/api/status"))
        odd.unlink()
        await viewer.page.reload()
        await viewer.ready()
        await viewer.page.locator("#watch").click()
        await until(lambda: "no such file" in server.output, "a line in the log")
        assert r"two\nlines caf\xe9.mp4: no such file" in server.output


async def test_photo_is_a_still(tmp_path, context):
    """One JPEG as the source stands there, for whoever comes, and goes on."""
    photo = tmp_path / "photo.jpg"
    with av.open(str(photo), "w", format="mjpeg") as container:
        stream = container.add_stream("mjpeg", rate=25)
        stream.width, stream.height, stream.pix_fmt = 641, 361, "yuvj444p"
        red = np.full((361, 641, 3), (220, 20, 20), np.uint8)
        container.mux(stream.encode(av.VideoFrame.from_ndarray(red, "rgb24")))
        container.mux(stream.encode(None))
    async with running_server(tmp_path, "--source", str(photo)) as server:
        for _ in range(2):
            viewer = await Viewer.open(context, server.url)
            await viewer.watch()
            await viewer.moves(pictures=10)
            ((seen, green, _),) = await viewer.pixels([(0.5, 0.5)])
            assert seen > 180
            assert green < 60
