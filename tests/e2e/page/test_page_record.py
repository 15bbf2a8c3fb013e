"""The page in record mode: the camera and its refusals, the recording, the list of recordings."""

from __future__ import annotations

import re

import av
import numpy as np
import pytest
import pytest_asyncio
from playwright.async_api import expect

from e2e.page.fake_server import FakeServer
from e2e.waiting import until

RECORDING = "Recording."
FILE = "browser-1a2b3c4d-20261124T101057.123Z.mp4"


@pytest_asyncio.fixture(loop_scope="session")
async def server(studio):
    """A scripted server in record mode, and a tab with a camera and a microphone."""
    server = FakeServer(await studio.new_page(locale="en-GB", timezone_id="Europe/Berlin"))
    server.record()
    return server


async def call(server, *, count=1):
    """Click Call and wait until the recording runs."""
    await server.page.locator("#call").click()
    await server.sent("call:offer", count=count)
    await connected(server)
    server.event("record:started", file=FILE)
    await expect(server.page.locator("#status")).to_have_text(RECORDING)


async def connected(server):
    """Wait until media flow."""
    status = server.page.locator("#status")
    await expect(status).to_contain_text("Waiting for the recording", timeout=10_000)


def entry(name=FILE, **fields):
    """One line of /api/recordings."""
    return {
        "name": name, "size": 5_234_567, "start": "2026-11-24T10:10:57.123Z", "duration": 20.03,
        "codec": "h264+opus", "width": 1280, "height": 720, "status": "complete",
        "url": f"/artifacts/{name}",
    } | fields  # fmt: skip


async def test_call_sends_the_camera_and_shows_it(server):
    """A click on Call offers camera and microphone, H.264 first, and previews them muted."""
    await server.open_page()
    await expect(server.page.locator("#watch")).to_be_hidden()
    await server.page.locator("#call").click()
    offer = (await server.sent("call:offer"))["data"]["sdp"]
    assert offer.count("a=sendonly") == 2
    video = offer[offer.index("m=video") :]
    names = re.findall(r"a=rtpmap:\d+ ([\w-]+)/90000", video)
    assert names[0] == "H264"
    assert {"VP8", "VP9", "AV1", "rtx"} <= set(names)
    assert await server.page.evaluate("preview.muted")
    await until(lambda: server.page.evaluate("preview.videoWidth"), "a preview")
    assert await server.page.evaluate("[preview.videoWidth, preview.videoHeight]") == [1280, 720]
    preference = await server.page.evaluate("""icey.peerConnection.getSenders()
        .find(sender => sender.track.kind === "video").getParameters().degradationPreference""")
    assert preference == "maintain-resolution"


async def test_the_time_runs_from_the_first_byte_written(server):
    """The red dot says that it waits until the server writes, then how long it has."""
    await server.open_page()
    recording = server.page.locator("#recording")
    await expect(recording).to_be_hidden()
    await server.page.locator("#call").click()
    await connected(server)
    await expect(recording).to_have_text("Waiting")
    server.event("record:started", file=FILE)
    await expect(recording).to_have_text("0:00")
    await expect(recording).to_have_text("0:01")
    # A further file of the same call does not set it back.
    server.event("record:finished", file=FILE, seconds=1.5)
    server.event("record:started", file="another.mp4")
    await expect(recording).to_have_text("0:02")
    await expect(server.page.locator("#quality")).to_contain_text("1280 × 720", timeout=10_000)


async def test_hang_up_frees_the_camera_and_tells_what_was_saved(server):
    """After Hang up the camera is off, the file's name is told, and the list has it."""
    await server.open_page()
    await call(server)
    await server.page.evaluate("window.tracks = icey.stream.getTracks()")
    await server.page.locator("#hangup").click()
    await server.sent("call:hangup")
    status = server.page.locator("#status")
    await expect(status).to_have_text("Hung up. Saving what was recorded…")
    assert await server.page.evaluate("tracks.map(track => track.readyState)") == ["ended"] * 2
    assert await server.page.evaluate("preview.srcObject") is None
    await expect(server.page.locator("#recording")).to_be_hidden()
    await expect(server.page.locator("#recordings li")).to_have_count(0)
    server.recordings = [entry()]
    server.event("record:finished", file=FILE, seconds=20.03)
    await expect(status).to_have_text(f"Saved {FILE}, 0:20.")
    await expect(server.page.locator("#recordings li")).to_have_count(1)
    await call(server, count=2)


async def test_switches(server):
    """Buttons and keys switch microphone and camera off and on, and say which."""
    await server.open_page()
    await expect(server.page.locator("#microphone")).to_be_hidden()
    await call(server)
    enabled = "icey.stream.getTracks().map(track => [track.kind, track.enabled])"
    for name, kind, key in (("microphone", "audio", "m"), ("camera", "video", "v")):
        await server.page.get_by_role("button", name=f"Turn the {name} off").click()
        assert dict(await server.page.evaluate(enabled))[kind] is False
        await expect(server.page.get_by_role("button", name=f"Turn the {name} on")).to_be_focused()
        await server.page.keyboard.press(key)
        assert dict(await server.page.evaluate(enabled))[kind] is True
    assert await server.page.evaluate(enabled) == [["audio", True], ["video", True]]


REFUSE = """navigator.mediaDevices.getUserMedia = async wanted => {
    throw new DOMException("said the browser", %r);
}"""


@pytest.mark.parametrize(
    ("script", "words"),
    [
        (REFUSE % "NotAllowedError", "Allow camera and microphone"),
        (REFUSE % "NotFoundError", "No camera was found"),
        (REFUSE % "NotReadableError", "another program"),
        (REFUSE % "MoonError", "said the browser"),
        ("Object.defineProperty(navigator, 'mediaDevices', {value: undefined})", "tls.cert"),
    ],
    ids=["refused", "missing", "busy", "other", "insecure"],
)
async def test_no_camera(server, script, words):
    """Why there is no camera is said with what helps; nobody is called; Call stays clickable."""
    await server.page.add_init_script(script)
    await server.open_page()
    await server.page.locator("#call").click()
    await expect(server.page.locator("#problem")).to_contain_text(words)
    await expect(server.page.locator("#call")).to_be_enabled()
    assert "call:init" not in [frame.get("subtype") for frame in server.frames]


async def test_hang_up_while_the_browser_asks(server):
    """A permission that is given after Hang up opens no call, and the camera is let go."""
    await server.page.add_init_script("""
        const open = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
        navigator.mediaDevices.getUserMedia = async wanted => {
            await new Promise(allow => { window.allow = allow; });
            return window.late = await open(wanted);
        };
    """)
    await server.open_page()
    await server.page.locator("#call").click()
    await expect(server.page.locator("#status")).to_contain_text("Allow the camera")
    await server.page.locator("#hangup").click()
    await expect(server.page.locator("#status")).to_have_text("Hung up.")
    await server.page.evaluate("allow()")
    ended = "window.late?.getTracks().every(track => track.readyState === 'ended')"
    await until(lambda: server.page.evaluate(ended), "the camera is let go")
    assert "call:init" not in [frame.get("subtype") for frame in server.frames]


async def test_a_microphone_that_comes_later(server):
    """Without a microphone the picture goes alone and the page says so; one may join in later."""
    await server.page.add_init_script("""
        const open = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
        navigator.mediaDevices.getUserMedia = async wanted => {
            if (wanted.audio && !window.plugged) throw new DOMException("none", "NotFoundError");
            return open(wanted);
        };
    """)
    await server.open_page()
    await call(server)
    offer = (await server.sent("call:offer"))["data"]["sdp"]
    assert "m=audio" not in offer
    problem = server.page.locator("#problem")
    await expect(problem).to_contain_text("No microphone")
    await server.page.get_by_role("button", name="Turn the microphone on").click()
    await expect(problem).to_contain_text("No microphone")
    await server.page.evaluate("window.plugged = true")
    await server.page.get_by_role("button", name="Turn the microphone on").click()
    offer = (await server.sent("call:offer", count=2))["data"]["sdp"]
    assert "m=audio" in offer
    await expect(problem).to_be_hidden()
    await expect(server.page.get_by_role("button", name="Turn the microphone off")).to_be_visible()
    await expect(server.page.locator("#status")).to_have_text(RECORDING)


async def test_unplugged_devices(server):
    """A microphone that goes is told; with the camera the call ends, and what was sent is kept."""
    await server.open_page()
    await call(server)
    gone = """kind => icey.stream.getTracks().find(track => track.kind === kind)
        .dispatchEvent(new Event("ended"))"""
    await server.page.evaluate(gone, "audio")
    await expect(server.page.locator("#problem")).to_contain_text("microphone is gone")
    await expect(server.page.locator("#status")).to_have_text(RECORDING)
    await server.page.evaluate(gone, "video")
    await server.sent("call:hangup")
    await expect(server.page.locator("#problem")).to_contain_text("camera is gone")
    await expect(server.page.locator("#call")).to_be_visible()


@pytest.mark.parametrize("subtype", ["call:reject", "call:hangup"])
async def test_the_servers_reason_is_shown(server, subtype):
    """A server that will not or cannot go on recording is quoted, and the camera let go."""
    reason = "recording ended: the disk is full"
    if subtype == "call:reject":

        async def reject(frame):
            server.call("call:reject", reason=reason)

        server.answers["call:init"] = reject
        await server.open_page()
        await server.page.locator("#call").click()
    else:
        await server.open_page()
        await call(server)
        server.call("call:hangup", reason=reason)
    await expect(server.page.locator("#problem")).to_contain_text(reason)
    await expect(server.page.locator("#problem")).to_contain_text("look after its disk")
    assert await server.page.evaluate("icey.stream") is None
    await expect(server.page.locator("#call")).to_be_enabled()


async def test_events_of_others_change_nothing(server):
    """Only the server says what is recorded."""
    await server.open_page()
    await server.page.locator("#call").click()
    await connected(server)
    server.send({"type": "event", "name": "record:started", "from": "mallory|1", "data": {}})
    server.event("record:unheard-of")
    server.event("record:finished")
    server.event("record:started")
    await expect(server.page.locator("#status")).to_have_text(RECORDING)
    assert [line for line in server.console if line.startswith("error")] == []


@pytest.mark.parametrize("reason", ["", "server is shutting down"])
async def test_a_restart_of_the_server_is_survived(server, reason):
    """While the server is away the page waits; when it is back the camera is recorded again."""
    await server.open_page()
    await call(server)
    await server.page.locator("#microphone").click()
    await server.stop(reason=reason)
    await expect(server.page.locator("#status")).to_contain_text("Waiting for it to come back")
    server.start()
    await server.sent("call:offer", count=2, deadline_s=15)
    await connected(server)
    await expect(server.page.locator("#recording")).to_have_text("Waiting")
    server.event("record:started", file=FILE)
    await expect(server.page.locator("#recording")).to_have_text("0:00")
    enabled = "icey.stream.getAudioTracks().map(track => track.enabled)"
    assert await server.page.evaluate(enabled) == [False]  # what was switched off stays off


async def test_leaving_the_page_hangs_up(server):
    """A page that is left says so on its way out."""
    await server.open_page()
    await call(server)
    await server.page.evaluate("dispatchEvent(new PageTransitionEvent('pagehide'))")
    assert (await server.sent("call:hangup"))["data"]["reason"] == "the page was closed"
    await until(lambda: server.frames[-1] == {"type": "close"}, "a goodbye")


async def test_the_list(server):
    """Each recording shows its start in local time, length, size, codec and where it came from."""
    server.recordings = [
        entry(),
        entry("<b>.recovered.mp4", status="recovered", codec="vp8", duration=3723.4, size=999),
    ]
    await server.open_page()
    rows = server.page.locator("#recordings li")
    await expect(rows).to_have_count(2)
    await expect(rows.nth(0)).to_contain_text("24 Nov 2026, 11:10:57")
    await expect(rows.nth(0)).to_contain_text("0:20 · 5.2 MB · 1280 × 720 · H.264 + Opus")
    await expect(rows.nth(0)).not_to_contain_text("recovered")
    await expect(rows.nth(1)).to_contain_text("1:02:03 · 999 B · 1280 × 720 · VP8")
    await expect(rows.nth(1).locator(".tag")).to_have_text("recovered")
    assert await server.page.locator("#recordings b").count() == 0
    link = server.page.get_by_role("link", name=f"Download {FILE}")
    assert await link.get_attribute("download") == FILE
    assert await link.evaluate("link => link.href") == f"http://localhost/artifacts/{FILE}"
    # The list comes anew when the tab is looked at again.
    server.recordings = server.recordings[:1]
    await server.page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    await expect(rows).to_have_count(1)


@pytest.fixture
def film(tmp_path):
    """Two seconds of H.264 in an MP4."""
    path = tmp_path / "film.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 320, 180, "yuv420p"
        for shade in range(20):
            picture = np.full((180, 320, 3), shade * 12, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        container.mux(stream.encode(None))
    return path


async def test_a_recording_plays_in_the_page(server, film):
    """A click plays it; a link that has expired is replaced by a new one; Close puts it away."""
    server.recordings = [entry(url=f"/artifacts/{FILE}?expires=1")]
    server.files[f"/artifacts/{FILE}?expires=2"] = film
    await server.open_page()
    row = server.page.locator("#recordings button.play")
    await expect(row).to_be_visible()
    server.recordings = [entry(url=f"/artifacts/{FILE}?expires=2")]
    await row.click()
    await until(lambda: server.page.evaluate("playback.ended"), "played to its end")
    assert await server.page.evaluate("playback.videoWidth") == 320
    await expect(row).to_have_attribute("aria-current", "true")
    await expect(server.page.locator("#playback-problem")).to_be_hidden()
    await server.page.locator("#playback-close").click()
    await expect(server.page.locator("#playback")).to_be_hidden()
    await expect(row).to_be_focused()


async def test_a_recording_that_does_not_play(server):
    """A file that is gone or broken is said to be."""
    server.recordings = [entry()]
    await server.open_page()
    await server.page.locator("#recordings button.play").click()
    problem = server.page.locator("#playback-problem")
    await expect(problem).to_contain_text("does not play here. Download it")
    await server.page.locator("#playback-close").click()

    async def go_meanwhile(route):
        server.recordings = []
        await route.continue_()

    await server.page.route("**/artifacts/**", go_meanwhile)
    await server.page.locator("#recordings button.play").click()
    await expect(problem).to_contain_text("no longer on the server")


async def test_a_server_that_changes_its_mode(server):
    """A server that comes back to stream is watched, not called to record."""
    await server.open_page()
    await expect(server.page.locator("#call")).to_be_enabled()
    await server.page.clock.install()
    await server.page.clock.run_for(6_000)
    await server.stop()
    server.mode = "stream"
    server.server_peer.update(mode="stream", capabilities=["view"])
    server.start()
    await server.page.clock.run_for(15_000)
    await expect(server.page.locator("#watch")).to_be_enabled(timeout=10_000)
    await expect(server.page.locator("#call")).to_be_hidden()
    await expect(server.page.locator("#recordings-section")).to_be_hidden()


@pytest.mark.parametrize("width", [320, 1280])
async def test_names_and_widths(server, width):
    """Each control has an accessible name, nothing sticks out, and no rule of the policy breaks."""
    await server.page.set_viewport_size({"width": width, "height": 720})
    server.recordings = [entry(), entry("x" * 90 + ".mp4")]
    await server.open_page()
    await call(server)
    await expect(server.page.locator("#hangup")).to_be_focused()
    names = await server.page.evaluate("""[...document.querySelectorAll("button, a")]
        .filter(one => one.checkVisibility())
        .map(one => one.ariaLabel ?? one.textContent.trim())""")
    assert len(names) >= 8
    assert all(names)
    assert await server.page.evaluate("document.documentElement.scrollWidth") <= width
    await server.page.keyboard.press("Enter")
    await expect(server.page.locator("#call")).to_be_focused()
    assert [line for line in server.console if not line.startswith("verbose")] == []
