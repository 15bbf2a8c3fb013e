"""A server that is killed while it records: what the next start makes of its files."""

from __future__ import annotations

import asyncio
import random
import time
from contextlib import AsyncExitStack

import pytest
from bench.server import write_config

from e2e.aiortc_publisher import aiortc_publisher
from e2e.recording_file import read_recording
from e2e.server_process import READY_WITHIN_S, running_server, start
from e2e.waiting import until

pytestmark = pytest.mark.alone

CAMERAS = 2
WORST_LOSS_S = 1.5


@pytest.mark.parametrize("seed", range(3))
async def test_a_killed_server_loses_next_to_nothing(tmp_path, seed):
    """After kill -9 at a random moment, each file is repaired and lacks the last 1.5 s at most."""
    settings = {"media": {"mode": "record", "recordDir": str(tmp_path / "recordings")}}
    config, port = write_config(tmp_path, settings)
    server = await start(tmp_path, config, port)
    await until(server.answers, "the server answers", deadline_s=READY_WITHIN_S)
    async with AsyncExitStack() as stack:
        for number in range(CAMERAS):
            await stack.enter_async_context(aiortc_publisher(server.url, f"camera-{number}"))
        parts = await until(
            lambda: _files(tmp_path, ".mp4.part", CAMERAS), "both record", deadline_s=20
        )
        await asyncio.sleep(random.Random(seed).uniform(1.5, 4))  # the moment is the random one
        await server.kill()
        killed_ms = time.time() * 1000

    async with running_server(tmp_path, settings=settings):
        recovered = await until(
            lambda: _files(tmp_path, ".recovered.mp4", CAMERAS), "both repaired", deadline_s=20
        )
    assert not any(part.exists() for part in parts)
    for path in recovered:
        recording = read_recording(path)
        lost = (killed_ms - recording.clocks[-1]) / 1000
        print(f"{path.name}: {recording.duration:.2f} s kept, the last {lost:.2f} s lost")  # noqa: T201
        assert lost <= WORST_LOSS_S
        assert recording.codecs == ("h264", "opus")


def _files(folder, ending, count):
    found = [p for p in (folder / "recordings").glob("*") if p.name.endswith(ending)]
    return found if len(found) == count else None
