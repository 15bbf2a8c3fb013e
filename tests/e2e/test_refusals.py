"""Whatever cannot be played is refused at once, with a reason that the page shows."""

from __future__ import annotations

import asyncio

import pytest
from bench.server import write_config
from playwright.async_api import expect

from e2e.clip import make_clip
from e2e.server_process import running_server, start
from e2e.viewer import Viewer


def gone(clip):
    """The file was deleted."""
    clip.unlink()


def garbage(clip):
    """The file holds something else now."""
    clip.write_bytes(b"this is no film " * 4096)


def unknown_codec(clip):
    """The file's only stream is of a codec that nobody knows."""
    make_clip(clip, seconds=1, sound=False)
    clip.write_bytes(clip.read_bytes().replace(b"avc1", b"zzz9"))


@pytest.mark.parametrize(
    ("spoil", "words"),
    [(gone, "no such file"), (garbage, "Invalid data"), (unknown_codec, "no decoder")],
)
@pytest.mark.alone
async def test_source_that_broke_after_the_start(tmp_path, context, spoil, words):
    """A source that was good at the start and is not at the click: FFmpeg's words, within 3 s."""
    clip = tmp_path / "clip.mp4"
    make_clip(clip, seconds=1)
    async with running_server(tmp_path, "--source", str(clip)) as server:
        viewer = await Viewer.open(context, server.url)
        spoil(clip)
        await viewer.page.locator("#watch").click()
        problem = viewer.page.locator("#problem")
        await expect(problem).to_contain_text(words, timeout=3_000)
        await expect(problem).not_to_contain_text(str(tmp_path))
        await expect(viewer.page.locator("#watch")).to_be_visible()
        await server.sessions_become(0)

        make_clip(clip, seconds=1)  # and once it is good again, so is Watch
        await viewer.watch()


async def test_source_ended(tmp_path, context):
    """Without loop a film ends with `source ended`, and can be watched again from its start."""
    clip = tmp_path / "clip.mp4"
    make_clip(clip, seconds=2)
    async with running_server(tmp_path, "--source", str(clip), "--no-loop") as server:
        viewer = await Viewer.open(context, server.url)
        for _ in range(2):
            await viewer.watch()
            status = viewer.page.locator("#status")
            await expect(status).to_contain_text("source ended", timeout=6_000)
            await server.sessions_become(0)


@pytest.mark.parametrize(
    ("settings", "words", "codes"),
    [
        ({"media": {"source": "nowhere.mp4"}}, "nowhere.mp4", {4}),
        ({"media": {"source": "demo:", "video": {"codec": "nosuch"}}}, "nosuch", {3, 4}),
        ({"media": {"source": "demo:", "audio": {"codec": "nosuch"}}}, "nosuch", {3, 4}),
        ({"turn": {"tlsPort": 5349}}, "'turn.tlsPort' is 5349, but there is no certificate", {3}),
    ],
    ids=[
        "missing source",
        "unknown video codec",
        "unknown audio codec",
        "TLS without a certificate",
    ],
)
async def test_what_cannot_work_does_not_start(tmp_path, settings, words, codes):
    """What can be known before the first call ends the start, with what to change."""
    path, port = write_config(tmp_path, settings)
    server = await start(tmp_path, path, port)
    code = await asyncio.wait_for(server.process.wait(), 60)
    await server.stop()
    assert code in codes, server.output
    assert words in server.output
    assert "Traceback" not in server.output
