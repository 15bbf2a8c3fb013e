"""What is kept of an event, and who hears of it: snapshots, clips, programs, a webhook."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import threading
from contextlib import asynccontextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import numpy as np
import pytest
from PIL import Image

from e2e.recording_file import read_recording
from e2e.server_process import running_server
from e2e.test_artifacts import SEEK
from e2e.viewer import Viewer
from e2e.waiting import until
from icey.media.demo import STRIP_BLOCKS, STRIP_HEIGHT, decode_strip
from integration.intelligence.example_package import install

TOKEN = "s3cret-t0ken"
PRE_S, POST_S, KEYFRAME_S = 1.0, 2.0, 2.0
TICK_S = 0.5
"""A keyframe is asked for at one tick of the sessions, and there with the next picture."""

ON_TRIGGER = """
from pathlib import Path
import numpy as np
from icey.intelligence.detector import Detection, Region
from icey.media.demo import STRIP_BLOCKS, STRIP_HEIGHT, decode_strip

class OnTrigger:
    def __init__(self, file):
        self.file = Path(file)
        self.fired = False

    def process(self, frame, context):
        if self.fired or not self.file.exists():
            return []
        self.fired = True
        row = round(context.height * STRIP_HEIGHT / 2)
        columns = [round((i + 0.5) * context.width / STRIP_BLOCKS) for i in range(STRIP_BLOCKS)]
        clock = decode_strip([float(frame[row, column].mean()) for column in columns])
        return [Detection("trigger", 1.0, Region(0.5, 0.5, 0.25, 0.25), data={"clock": clock})]
"""


EVENT_SOURCE = """() => new Promise((done, fail) => {
    const source = new EventSource("/api/events");
    source.addEventListener("error", () => fail(new Error("no events")));
    source.addEventListener("icey:vision", ({ data, lastEventId }) => {
        source.close();
        done({ data, lastEventId });
    });
})"""


class Events:
    """What `/api/events` said, as kind and data."""

    def __init__(self):
        self.heard = []

    def of(self, kind):
        return [data for heard, data in self.heard if heard == kind]


@asynccontextmanager
async def listening(url, headers=None):
    """Read Server-Sent Events while the block runs."""
    events = Events()
    opened = asyncio.Event()

    async def read():
        async with (
            httpx.AsyncClient(trust_env=False, timeout=None) as client,
            client.stream("GET", f"{url}/api/events", headers=headers) as answer,
        ):
            assert answer.status_code == 200
            kind = ""
            async for line in answer.aiter_lines():
                opened.set()
                name, _, value = line.partition(": ")
                if name == "event":
                    kind = value
                elif name == "data":
                    events.heard.append((kind, json.loads(value)))

    task = asyncio.create_task(read())
    await asyncio.wait_for(opened.wait(), 10)
    yield events
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


def clock_of(image):
    """The clock in the strip of the demo's picture, ms since 1970."""
    luma = np.asarray(image.convert("L"))
    row = round(luma.shape[0] * STRIP_HEIGHT / 2)
    columns = [round((i + 0.5) * luma.shape[1] / STRIP_BLOCKS) for i in range(STRIP_BLOCKS)]
    return decode_strip([float(luma[row, column]) for column in columns])


async def enter(context, url):
    """Open the page, show the token, and wait until Watch can be clicked."""
    page = await context.new_page()
    await page.add_init_script(path=Viewer.script)
    viewer = Viewer(page)
    await page.goto(url)
    await page.get_by_label("Token", exact=True).fill(TOKEN)
    await page.keyboard.press("Enter")
    await viewer.ready()
    viewer.errors.clear()  # the browser tells of the answer that asked for the token
    return viewer


@pytest.mark.parametrize("watched", [False, True])
@pytest.mark.alone
async def test_snapshot_and_clip_of_an_event(context, tmp_path, watched):
    """The snapshot is the event's own picture; the clip is as long as asked for, and plays."""
    detector = tmp_path / "on_trigger.py"
    detector.write_text(ON_TRIGGER)
    trigger = tmp_path / "trigger"
    vision = {
        "everyNthFrame": 1,
        "minIntervalUsec": 0,
        "snapshots": {"enabled": True},
        "clips": {
            "enabled": True,
            "preRollUsec": round(PRE_S * 1e6),
            "postRollUsec": round(POST_S * 1e6),
        },
    }
    detectors = [{"use": "on_trigger.py:OnTrigger", "options": {"file": str(trigger)}}]
    settings = {
        "auth": {"token": TOKEN},
        "media": {
            "source": "demo:",
            "recordDir": str(tmp_path / "kept"),
            "intelligence": {"vision": vision, "detectors": detectors},
        },
    }
    bearer = {"Authorization": f"Bearer {TOKEN}"}
    async with (
        running_server(tmp_path, settings=settings) as server,
        httpx.AsyncClient(base_url=server.url, trust_env=False) as client,
        listening(server.url, bearer) as events,
    ):

        async def counters():
            answer = await client.get("/api/status", headers=bearer)
            return answer.json()["intelligence"]["vision"]

        viewer = None
        if watched:
            viewer = await enter(context, server.url)
            await viewer.watch()
        # Longer than the pre-roll and a keyframe interval, so that all of it can be there.
        seen = (await counters())["seen"]

        async def long_enough():
            return (await counters())["seen"] > seen + 5 * 30

        await until(long_enough, "five seconds of pictures", deadline_s=20)
        trigger.touch()
        await until(lambda: events.of("icey:vision"), "the event")
        await until(lambda: events.of("icey:clip"), "the clip is finished", deadline_s=20)
        (event,), (finished,) = events.of("icey:vision"), events.of("icey:clip")
        assert (event["detector"], finished["detector"]) == ("OnTrigger", "OnTrigger")
        clock = event["detections"][0]["data"]["clock"]
        assert abs(clock - event["frame"]["receivedAtUsec"] / 1000) < 1000

        # The links open by themselves, as an <img> or a <video> opens them.
        snapshot = await client.get(event["data"]["snapshot"]["url"])
        assert snapshot.headers["content-type"] == "image/jpeg"
        with Image.open(io.BytesIO(snapshot.content)) as image:
            assert image.size == (1280, 720)
            assert clock_of(image) == clock
        assert finished["clip"]["path"] == event["data"]["clip"]["path"]
        path = tmp_path / "kept" / finished["clip"]["path"]
        assert (await client.get(event["data"]["clip"]["url"])).content == path.read_bytes()
        bare = event["data"]["clip"]["url"].partition("?")[0]
        assert (await client.get(bare)).status_code == 401

        film = read_recording(path)
        assert film.codecs == ("h264", "opus")
        assert clock in film.clocks
        before, after = (clock - film.clocks[0]) / 1000, (film.clocks[-1] - clock) / 1000
        print(f"watched={watched}: {before:.2f} s before, {after:.2f} s after")  # noqa: T201
        assert PRE_S - 0.1 <= before <= PRE_S + KEYFRAME_S + TICK_S
        assert POST_S - 0.2 <= after <= POST_S + 0.2
        assert film.duration == pytest.approx(before + after, abs=0.3)
        assert finished["durationUsec"] / 1e6 == pytest.approx(film.duration, abs=0.1)
        # Beeps and flashes come together, so sound and picture do.
        for flash in film.flashes:
            assert min(abs(flash - beep) for beep in film.beeps) < 0.1

        page = await context.new_page()
        await page.goto(server.url + finished["clip"]["url"])
        shown = await page.evaluate(SEEK)
        assert shown["width"] == 1280
        assert shown["duration"] == pytest.approx(film.duration, abs=0.2)

        counted = await counters()
        assert (counted["snapshots"], counted["clips"]) == (1, 1)
        if viewer is not None:
            await viewer.moves()
            assert viewer.errors == []


class Hook:
    """A webhook's other side, which is away at first."""

    def __init__(self):
        self.bodies = []
        self.refused = 0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if outer.refused < 1:
                    outer.refused += 1
                    self.send_response(503)
                else:
                    outer.bodies.append((self.path, json.loads(body)))
                    self.send_response(204)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/hook?key=very-secret"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    def close(self):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


async def test_example_from_a_package(context, tmp_path, monkeypatch):
    """The example, installed by pip, finds the demo's red bar; programs and webhook hear of it."""
    installed = install(tmp_path / "installed", tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(installed))
    hook = Hook()
    entry = {"use": "colour-blob", "options": {"colour": [190, 0, 0], "tolerance": 40}}
    intelligence = {"detectors": [entry], "webhook": hook.url}
    media = {"source": "demo:", "intelligence": intelligence}
    try:
        async with (
            running_server(tmp_path, settings={"media": media}) as server,
            listening(server.url) as events,
        ):
            await until(lambda: events.of("icey:vision"), "an event")
            event = events.of("icey:vision")[0]
            assert event["detector"] == "colour-blob"
            (found,) = event["detections"]
            assert found["label"] == "colour"
            # The sixth of eight bars, which go from 1/40 to 3/5 of the height.
            assert found["region"]["x"] == pytest.approx(5 / 8, abs=0.02)
            assert found["region"]["width"] == pytest.approx(1 / 8, abs=0.03)
            page = await context.new_page()
            await page.goto(server.url)
            heard = await page.evaluate(EVENT_SOURCE)
            assert json.loads(heard["data"])["detector"] == "colour-blob"
            assert int(heard["lastEventId"]) > 0
            await until(lambda: len(hook.bodies) >= 3, "the webhook has the events too")
            path, body = hook.bodies[0]
            assert path == "/hook?key=very-secret"
            assert body["type"] == "icey:vision"
            assert body["data"]["detector"] == "colour-blob"
            numbers = [body["id"] for _, body in hook.bodies]
            assert numbers == sorted(set(numbers))
            status = (await server.get("/api/status"))["intelligence"]
            assert status["webhook"]["retries"] == 1
            assert status["vision"]["detectors"][0]["name"] == "colour-blob"
            assert status["vision"]["detectors"][0]["off"] == ""
        assert "very-secret" not in server.output
    finally:
        hook.close()
