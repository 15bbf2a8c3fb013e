"""Detectors beside a stream that a browser watches: events arrive, and the picture never waits."""

from __future__ import annotations

import asyncio
import statistics

import pytest
from bench.ports import free_port
from playwright.async_api import expect

from e2e.rtsp import RtspServer
from e2e.server_process import running_server
from e2e.viewer import Viewer
from e2e.waiting import until

LISTEN = """
    window.heard = [];
    const Real = WebSocket;
    window.WebSocket = class extends Real {
      constructor(...args) {
        super(...args);
        this.addEventListener("message", ({ data }) => {
          const message = JSON.parse(data);
          if (message.subtype?.startsWith("icey:")) heard.push(message);
        });
      }
    };
"""

BAD = """
import time

class Sleeps:
    def process(self, frame, context):
        time.sleep(5)
        return []

class Raises:
    def process(self, frame, context):
        raise RuntimeError("always")
"""


async def watching(context, url):
    """Open a tab that notes the events, and watch."""
    page = await context.new_page()
    await page.add_init_script(LISTEN)
    await page.add_init_script(path=Viewer.script)
    viewer = Viewer(page)
    await page.goto(url)
    await viewer.ready()
    await viewer.watch()
    return viewer


@pytest.mark.alone
async def test_bad_detectors_do_not_touch_the_picture(context, tmp_path):
    """Beside one that sleeps and one that raises, rate and latency are those without detectors."""
    (tmp_path / "plain").mkdir()
    (tmp_path / "busy").mkdir()
    bad = tmp_path / "busy" / "bad.py"
    bad.write_text(BAD)
    each = {"everyNthFrame": 1, "minIntervalUsec": 0}
    busy = {
        "source": "demo:",
        "intelligence": {
            "vision": {"enabled": True, **each},
            "speech": {"enabled": True},
            "detectors": [{"use": f"{bad}:Sleeps"}, {"use": f"{bad}:Raises"}],
        },
    }
    async with (
        running_server(tmp_path / "plain", settings={"media": {"source": "demo:"}}) as without,
        running_server(tmp_path / "busy", settings={"media": busy}) as with_detectors,
    ):
        plain = await watching(context, without.url)
        observed = await watching(context, with_detectors.url)
        viewers = plain, observed
        rounds: list[tuple[float, float, float, float]] = []

        async def the_same() -> bool:
            # Both at once: whatever else the machine does, it does to both.
            rates = await asyncio.gather(*(viewer.frame_rate(5) for viewer in viewers))
            ages = []
            for viewer in viewers:  # a tab in the background shows nothing
                await viewer.page.bring_to_front()
                ages.append(statistics.median(await viewer.page.evaluate("watching.glass(30)")))
            rounds.append((rates[0], rates[1], ages[0], ages[1]))
            return rates[1] >= 25 and rates[1] >= rates[0] - 1 and ages[1] <= ages[0] + 40

        await until(the_same, f"rate and latency alike: {rounds}", deadline_s=40)
        print(f"fps without, with; latency ms without, with: {rounds}")  # noqa: T201

        status = (await with_detectors.get("/api/status"))["intelligence"]["vision"]
        detectors = {one["name"]: one for one in status["detectors"]}
        assert detectors["Sleeps"]["dropped"] > 100
        assert "switched off" in detectors["Raises"]["off"]
        assert detectors["motion"]["dropped"] == 0
        for viewer in viewers:
            assert viewer.errors == []


async def test_events_arrive_on_the_page(context, tmp_path):
    """Motion and speech arrive as messages of the server while the video plays, and are listed."""
    settings = {
        "media": {
            "source": "demo:",
            "intelligence": {"vision": {"enabled": True}, "speech": {"enabled": True}},
        }
    }
    async with running_server(tmp_path, settings=settings) as server:

        async def seen() -> bool:
            return bool((await server.get("/api/status"))["intelligence"]["vision"]["emitted"])

        await until(seen, "an event while nobody watches", deadline_s=10)
        viewer = await watching(context, server.url)

        async def both() -> bool:
            kinds = await viewer.page.evaluate("heard.map(message => message.subtype)")
            return {"icey:vision", "icey:speech"} <= set(kinds)

        await until(both, "events of both kinds", deadline_s=10)
        found = await viewer.page.evaluate("heard.find(m => m.subtype === 'icey:vision')")
        assert found["from"].startswith("icey|")
        assert found["to"] == found["data"]["frame"]["streamId"].removeprefix("stream/")
        assert found["data"]["schema"] == "icey.vision/1"
        assert found["data"]["source"] == "demo:"
        assert found["data"]["detections"][0]["label"] == "motion"
        await expect(viewer.page.locator("#detections li").first).to_contain_text("motion")
        await viewer.moves()
        assert viewer.errors == []


@pytest.mark.parametrize("passthrough", [False, True])
async def test_a_network_camera_that_nobody_watches(tmp_path, passthrough):
    """Detectors look at a camera from the start on, also passed through, and after it was away."""
    rtsp = RtspServer(free_port())
    await rtsp.start()
    settings = {
        "media": {
            "source": rtsp.url,
            "passthroughVideo": passthrough,
            "intelligence": {"vision": {"enabled": True}, "speech": {"enabled": True}},
        }
    }
    try:
        async with running_server(tmp_path, settings=settings) as server:

            async def more(of: str, than: int = 0) -> bool:
                status = (await server.get("/api/status"))["intelligence"]
                return int(status[of]["emitted"]) > than

            await until(lambda: more("vision"), "motion", deadline_s=15)
            await until(lambda: more("speech"), "sound", deadline_s=15)

            await rtsp.stop()

            async def lost() -> bool:
                return "source lost" in str((await server.get("/api/status"))["warnings"])

            await until(lost, "the loss is told", deadline_s=20)
            await rtsp.start()

            async def back() -> bool:
                return not await lost()

            await until(back, "the camera is back", deadline_s=30)
            before = (await server.get("/api/status"))["intelligence"]["vision"]["emitted"]
            await until(lambda: more("vision", before), "motion again", deadline_s=15)

            status = await server.get("/api/status")
            assert status["sessions"] == {"active": 0, "total": 0}
            assert "secret" not in str(status)
            assert "secret" not in server.output
    finally:
        await rtsp.stop()
