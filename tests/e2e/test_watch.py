"""One browser on the demo: the picture, the sound, again and again."""

from __future__ import annotations

import json

import pytest
from playwright.async_api import expect

from e2e.server_process import POOL_THREADS, running_server
from e2e.viewer import Viewer
from e2e.waiting import until
from icey.media.demo import BARS, BARS_BOTTOM, BARS_TOP

ROUNDS = 20
# One run of the allocator's arenas; 20 leaked pipelines would be 500 MB.
MEMORY_NOISE = 24 * 2**20


@pytest.mark.alone
async def test_watch_shows_the_demo(demo, context):
    """A click on Watch gives 25 fps or more at 1280x720, the demo's colours, and its tone."""
    viewer = await Viewer.open(context, demo.url)
    await viewer.watch()
    rates: list[float] = []

    async def fast_enough() -> bool:
        rates.append(await viewer.frame_rate(5))
        return rates[-1] >= 25

    # The machine is shared: another five seconds may be tried, a lower rate may not pass.
    await until(fast_enough, f"25 pictures a second over 5 s: {rates}", deadline_s=20)
    stats = await viewer.stats()
    assert (stats["width"], stats["height"]) == (1280, 720)
    # -20 dBFS of a sine is an amplitude of 0.1, a mean square of 0.005.
    assert stats["audioEnergy"] / stats["audioSamples"] > 0.001

    middle = (BARS_TOP + BARS_BOTTOM) / 2
    points = [((bar + 0.5) / len(BARS), middle) for bar in range(len(BARS))]
    for (name, expected), seen in zip(BARS, await viewer.pixels(points), strict=True):
        assert seen == pytest.approx(expected, abs=24), name

    ages = await viewer.page.evaluate("watching.glass(10)")
    assert max(ages) < 2000, "the clock in the picture is not running now"

    await viewer.hang_up()
    await demo.sessions_become(0)
    assert viewer.errors == []


async def settled(demo, before):
    """Wait until threads and descriptors are back at `before`, and check the memory."""
    await demo.sessions_become(0)

    def back() -> bool:
        now = demo.usage()
        threads = before.threads + POOL_THREADS  # fewer than one for each round
        return now.threads <= threads and now.descriptors <= before.descriptors

    await until(back, f"no more threads and descriptors than {before}", deadline_s=10)
    assert demo.usage().memory - before.memory < MEMORY_NOISE


async def test_watch_again_in_the_same_tab(demo, context):
    """Twenty times hang up and Watch: the picture comes back, and nothing is left behind."""
    viewer = await Viewer.open(context, demo.url)
    before = demo.usage()
    for round_ in range(ROUNDS):
        await viewer.watch()
        await viewer.hang_up()
        if round_ == 1:  # what is made once, on first use, is there now
            await demo.sessions_become(0)
            before = demo.usage()
    await settled(demo, before)
    assert (await demo.get("/api/status"))["sessions"]["total"] == ROUNDS


async def test_reload_in_mid_call(demo, context):
    """Twenty reloads while it plays: each time Watch works, and the old session goes at once."""
    viewer = await Viewer.open(context, demo.url)
    before = demo.usage()
    for round_ in range(ROUNDS):
        await viewer.watch()
        await viewer.page.reload()
        await viewer.ready()
        if round_ == 1:
            await demo.sessions_become(0)
            before = demo.usage()
    await viewer.watch()
    assert await demo.active_sessions() == 1
    await viewer.page.goto("about:blank")
    # The open page holds a WebSocket, so one descriptor less than `before` is fine too.
    await settled(demo, before)


async def test_closed_tab_ends_its_session_at_once(demo, context):
    """A tab that is closed in mid-call says goodbye; the server does not wait for a timeout."""
    viewer = await Viewer.open(context, demo.url)
    await viewer.watch()
    await viewer.page.close(run_before_unload=False)
    await demo.sessions_become(0, deadline_s=3)


async def test_first_watch_on_a_fresh_server(tmp_path, context):
    """The first Watch after a start plays, ten starts of ten."""
    for start in range(10):
        folder = tmp_path / str(start)
        folder.mkdir()
        async with running_server(folder, "--source", "demo:") as server:
            viewer = await Viewer.open(context, server.url)
            await viewer.watch()
            await viewer.page.close()


async def test_browser_without_h264_is_refused(demo, context):
    """A browser that offers no H.264 gets `call:reject` with the reason, and shows it."""
    received: list[dict] = []

    def listen(socket):
        socket.on("framereceived", lambda frame: received.append(json.loads(frame)))

    await context.add_init_script("""
        const add = RTCPeerConnection.prototype.addTransceiver;
        RTCPeerConnection.prototype.addTransceiver = function (...given) {
            const transceiver = add.apply(this, given);
            if (given[0] === "video") {
                const { codecs } = RTCRtpReceiver.getCapabilities("video");
                transceiver.setCodecPreferences(codecs.filter(c => c.mimeType !== "video/H264"));
            }
            return transceiver;
        };
    """)
    page = await context.new_page()
    page.on("websocket", listen)
    await page.goto(demo.url)
    await page.locator("#watch").click()
    reason = "codec: browser offers no H.264"
    await expect(page.locator("#problem")).to_contain_text(reason, timeout=3_000)
    rejects = [frame for frame in received if frame.get("subtype") == "call:reject"]
    assert [frame["data"]["reason"] for frame in rejects] == [reason]
    await demo.sessions_become(0)


async def test_ice_restart(demo, context):
    """When the path fails, an ICE restart on the running call is answered, and it plays on."""
    viewer = await Viewer.open(context, demo.url)
    await viewer.watch()
    ufrags = await viewer.page.evaluate("""async () => {
        const pc = window.before = icey.peerConnection;
        const ufrag = () => /a=ice-ufrag:(.*)/.exec(pc.remoteDescription.sdp)[1];
        const first = ufrag();
        Object.defineProperty(pc, "connectionState", { value: "failed", configurable: true });
        pc.onconnectionstatechange();
        delete pc.connectionState;
        while (ufrag() === first) await new Promise((done) => setTimeout(done, 20));
        return [first, ufrag()];
    }""")
    assert ufrags[0] != ufrags[1]
    # The browser switches to the new path when it has checked it; pictures must come after that.
    await viewer.playing()
    connected = "before.iceConnectionState === 'connected'"
    await until(lambda: viewer.page.evaluate(connected), "ICE is connected again")
    await viewer.moves(pictures=60)
    assert await viewer.page.evaluate("before === icey.peerConnection")
    assert (await demo.get("/api/status"))["sessions"] == {"active": 1, "total": 1}


async def test_restarted_server_is_watched_again(tmp_path, context):
    """A tab that watches survives a restart of the server: the picture comes back by itself."""
    settings: dict = {}
    async with running_server(tmp_path, "--source", "demo:") as server:
        viewer = await Viewer.open(context, server.url)
        await viewer.watch()
        settings["http"] = {"port": int(server.url.rpartition(":")[2])}
    await expect(viewer.page.locator("#status")).to_contain_text("Waiting for it to come back")
    async with running_server(tmp_path, "--source", "demo:", settings=settings) as server:
        await viewer.playing(deadline_s=20)
        assert await server.active_sessions() == 1


async def test_access_token(tmp_path, context):
    """With a token set, the page asks for it once and then plays; the token is in no log line."""
    token = "correct-horse-battery"
    settings = {"auth": {"token": token}}
    async with running_server(tmp_path, "--source", "demo:", settings=settings) as server:
        page = await context.new_page()
        await page.add_init_script(path=Viewer.script)
        await page.goto(server.url)
        await page.get_by_label("Token", exact=True).fill(token)
        await page.keyboard.press("Enter")
        viewer = Viewer(page)
        await viewer.ready()
        await viewer.watch()
        assert token not in server.output
