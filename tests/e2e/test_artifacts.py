"""Recordings in a browser, from a real server: links that play, seek, and end."""

from __future__ import annotations

import asyncio
import time

import httpx

from e2e.clip import make_clip
from e2e.server_process import running_server
from e2e.waiting import until

TOKEN = "s3cret-t0ken"
NAME = "alice-20261124T101112.345Z.mp4"

SEEK = """async () => {
    const video = document.querySelector("video");
    const happens = (name) => new Promise((done, fail) => {
        video.addEventListener(name, done, { once: true });
        video.addEventListener("error", () => fail(new Error(video.error.message)), { once: true });
    });
    if (video.readyState < 2) await happens("loadeddata");
    video.pause();
    const seeked = happens("seeked");
    video.currentTime = video.duration * 0.9;
    await seeked;
    return { duration: video.duration, at: video.currentTime, width: video.videoWidth };
}"""


async def test_a_link_is_opened_in_a_browser(tmp_path, context):
    """A link of the list, opened by itself and with no token, plays and can be sought in."""
    folder = tmp_path / "recordings"
    folder.mkdir()
    make_clip(folder / NAME, seconds=60)
    settings = {
        "auth": {"token": TOKEN},
        "media": {"mode": "record", "recordDir": str(folder)},
    }
    async with running_server(tmp_path, settings=settings) as server:
        async with httpx.AsyncClient(base_url=server.url, trust_env=False) as http:
            headers = {"Authorization": f"Bearer {TOKEN}"}
            body = (await http.get("/api/recordings", headers=headers)).json()
        [recording] = body["recordings"]
        page = await context.new_page()
        ranges: list[str | None] = []
        page.on("request", lambda request: ranges.append(request.headers.get("range")))
        await page.goto(server.url + recording["url"])
        played = await page.evaluate(SEEK)
        assert abs(played["duration"] - 60) < 0.2
        assert abs(played["at"] - 54) < 0.2
        assert played["width"] == 640
        assert any(ranges)
        refused = await page.goto(f"{server.url}/artifacts/{NAME}")
        assert refused is not None
        assert refused.status == 401
        assert TOKEN not in server.output


async def test_who_does_not_read_holds_nothing_up(tmp_path):
    """A download that stands still costs no memory, and does not delay the server's end."""
    folder = tmp_path / "recordings"
    folder.mkdir()
    with (folder / NAME).open("wb") as file:
        file.truncate(1 << 30)
    settings = {"media": {"mode": "record", "recordDir": str(folder)}}
    async with running_server(tmp_path, settings=settings) as server:
        before = server.usage()
        host, port = server.url.removeprefix("http://").split(":")
        stalled = []
        for _ in range(20):
            reader, writer = await asyncio.open_connection(host, int(port), limit=1 << 12)
            writer.write(f"GET /artifacts/{NAME} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
            assert (await reader.readline()).startswith(b"HTTP/1.1 200")
            stalled.append((reader, writer))
        sockets_and_files = before.descriptors + 2 * len(stalled)
        await until(lambda: server.usage().descriptors >= sockets_and_files, "all are under way")
        assert await server.answers()
        assert server.usage().memory - before.memory < 32 << 20
        began = time.monotonic()
    assert time.monotonic() - began < 4
    for _, writer in stalled:
        writer.close()
