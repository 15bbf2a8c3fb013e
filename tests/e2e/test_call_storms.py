"""Strangers who call in crowds: who proves nothing costs nothing, and encoders are bounded."""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path

import pytest

from e2e.aiortc_viewer import AiortcViewer, aiortc_viewer
from e2e.clip import make_clip
from e2e.server_process import POOL_THREADS, running_server
from e2e.waiting import until

ATTACKER = Path(__file__).with_name("text_offers.py")
OFFER = Path(__file__).parents[2] / "rust/engine/tests/offers/chromium.sdp"
SMALL = {"width": 320, "height": 180}


def shows_pictures(viewer: AiortcViewer) -> bool:
    """Whether a second of pictures has come."""
    return len(viewer.video.packets) > 30


@asynccontextmanager
async def offering(url, calls):
    """Offer so many calls from a process of its own, without UDP; gives what it says of them."""
    attacker = await asyncio.create_subprocess_exec(
        sys.executable,
        str(ATTACKER),
        url,
        str(calls),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert attacker.stdin is not None
    attacker.stdin.write(OFFER.read_bytes())
    attacker.stdin.write_eof()
    try:
        yield attacker.stdout
    finally:
        attacker.kill()
        await attacker.wait()


async def test_offers_as_mere_text_cost_next_to_nothing(tmp_path):
    """60 offers without UDP open no source; beyond the bound they are refused; all is given back.

    An honest viewer of another bound, the connected calls, gets in meanwhile.
    """
    clip = tmp_path / "clip.mp4"
    make_clip(clip)
    settings = {"limits": {"unconnectedCallsPerAddress": 40}}
    async with running_server(tmp_path, "--source", str(clip), settings=settings) as server:
        before = server.usage()
        async with offering(server.url, 60) as told_by:
            async with asyncio.timeout(30):
                told = json.loads(await told_by.readline())
            assert told["answered"] == 40
            assert all("limits.unconnectedCallsPerAddress" in reason for reason in told["rejected"])
            status = await server.get("/api/status")
            assert status["refused"] == {"unconnectedCallsPerAddress": 20}
            assert status["load"]["unconnectedCalls"] == 40
            assert status["load"]["encoders"] == 0
            height = server.usage()
            print(f"before {before}, with 40 offers {height}")  # noqa: T201
            assert height.threads <= before.threads + POOL_THREADS
            assert height.memory - before.memory < 20 * 2**20  # 400 MB when sources opened at once
        await server.sessions_become(0)
        async with aiortc_viewer(server.url) as viewer:
            await until(lambda: viewer.video.packets, "pictures come")


async def test_offers_without_a_path_end_soon(tmp_path):
    """A call that is never connected is over after 15 s, and its peer is gone."""
    settings = {"limits": {"unconnectedCallsPerAddress": 4}}
    async with (
        running_server(tmp_path, "--source", "demo:", settings=settings) as server,
        offering(server.url, 4) as told_by,
    ):
        assert json.loads(await told_by.readline())["answered"] == 4
        await server.sessions_become(0, deadline_s=20)
        assert (await server.get("/api/status"))["engine"]["peers"] == 0


@pytest.mark.parametrize("pipeline", ["auto", "per-peer"])
async def test_one_viewer_more_than_encoders(tmp_path, pipeline):
    """With `auto` it shares a pipeline; with `per-peer` it is refused, with the setting's name."""
    clip = tmp_path / "clip.mp4"
    make_clip(clip)
    media = {"source": str(clip), "pipeline": pipeline, "maxEncoders": 2, "video": SMALL}
    async with running_server(tmp_path, settings={"media": media}) as server:
        async with AsyncExitStack() as stack:
            viewers = [await stack.enter_async_context(aiortc_viewer(server.url)) for _ in range(2)]
            if pipeline == "auto":
                viewers.append(await stack.enter_async_context(aiortc_viewer(server.url)))
            else:
                with pytest.raises(AssertionError, match=r"media\.maxEncoders"):
                    await stack.enter_async_context(aiortc_viewer(server.url))
            for viewer in viewers:
                await until(partial(shows_pictures, viewer), "pictures come")
            status = await server.get("/api/status")
            assert (status["load"]["encoders"], status["load"]["encodersMost"]) == (2, 2)
            sharing = {"auto": 2, "per-peer": 0}[pipeline]
            assert status["load"]["viewersSharing"] == sharing
            assert status["refused"] == ({} if pipeline == "auto" else {"encoders": 1})
        await server.sessions_become(0)

        async def all_free() -> bool:
            return (await server.get("/api/status"))["load"]["encoders"] == 0

        await until(all_free, "encoders are given back", deadline_s=15)
