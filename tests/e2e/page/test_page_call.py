"""The caller's side of a call, as the page plays it."""

from __future__ import annotations

from playwright.async_api import expect

from e2e.waiting import until

PLAYING = "Playing."


async def watch(server):
    """Open the page, click Watch and wait for the picture."""
    await server.open_page()
    await server.page.locator("#watch").click()
    await expect(server.page.locator("#status")).to_have_text(PLAYING, timeout=10_000)


async def test_watch_plays(server):
    """A click on Watch makes a recvonly offer, plays what comes, with sound and no added delay."""
    await watch(server)
    kinds = [frame.get("subtype") for frame in server.frames if frame["type"] == "message"]
    assert kinds[:2] == ["call:init", "call:offer"]
    offer = (await server.sent("call:offer"))["data"]["sdp"]
    assert offer.count("a=recvonly") == 2
    assert "a=sendrecv" not in offer
    assert await server.page.evaluate("video.muted") is False
    targets = "icey.peerConnection.getReceivers().map(receiver => receiver.jitterBufferTarget)"
    assert await server.page.evaluate(targets) == [0, 0]
    assert await server.page.evaluate("icey.times.picture >= icey.times.clicked")


async def test_hang_up_and_watch_again(server):
    """Hanging up says so to the server and frees the connection; Watch then starts a new one."""
    await watch(server)
    await server.page.evaluate("window.first = icey.peerConnection")
    for count in (1, 2, 3):
        await server.page.locator("#hangup").click()
        await expect(server.page.locator("#status")).to_have_text("Hung up.")
        await server.sent("call:hangup", count=count)
        assert await server.page.evaluate("first.signalingState") == "closed"
        assert await server.page.evaluate("icey.peerConnection") is None
        await server.page.locator("#watch").click()
        await expect(server.page.locator("#status")).to_have_text(PLAYING, timeout=10_000)


async def test_click_on_the_picture_watches(server):
    """The big mark on the empty picture is as good as the button."""
    await server.open_page()
    await expect(server.page.locator("#watch")).to_be_enabled()
    await server.page.locator("#stage").click()
    await server.sent("call:init")


async def test_candidates_before_the_answer_wait(server):
    """Candidates that come before accept and before the answer are used all the same."""

    async def answer(frame):
        sdp = await server.page.evaluate("sdp => callee.answer(sdp)", frame["data"]["sdp"])
        lines = sdp.splitlines()
        candidates = [line for line in lines if line.startswith("a=candidate")]
        rest = [line for line in lines if line not in candidates]
        assert candidates
        for candidate in candidates:
            server.call("call:candidate", candidate=candidate, sdpMid="0", sdpMLineIndex=0)
        server.call("call:answer", type="answer", sdp="\r\n".join(rest) + "\r\n")

    async def accept(frame):
        early = "candidate:1 1 udp 1 192.0.2.1 9 typ host"
        server.call("call:candidate", candidate=early, sdpMid="0")
        server.call("call:accept")

    async def ignore(frame):
        """The page's own candidates stay unused: the callee learns them as peer-reflexive."""

    server.answers.update({"call:offer": answer, "call:init": accept, "call:candidate": ignore})
    await watch(server)


async def test_failed_ice_is_restarted(server):
    """When the path fails, a new offer with new ICE credentials goes out on the same connection."""
    await server.page.clock.install()
    await watch(server)
    first = await server.sent("call:offer")
    await server.page.evaluate("""() => {
        const pc = window.before = icey.peerConnection;
        Object.defineProperty(pc, "connectionState", {value: "failed", configurable: true});
        pc.onconnectionstatechange();
        delete pc.connectionState;
    }""")
    second = await server.sent("call:offer", count=2)
    assert ufrag(first) != ufrag(second)
    await expect(server.page.locator("#status")).to_have_text(PLAYING, timeout=10_000)
    await frames_grow(server.page)
    await server.page.clock.run_for(15_000)  # longer than a repair may take
    await expect(server.page.locator("#status")).to_have_text(PLAYING)
    assert await server.page.evaluate("before === icey.peerConnection")
    assert not [frame for frame in server.frames if frame.get("subtype") == "call:hangup"]


async def frames_grow(page):
    """Return once ten more pictures were decoded than now."""
    script = """async () => {
        let frames = 0;
        (await icey.peerConnection.getStats()).forEach(report => {
            if (report.kind === "video") frames = report.framesDecoded ?? frames;
        });
        return frames;
    }"""
    first = await page.evaluate(script)

    async def grown():
        return await page.evaluate(script) >= first + 10

    await until(grown, "ten more pictures")


def ufrag(frame):
    """The ICE user fragment in an offer."""
    lines = frame["data"]["sdp"].splitlines()
    return next(line for line in lines if line.startswith("a=ice-ufrag:"))


async def test_closed_dtls_is_called_again(server):
    """A media connection that the server closed without a word is replaced by a new call."""
    await watch(server)
    await server.page.evaluate("callee.close()")
    await server.sent("call:init", count=2)
    await expect(server.page.locator("#status")).to_have_text(PLAYING, timeout=10_000)


async def test_silent_server_times_out(server):
    """A server that never accepts is hung up on after 20 s, and called again."""
    server.answers.clear()
    await server.install()
    await server.page.clock.install()
    await server.page.goto("http://localhost/")
    await server.page.locator("#watch").click()
    await server.sent("call:init")
    await server.page.clock.run_for(21_000)
    hangup = await server.sent("call:hangup")
    assert hangup["data"]["reason"] == "the server did not answer the call"
    await expect(server.page.locator("#problem")).to_contain_text("did not answer")
    await server.page.clock.run_for(2_000)
    await server.sent("call:init", count=2)


async def test_messages_of_others_change_nothing(server):
    """Only the peer that was called can end the call."""
    await watch(server)
    for sender in ("mallory|1", "icey|another"):
        server.send(
            {"type": "message", "subtype": "call:hangup", "from": sender, "data": {"reason": "x"}}
        )
    server.send({"type": "message", "subtype": "call:answer", "from": "mallory|1", "data": None})
    await frames_grow(server.page)
    await expect(server.page.locator("#status")).to_have_text(PLAYING)
