"""The ways that media may take: ICE servers, the switch in the address, and what a failure says."""

from __future__ import annotations

import asyncio

import pytest
from playwright.async_api import expect

SECRETS = {"username": "u", "credential": "c"}
TURN = {"enabled": True, "host": "", "port": 3478, **SECRETS}
UDP, TCP = "turn:localhost:3478?transport=udp", "turn:localhost:3478?transport=tcp"
TLS = "turns:localhost:5349?transport=tcp"


def servers(*urls):
    return [{"urls": list(urls), **SECRETS}] if urls else []


@pytest.mark.parametrize(
    ("body", "search", "expected"),
    [
        ({}, "", []),
        ({"turn": {"enabled": False, "port": 3478}, "stun": {"urls": []}}, "", []),
        ({"stun": {"urls": ["stun:a:1"]}}, "", [{"urls": ["stun:a:1"]}]),
        ({"stun": {"urls": ["stun:a:1"]}}, "?relay", []),
        ({"turn": TURN}, "", servers(UDP, TCP)),
        ({"turn": {**TURN, "tlsPort": 0}}, "?relay=0", servers(UDP, TCP)),
        ({"turn": {**TURN, "tlsPort": 5349}}, "?relay=1", servers(UDP, TCP, TLS)),
        ({"turn": {**TURN, "tlsPort": 5349}}, "?relay=tcp", servers(TCP)),
        ({"turn": {**TURN, "tlsPort": 5349}}, "?a=b&relay=tls", servers(TLS)),
        ({"turn": TURN}, "?relay=udp", servers(UDP)),
        ({"turn": TURN}, "?relay=tls", []),
        (
            {"turn": {**TURN, "host": "192.0.2.1", "tlsPort": 5349}},
            "",
            servers("turn:192.0.2.1:3478?transport=udp", "turn:192.0.2.1:3478?transport=tcp", TLS),
        ),
        (
            {"turn": {**TURN, "host": "::1", "port": 9}},
            "",
            servers("turn:[::1]:9?transport=udp", "turn:[::1]:9?transport=tcp"),
        ),
    ],
)
async def test_ice_servers(server, body, search, expected):
    """`/api/config` and the page's address become ICE servers that a browser takes."""
    await server.open_page()
    script = """async ([body, search]) => {
        const { readIce, relayOnly } = await import("/js/ice.js");
        const ice = readIce(body, relayOnly(search));
        new RTCPeerConnection({ iceServers: ice.servers, iceTransportPolicy: ice.policy }).close();
        return ice;
    }"""
    ice = await server.page.evaluate(script, [body, search])
    assert ice["servers"] == expected
    forced = "relay" in search and not search.endswith("=0")
    assert ice["policy"] == ("relay" if forced else "all")


async def test_calls_use_them(server):
    """A call has the servers with the credential of /api/config, and asks for a new one in time."""
    server.turn = {**TURN, "host": "127.0.0.1", "port": 9, "ttlSec": 4}
    await server.open_page()
    await server.page.locator("#watch").click()
    await expect(server.page.locator("#status")).to_have_text("Playing.", timeout=10_000)
    configuration = "icey.peerConnection.getConfiguration()"
    used = await server.page.evaluate(configuration)
    assert used["iceTransportPolicy"] == "all"
    assert used["iceServers"][0]["urls"][0] == "turn:127.0.0.1:9?transport=udp"
    assert used["iceServers"][0]["username"] == "u"
    await server.page.locator("#hangup").click()
    server.turn["username"] = "later"
    # A credential is not handed to a call when more than half of its life is over.
    await asyncio.sleep(2.1)
    await server.page.locator("#watch").click()
    await server.sent("call:init", count=2)
    used = await server.page.evaluate(configuration)
    assert used["iceServers"][0]["username"] == "later"


async def test_restart_takes_a_fresh_credential(server):
    """An ICE restart goes with a credential that is good, also where the first one has expired."""
    server.turn = {**TURN, "host": "127.0.0.1", "port": 9, "ttlSec": 1}
    await server.open_page()
    await server.page.locator("#watch").click()
    await expect(server.page.locator("#status")).to_have_text("Playing.", timeout=10_000)
    server.turn["username"] = "later"
    # So old the first one has to be for the page to ask for another.
    await asyncio.sleep(0.6)
    await server.page.evaluate("""() => {
        const pc = icey.peerConnection;
        Object.defineProperty(pc, "connectionState", { value: "failed", configurable: true });
        pc.onconnectionstatechange();
        delete pc.connectionState;
    }""")
    await server.sent("call:offer", count=2)
    used = await server.page.evaluate("icey.peerConnection.getConfiguration()")
    assert used["iceServers"][0]["username"] == "later"


async def test_forced_relay_is_told(server):
    """The page says that it goes by TURN alone, as its address asks."""
    await server.open_page("?relay=tcp")
    status = server.page.locator("#status")
    await expect(status).to_contain_text("Media will go by TURN alone over TCP")


ANSWER = """async sdp => {
    const pc = window.other = new RTCPeerConnection();
    await pc.setRemoteDescription({ type: "offer", sdp });
    return (await pc.createAnswer()).sdp;
}"""
NOBODY = "candidate:1 1 udp 2122260223 192.0.2.1 4501 typ host"  # RFC 5737


async def test_no_way_for_the_media(server):
    """A call that finds no path lists what was tried and what to change, and tells the server."""
    server.turn = {**TURN, "host": "127.0.0.1", "port": 9}

    async def answer(frame):
        sdp = await server.page.evaluate(ANSWER, frame["data"]["sdp"])
        server.call("call:answer", type="answer", sdp=sdp)
        server.call("call:candidate", candidate=NOBODY, sdpMid="0", sdpMLineIndex=0)

    async def ignore(_frame):
        """The page's candidates go nowhere."""

    server.answers.update({"call:offer": answer, "call:candidate": ignore})
    await server.open_page()
    await server.page.locator("#watch").click()
    await server.sent("call:offer")
    problem = server.page.locator("#problem")
    await expect(problem).to_contain_text("no media came through", timeout=30_000)
    text = await problem.inner_text()
    assert "UDP port 4501 of the server did not answer" in text
    assert "did not answer at 127.0.0.1:9" in text
    assert "Tried:" in text
    assert "host to 192.0.2.1:4501 (udp): " in text
    assert ", none answered" in text
    assert "turn:127.0.0.1:9?transport=udp: no answer" in text
    # It stays to be read while the next call is made.
    await server.sent("call:offer", count=2)
    await expect(server.page.locator("#status")).to_have_text("Connecting…")
    assert await problem.inner_text() == text
    hangup = (await server.sent("call:hangup"))["data"]["reason"]
    assert hangup.startswith(
        "no media came through to the browser, which tried host to 192.0.2.1:4501 (udp): "
    )


FINDINGS = {
    "pairs": [
        {"from": "host", "relayed": False, "to": "10.0.0.1:4501", "protocol": "udp",
         "sent": 5, "answered": 0},
        {"from": "host", "relayed": False, "to": "10.0.0.1:4501", "protocol": "udp",
         "sent": 4, "answered": 0},
    ],
    "relays": [],
    "refusals": [],
}  # fmt: skip
RELAYED = {"from": f"relay by {UDP}", "relayed": True, "to": "10.0.0.1:4501", "protocol": "udp",
           "sent": 1, "answered": 1}  # fmt: skip
REFUSED = {"url": UDP, "code": 401, "text": "Unauthorized"}


@pytest.mark.parametrize(
    ("findings", "servers", "policy", "advice"),
    [
        (FINDINGS, [], "all", ["UDP port 4501 of", "Its TURN server is off (turn.enabled)"]),
        ({**FINDINGS, "pairs": []}, [], "relay", ["asks for TURN alone"]),
        (
            FINDINGS,
            servers(UDP, TCP),
            "all",
            ["UDP port 4501 of", "did not answer at localhost:3478:"],
        ),
        (
            {**FINDINGS, "pairs": [RELAYED], "relays": [UDP]},
            servers(UDP),
            "all",
            ["answered, but nothing came back through it"],
        ),
        (
            {**FINDINGS, "pairs": [], "refusals": [REFUSED]},
            servers(UDP),
            "all",
            ["Its TURN server refused (401 Unauthorized)"],
        ),
    ],
)
async def test_advice(server, findings, servers, policy, advice):
    """What to change follows from what was seen."""
    await server.open_page()
    script = """async ([findings, ice]) => {
        const { adviceOn } = await import("/js/paths.js");
        return adviceOn(findings, ice);
    }"""
    said = await server.page.evaluate(script, [findings, {"servers": servers, "policy": policy}])
    assert all(words in said for words in advice)
    assert ("UDP port" in said) == bool([p for p in findings["pairs"] if not p["relayed"]])


async def test_lines_of_what_was_tried(server):
    """Pairs of one way are one line with their checks together; servers that refused follow."""
    await server.open_page()
    script = """async ([findings, servers]) => {
        const { triedLines } = await import("/js/paths.js");
        return triedLines(findings, servers);
    }"""
    pairs = [*FINDINGS["pairs"], RELAYED]
    findings = {"pairs": pairs, "relays": [TLS], "refusals": [REFUSED]}
    lines = await server.page.evaluate(script, [findings, servers(UDP, TCP, TLS)])
    assert lines == [
        "host to 10.0.0.1:4501 (udp): 9 checks sent, none answered",
        f"relay by {UDP} to 10.0.0.1:4501 (udp): 1 check sent, 1 answered",
        f"{UDP}: refused, 401 Unauthorized",
        f"{TCP}: no answer",
    ]
    findings = {"pairs": [], "relays": [""], "refusals": []}
    assert await server.page.evaluate(script, [findings, servers(UDP, TCP)]) == []
