"""A webcam as the source, through FFmpeg's own V4L2 code: watched, shared, pulled out, in use."""

from __future__ import annotations

import json
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from bench.server import command, write_config
from playwright.async_api import expect

from e2e.chromium import AUTOPLAY, open_chromium
from e2e.server_process import running_server
from e2e.viewer import Viewer
from e2e.waiting import until
from integration.media.camera import BARS, DEVICE, PICTURES, UNCOMPRESSED, Camera


@pytest.fixture
def camera(tmp_path):
    """A webcam that gives 1280x720 at full rate as JPEG only."""
    folder = tmp_path / "camera"
    folder.mkdir()
    return Camera(folder)


@asynccontextmanager
async def watched(camera, tmp_path, **settings):
    """A server that streams the camera; the browsers do not see it."""
    async with AsyncExitStack() as stack:
        with camera.seen():
            running = running_server(tmp_path, "--source", DEVICE, settings=settings)
            server = await stack.enter_async_context(running)
        yield server


async def shows_the_camera(viewer, *, bars=BARS, left=0.0, right=1.0):
    """Check that the picture's colours are the camera's, which lies from `left` to `right`."""
    points = [(left + (i + 0.5) / len(bars) * (right - left), 0.4) for i in range(len(bars))]
    for expected, seen in zip(bars, await viewer.pixels(points), strict=True):
        assert seen == pytest.approx(expected, abs=16)


async def numbers(viewer):
    """The number of the camera's picture that is on screen, None where it cannot be read."""
    return await viewer.page.evaluate("watching.strip()")


async def moves_on(viewer):
    """Wait until two different pictures of the camera were on screen."""
    seen = set()

    async def two() -> bool:
        number = await numbers(viewer)
        seen.update({number} - {None})
        return len(seen) >= 2

    await until(two, "the camera's pictures change", deadline_s=40)


async def glass_to_glass(viewer, streamed):
    """The ages of pictures as they are shown, ms: the camera counts, and began at a known time."""
    numbered = await viewer.page.evaluate("""async () => {
        const seen = [];
        while (seen.length < 30) {
            await new Promise((shown) => video.requestVideoFrameCallback(shown));
            const number = watching.strip();
            if (number !== null) seen.push([number, Date.now()]);
        }
        return seen;
    }""")
    period = 1000 / streamed.rate
    # Picture n is complete one period after it began.
    return sorted(
        (now - streamed.start_ms - (number + 1) * period) % (PICTURES * period)
        for number, now in numbered
    )


@pytest.mark.alone
async def test_watch_a_webcam(tmp_path, camera, context):
    """Its picture comes at full size and rate, soon after it was taken; hung up, it is closed."""
    async with watched(camera, tmp_path) as server:
        viewer = await Viewer.open(context, server.url)
        assert camera.users == 0, "it is on while nobody watches"
        await viewer.watch()
        asked = camera.streamed[-1]
        assert (asked.fourcc, asked.size, asked.rate) == ("MJPG", (1280, 720), 30)
        rates = []

        async def fast_enough() -> bool:
            rates.append(await viewer.frame_rate(5))
            return rates[-1] >= 25

        await until(fast_enough, f"25 pictures a second over 5 s: {rates}", deadline_s=20)
        stats = await viewer.stats()
        assert (stats["width"], stats["height"]) == (1280, 720)
        await shows_the_camera(viewer)
        ages = await glass_to_glass(viewer, asked)
        print(f"{rates[-1]:.1f} fps, {ages[0]:.0f} to {ages[-1]:.0f} ms old")  # noqa: T201
        assert ages[len(ages) // 2] < 1_000

        for _ in range(2):
            await viewer.hang_up()
            await until(lambda: camera.users == 0, "the camera is closed", deadline_s=15)
            await viewer.watch()
            await shows_the_camera(viewer)
        openings = len(camera.streamed)
        await viewer.hang_up()
        await viewer.watch()  # at once: it is still open
        assert len(camera.streamed) == openings
        assert camera.users == 1
        assert viewer.errors == []
    assert camera.users == 0
    assert "late-queue" not in camera.log


async def test_two_browsers_share_a_webcam(tmp_path, camera, context):
    """A camera can be opened once: the second viewer gets it at once too, from the same opening."""
    async with watched(camera, tmp_path) as server, open_chromium(AUTOPLAY) as other:
        first = await Viewer.open(context, server.url)
        second = await Viewer.open(await other.new_context(), server.url)
        await first.watch()
        openings = len(camera.streamed)
        await second.watch()
        for viewer in (first, second):
            await viewer.moves(pictures=30)
            await shows_the_camera(viewer)
        assert len(camera.streamed) == openings
        await first.hang_up()
        await second.moves(pictures=30)
        assert len(camera.streamed) == openings


async def test_webcam_is_pulled_out_and_put_back(tmp_path, camera, context):
    """Its viewers stay and read a note; when it is back, the same call plays on."""
    async with watched(camera, tmp_path) as server:
        viewer = await Viewer.open(context, server.url)
        await viewer.watch()
        await viewer.page.evaluate("window.first = icey.peerConnection")
        row = [(x / 200, 0.96) for x in range(1, 200)]
        assert max(min(pixel) for pixel in await viewer.pixels(row)) < 130, "words already"

        camera.set("unplugged")

        async def noted() -> bool:
            return max(min(pixel) for pixel in await viewer.pixels(row)) > 180

        await until(noted, "words in the picture")
        await viewer.moves(pictures=10)  # the picture stands, but is sent
        assert await server.active_sessions() == 1
        assert camera.users == 0

        camera.set("unplugged", on=False)
        await moves_on(viewer)

        async def plain() -> bool:
            return not await noted()

        await until(plain, "the words are gone")
        await shows_the_camera(viewer)
        assert await viewer.page.evaluate("first === icey.peerConnection")
        assert (await server.get("/api/status"))["sessions"] == {"active": 1, "total": 1}
        assert len(camera.streamed) == 2 + 1  # the check at the start, the call, the call again
    assert "late-queue" not in camera.log


async def test_webcam_without_jpeg(tmp_path, context):
    """The smaller size is taken for its full rate, and shown between bars."""
    folder = tmp_path / "camera"
    folder.mkdir()
    camera = Camera(folder, UNCOMPRESSED, ("YUYV-640x480",))
    async with watched(camera, tmp_path) as server:
        viewer = await Viewer.open(context, server.url)
        await viewer.watch()
        asked = camera.streamed[-1]
        assert (asked.fourcc, asked.size, asked.rate) == ("YUYV", (640, 480), 30)
        await shows_the_camera(viewer, left=1 / 8, right=7 / 8)
        assert max(max(pixel) for pixel in await viewer.pixels([(0.05, 0.4), (0.95, 0.4)])) < 30
    assert "late-queue" not in camera.log


def doctor(camera, tmp_path, device=DEVICE):
    """The exit code of ``--doctor`` and its finding about the source."""
    config, _ = write_config(tmp_path)
    done = camera.run(command(), "--doctor", "--config", config, "--source", device)
    checks = {check["name"]: check for check in json.loads(done.stdout)["checks"]}
    return done.returncode, checks["source"]["result"], checks["source"]["detail"]


def test_doctor_describes_a_webcam(tmp_path, camera):
    """The doctor really opens it: format, size and rate are those that viewers will get."""
    code, result, detail = doctor(camera, tmp_path)
    assert (code, result) == (0, "pass")
    assert detail == "v4l2:video7: mjpeg 1280x720 at 30 fps; no sound"
    assert camera.users == 0


@pytest.mark.parametrize(
    ("state", "words", "advice"),
    [
        ("unplugged", "No such file or directory", "plug the camera in"),
        ("forbidden", "Permission denied", "usermod -aG video"),
        ("metadata", "this device gives no pictures", "other one"),
    ],
)
def test_doctor_says_what_to_do(tmp_path, camera, state, words, advice):
    """A camera that cannot be used is named, with the reason and what helps."""
    camera.set(state)
    code, result, detail = doctor(camera, tmp_path)
    assert (code, result) == (1, "fail")
    assert detail.startswith("v4l2:video7: ")
    assert words in detail
    assert advice in detail


def test_doctor_on_a_frozen_webcam(tmp_path, camera):
    """A camera that sends nothing is given up after some seconds, and told."""
    camera.set("frozen")
    code, result, detail = doctor(camera, tmp_path)
    assert (code, result) == (1, "fail")
    assert "no picture came in time" in detail
    assert "USB port" in detail
    assert camera.users == 0


async def test_webcam_in_use(tmp_path, camera, context):
    """While one server streams it, the doctor and a second server say that it is busy: exit 4."""
    async with watched(camera, tmp_path) as server:
        viewer = await Viewer.open(context, server.url)
        await viewer.watch()
        folder = tmp_path / "second"
        folder.mkdir()
        code, result, detail = doctor(camera, folder)
        assert (code, result) == (1, "fail")
        assert "Device or resource busy" in detail
        assert "fuser" in detail
        config, _ = write_config(folder)
        second = camera.run(command(), "--config", config, "--source", DEVICE)
        assert second.returncode == 4
        assert "Device or resource busy" in second.stdout + second.stderr
        await viewer.moves(pictures=30)  # the first one does not notice


async def test_webcam_that_another_program_took(tmp_path, camera, context):
    """Whoever clicks Watch reads that it is busy; once it is free, the next click plays."""
    async with watched(camera, tmp_path) as server:
        viewer = await Viewer.open(context, server.url)
        with camera.taken():
            await viewer.page.locator("#watch").click()
            problem = viewer.page.locator("#problem")
            await expect(problem).to_contain_text("Device or resource busy", timeout=5_000)
        await server.sessions_become(0)
        await viewer.watch()
        await shows_the_camera(viewer)


async def test_webcam_that_freezes(tmp_path, camera, context):
    """A camera that stops sending is lost and tried again; the server ends all the same."""
    async with watched(camera, tmp_path) as server:
        viewer = await Viewer.open(context, server.url)
        await viewer.watch()
        openings = len(camera.streamed)
        camera.set("frozen")
        await until(lambda: "no picture came in time" in server.output, "it is missed")
        again = lambda: len(camera.streamed) > openings  # noqa: E731
        await until(again, "it is opened again", deadline_s=15)
        assert await server.active_sessions() == 1
        camera.set("frozen", on=False)
        await moves_on(viewer)
        camera.set("frozen")
    assert camera.users == 0
