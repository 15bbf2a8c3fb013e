"""A live camera over RTSP, that goes away and comes back."""

from __future__ import annotations

from contextlib import aclosing

from bench.ports import free_port

from e2e.rtsp import RtspServer
from e2e.server_process import running_server
from e2e.viewer import Viewer
from e2e.waiting import until

ROW = [((x + 0.5) / 64, 0.2) for x in range(64)]


async def camera(port):
    """The RTSP server, stopped at the end."""
    server = RtspServer(port)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


async def changes(viewer, *, over_ms=300):
    """Whether a row of the picture is another one a moment later; its colours travel."""
    before = await viewer.pixels(ROW)
    await viewer.page.wait_for_timeout(over_ms)
    after = await viewer.pixels(ROW)
    moved = sum(
        max(abs(a - b) for a, b in zip(old, new, strict=True)) > 40
        for old, new in zip(before, after, strict=True)
    )
    return moved >= 3


async def test_camera_that_comes_back(tmp_path, context):
    """RTSP plays; while the camera is away the call stays; when it is back, it plays on."""
    async with aclosing(camera(free_port())) as cameras:
        rtsp = await anext(cameras)
        async with running_server(tmp_path, "--source", rtsp.url) as server:
            viewer = await Viewer.open(context, server.url)
            await viewer.watch()
            await viewer.page.evaluate("window.first = icey.peerConnection")
            await until(lambda: changes(viewer), "the test card moves")
            stats = await viewer.stats()
            assert stats["audioEnergy"] > 0

            await rtsp.stop()

            async def still() -> bool:
                return not await changes(viewer, over_ms=1_000)

            await until(still, "the picture stands still", deadline_s=20)
            assert await server.active_sessions() == 1
            silent = (await viewer.stats())["audioEnergy"]

            await rtsp.start()
            await until(lambda: changes(viewer), "the test card moves again", deadline_s=30)

            async def heard() -> bool:
                return (await viewer.stats())["audioEnergy"] > silent + 0.001

            await until(heard, "the tone is back")
            assert await viewer.page.evaluate("first === icey.peerConnection")
            status = await server.get("/api/status")
            assert status["sessions"]["total"] == 1
            assert status["stream"]["framesDropped"] == 0
            for text in ("secret", "user:"):
                assert text not in str(await server.get("/api/status"))
                assert text not in str(await server.get("/api/config"))
                assert text not in server.output
