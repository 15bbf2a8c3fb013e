"""The page in relay mode: one broadcasts, the others watch and wait for whoever does."""

from __future__ import annotations

import re

import pytest
import pytest_asyncio
from playwright.async_api import expect

from e2e.page.fake_server import FakeServer
from e2e.page.test_page_call import PLAYING, frames_grow
from e2e.waiting import until

LIVE = "You are live."
WAITING = "Waiting for somebody to broadcast."
ENDED = "The broadcast has ended; waiting for the next."


@pytest_asyncio.fixture(loop_scope="session")
async def server(studio):
    """A scripted server in relay mode, and a tab with a camera and a microphone."""
    server = FakeServer(await studio.new_page())
    server.relay()
    return server


async def broadcast(server, *, count=1):
    """Click Broadcast and wait until the page is live."""
    await server.page.locator("#broadcast").click()
    await server.sent("call:offer", count=count)
    await expect(server.page.locator("#status")).to_have_text(LIVE, timeout=10_000)


async def wait_for_a_source(server):
    """Open the page and watch a relay that nobody broadcasts to."""
    await server.open_page()
    await server.page.evaluate("callee.pause(true)")
    await server.page.locator("#watch").click()
    await server.sent("call:offer")
    connected = "icey.peerConnection?.connectionState === 'connected'"
    await until(lambda: server.page.evaluate(connected), "the call stands")
    server.event("relay:waiting")
    await expect(server.page.locator("#status")).to_have_text(WAITING)


async def test_broadcast_offers_three_sizes_and_previews(server):
    """A click on Broadcast offers the camera in three sizes, lowest first, H.264 first."""
    await server.open_page()
    await expect(server.page.locator("#watch")).to_be_visible()
    await expect(server.page.locator("#call")).to_be_hidden()
    await broadcast(server)
    offer = (await server.sent("call:offer"))["data"]["sdp"]
    assert offer.count("a=sendonly") == 2
    assert "a=simulcast:send q;h;f" in offer
    video = offer[offer.index("m=video") :]
    assert re.findall(r"a=rtpmap:\d+ ([\w-]+)/90000", video)[0] == "H264"
    await until(lambda: server.page.evaluate("preview.videoWidth"), "a preview")
    assert await server.page.evaluate("[preview.videoWidth, preview.muted]") == [1280, True]
    await expect(server.page.locator("#video")).to_be_hidden()
    await expect(server.page.locator("#mute")).to_be_hidden()


SIZES = """icey.peerConnection.getSenders().find(sender => sender.track.kind === "video")
    .getParameters().encodings.map(one => [one.scaleResolutionDownBy, one.maxBitrate])"""


async def test_a_server_that_takes_one_size_gets_the_full_one(server):
    """Where the answer knows nothing of simulcast, it is not the smallest size that is sent."""

    async def answer(frame):
        sdp = await server.page.evaluate("sdp => callee.answer(sdp)", frame["data"]["sdp"])
        lines = [line for line in sdp.splitlines() if not re.match("a=(simulcast|rid):?", line)]
        server.call("call:answer", type="answer", sdp="\r\n".join(lines) + "\r\n")

    server.answers["call:offer"] = answer
    await server.open_page()
    await broadcast(server)
    await until(
        lambda: server.page.evaluate(f"{SIZES}[0][0] === 1"), "the full size and nothing else"
    )
    assert await server.page.evaluate(SIZES) == [[1, 2_000_000]]
    await expect(server.page.locator("#quality")).to_contain_text("1280 × 720", timeout=15_000)


async def test_a_browser_without_simulcast_sends_one_size(server):
    """A browser that refuses several encodings broadcasts all the same."""
    await server.page.add_init_script("""
        const add = RTCPeerConnection.prototype.addTransceiver;
        RTCPeerConnection.prototype.addTransceiver = function (track, init) {
            if (init?.sendEncodings?.length > 1) throw new TypeError("one, and one only");
            return add.call(this, track, init);
        };
    """)
    await server.open_page()
    await broadcast(server)
    offer = (await server.sent("call:offer"))["data"]["sdp"]
    assert "simulcast" not in offer
    assert offer.count("a=sendonly") == 2


async def test_live_tells_how_many_watch(server):
    """Whoever is live sees that, and how many watch; switches and Hang up are there."""
    server.viewers = 2
    await server.open_page()
    await broadcast(server)
    live = server.page.locator("#live")
    await expect(live).to_have_text("Live")
    await expect(live).to_have_text("Live · 2 watching", timeout=10_000)
    server.viewers = 3
    await expect(live).to_have_text("Live · 3 watching", timeout=10_000)
    enabled = "Object.fromEntries(icey.stream.getTracks().map(one => [one.kind, one.enabled]))"
    await server.page.locator("#microphone").click()
    await server.page.keyboard.press("v")
    assert await server.page.evaluate(enabled) == {"audio": False, "video": False}
    await server.page.evaluate("window.tracks = icey.stream.getTracks()")
    await server.page.locator("#hangup").click()
    await server.sent("call:hangup")
    await expect(server.page.locator("#status")).to_have_text("Hung up.")
    assert await server.page.evaluate("tracks.map(track => track.readyState)") == ["ended"] * 2
    await expect(live).to_be_hidden()
    await broadcast(server, count=2)


@pytest.mark.parametrize("subtype", ["call:reject", "call:hangup"])
async def test_a_second_source_sees_why_not(server, subtype):
    """A relay that has a source already says so, and the page says what can be done."""

    async def refuse(frame):
        server.call(subtype, reason="relay already has a source")

    server.answers["call:offer"] = refuse
    await server.open_page()
    await server.page.locator("#broadcast").click()
    problem = server.page.locator("#problem")
    await expect(problem).to_contain_text("relay already has a source")
    await expect(problem).to_contain_text("Somebody else is live")
    assert await server.page.evaluate("icey.stream") is None
    server.answers["call:offer"] = server._answer
    await server.page.locator("#watch").click()
    await expect(server.page.locator("#status")).to_have_text(PLAYING, timeout=10_000)
    await expect(problem).to_be_hidden()


async def test_a_viewer_waits_and_plays_by_itself(server):
    """Without a source the viewer is told to wait; when one comes it plays on the same call."""
    await wait_for_a_source(server)
    await expect(server.page.locator("#curtain-text")).to_have_text("Waiting for a broadcast")
    await expect(server.page.locator("#live")).to_be_hidden()
    await server.page.evaluate("window.first = icey.peerConnection")
    server.event("relay:live")
    await server.page.evaluate("callee.pause(false)")
    await expect(server.page.locator("#status")).to_have_text(PLAYING, timeout=10_000)
    await expect(server.page.locator("#live")).to_have_text("Live")
    assert await server.page.evaluate("first === icey.peerConnection")


async def test_the_end_of_a_broadcast_and_the_next(server):
    """At its end the last picture stays, dimmed; pictures under way do not undo the news."""
    await wait_for_a_source(server)
    server.event("relay:live")
    await server.page.evaluate("callee.pause(false)")
    await expect(server.page.locator("#status")).to_have_text(PLAYING, timeout=10_000)
    await server.page.evaluate("window.first = icey.peerConnection")
    server.event("relay:ended")
    status = server.page.locator("#status")
    await expect(status).to_have_text(ENDED)
    await frames_grow(server.page)  # these came late
    await server.page.evaluate("callee.pause(true)")
    await server.page.clock.install()
    await server.page.clock.run_for(10_000)  # longer than a stall takes to be noticed
    await expect(status).to_have_text(ENDED)
    assert await server.page.evaluate("video.videoWidth") == 320
    assert await server.page.evaluate("video.srcObject.active")
    server.event("relay:live")
    await expect(status).to_contain_text("Waiting for the first picture")
    await server.page.evaluate("callee.pause(false)")
    await expect(status).to_have_text(PLAYING, timeout=10_000)
    assert await server.page.evaluate("first === icey.peerConnection")
    assert len([frame for frame in server.frames if frame.get("subtype") == "call:init"]) == 1


async def test_a_slow_connection_is_hinted_at(server):
    """While the relay leaves pictures out for this viewer, the page says why."""
    await wait_for_a_source(server)
    server.event("relay:live")
    await server.page.evaluate("callee.pause(false)")
    await expect(server.page.locator("#status")).to_have_text(PLAYING, timeout=10_000)
    slow = server.page.locator("#slow")
    await expect(slow).to_be_hidden()
    server.event("relay:congested", congested=True)
    await expect(slow).to_be_visible()
    server.event("relay:congested", congested=False)
    await expect(slow).to_be_hidden()
    server.event("relay:congested", congested=True)
    await expect(slow).to_be_visible()
    await server.page.locator("#hangup").click()
    await expect(slow).to_be_hidden()


async def test_events_of_others_change_nothing(server):
    """Only the server that is watched says whether somebody is live."""
    await wait_for_a_source(server)
    for name in ("relay:live", "relay:ended", "relay:congested"):
        data = {"congested": True}
        server.send({"type": "event", "name": name, "from": "mallory|1", "data": data})
    server.send({"type": "event", "name": "relay:congested", "from": server.address, "data": 7})
    server.event("relay:unheard-of")
    server.event("relay:waiting")
    await expect(server.page.locator("#status")).to_have_text(WAITING)
    await expect(server.page.locator("#slow")).to_be_hidden()
    assert [line for line in server.console if line.startswith("error")] == []


async def test_a_viewer_that_waits_survives_a_restart(server):
    """A viewer that waits when the server goes calls again, and forgets what it was told."""
    await wait_for_a_source(server)
    await server.page.evaluate("callee.pause(false)")
    await server.stop()
    await expect(server.page.locator("#status")).to_contain_text("Waiting for it to come back")
    server.start()
    await expect(server.page.locator("#status")).to_have_text(PLAYING, timeout=15_000)


async def test_a_source_survives_a_restart(server):
    """Whoever is live when the server goes is live again when it is back."""
    await server.open_page()
    await broadcast(server)
    await server.stop(reason="server is shutting down")
    await expect(server.page.locator("#status")).to_contain_text("Waiting for it to come back")
    server.start()
    await server.sent("call:offer", count=2, deadline_s=15)
    await expect(server.page.locator("#status")).to_have_text(LIVE, timeout=10_000)
    assert await server.page.evaluate("preview.srcObject === icey.stream")


@pytest.mark.parametrize("width", [320, 1280])
async def test_names_and_widths(server, width):
    """Each control has a name, nothing sticks out, focus stays, no rule of the policy breaks."""
    await server.page.set_viewport_size({"width": width, "height": 720})
    await server.open_page()
    await expect(server.page.locator("#broadcast")).to_be_enabled()
    assert await server.page.evaluate("document.documentElement.scrollWidth") <= width
    await broadcast(server)
    await expect(server.page.locator("#hangup")).to_be_focused()
    names = await server.page.evaluate("""[...document.querySelectorAll("button, a")]
        .filter(one => one.checkVisibility())
        .map(one => one.ariaLabel ?? one.textContent.trim())""")
    assert len(names) >= 4
    assert all(names)
    assert await server.page.evaluate("document.documentElement.scrollWidth") <= width
    await server.page.keyboard.press("Enter")
    await expect(server.page.locator("#broadcast")).to_be_focused()
    assert [line for line in server.console if not line.startswith("verbose")] == []
