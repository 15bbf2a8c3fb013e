"""Media by TURN alone, over each transport and in every mode, as `?relay=…` asks for."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from bench.ports import free_port

from e2e.broadcaster import Broadcaster
from e2e.certificate import write_certificate
from e2e.chromium import AUTOPLAY, FAKE_CAMERA, open_chromium
from e2e.publisher import Publisher
from e2e.recording_file import read_recording
from e2e.relayed import selected_path
from e2e.server_process import running_server
from e2e.viewer import Viewer
from e2e.waiting import until

RECORDED_S = 5
TRANSPORTS = pytest.mark.parametrize("transport", ["udp", "tcp"])


async def relays(server, page, transport):
    """The tab's media go by the server's TURN server over this transport, and it counts them."""
    path = await selected_path(page)
    assert (path["type"], path["protocol"]) == ("relay", transport)
    turn = (await server.get("/api/status"))["turn"]
    assert turn["allocations"]["active"] >= 1
    packets = turn["toPeers"]["packets"], turn["fromPeers"]["packets"]
    assert min(packets) > 5
    assert max(packets) > 50
    if transport == "tcp":
        assert turn["connections"]["active"] >= 1
    return turn


@TRANSPORTS
@pytest.mark.alone
async def test_stream(demo, context, transport):
    """The stream plays through TURN, with sound, at its full rate."""
    viewer = await Viewer.open(context, f"{demo.url}/?relay={transport}")
    await viewer.watch()
    rates = []

    async def fast_enough():
        rates.append(await viewer.frame_rate(3))
        return rates[-1] >= 25

    await until(fast_enough, f"25 pictures a second over 3 s: {rates}", deadline_s=20)
    stats = await viewer.stats()
    assert (stats["width"], stats["height"]) == (1280, 720)
    assert stats["audioEnergy"] / stats["audioSamples"] > 0.001
    turn = await relays(demo, viewer.page, transport)
    assert turn["fromPeers"]["bytes"] > 200_000
    assert turn["packetsDropped"] == 0
    assert viewer.errors == []
    await viewer.hang_up()

    async def freed():
        return (await demo.get("/api/status"))["turn"]["allocations"]["active"] == 0

    await until(freed, "the browser's allocations are freed")


@TRANSPORTS
@pytest.mark.alone
async def test_recording(tmp_path, transport):
    """A camera that comes through TURN becomes a whole film."""
    folder = tmp_path / "recordings"
    arguments = ("--mode", "record", "--record-dir", str(folder))
    async with (
        running_server(tmp_path, *arguments) as server,
        open_chromium(AUTOPLAY, *FAKE_CAMERA) as browser,
    ):
        url = f"{server.url}/?relay={transport}"
        publisher = await Publisher.open(await browser.new_context(), url)
        await publisher.call()
        await publisher.page.wait_for_timeout(RECORDED_S * 1000)
        await relays(server, publisher.page, transport)
        sent, name = await publisher.hang_up()
    film = read_recording(folder / name)
    assert sent.seconds > RECORDED_S - 1
    assert film.duration == pytest.approx(sent.seconds, abs=0.25 + sent.slack)
    assert len(film.pictures) >= 0.95 * sent.frames


@TRANSPORTS
async def test_broadcast(tmp_path, transport):
    """One broadcasts through TURN, another watches through TURN."""
    async with (
        running_server(tmp_path, "--mode", "relay") as server,
        open_chromium(AUTOPLAY, *FAKE_CAMERA) as studio,
        open_chromium(AUTOPLAY) as room,
    ):
        url = f"{server.url}/?relay={transport}"
        source = await Broadcaster.open(await studio.new_context(), url)
        await source.go_live()
        viewer = await Viewer.open(await room.new_context(), url)
        await viewer.watch()
        await viewer.moves(pictures=60)
        await relays(server, source.page, transport)
        await relays(server, viewer.page, transport)
        assert source.errors == viewer.errors == []


async def test_stream_over_tls(tmp_path):
    """With `turn.tlsPort` the stream plays through TURN over TLS, which the self-test covers."""
    settings: dict[str, Any] = {
        "tls": write_certificate(tmp_path),
        "turn": {"tlsPort": free_port()},
    }
    async with (
        running_server(tmp_path, "--source", "demo:", settings=settings) as server,
        open_chromium(AUTOPLAY, "--ignore-certificate-errors") as browser,
    ):
        context = await browser.new_context(ignore_https_errors=True)
        viewer = await Viewer.open(context, f"{server.url}/?relay=tls")
        await viewer.watch()
        await viewer.moves(pictures=30)
        await relays(server, viewer.page, "tls")
        checks = (await server.get("/api/ready"))["checks"]
        check = next(check for check in checks if check["name"] == "turn")
        assert check["result"] == "pass"
        assert f"TLS {settings['turn']['tlsPort']}" in check["detail"]


@pytest.mark.alone
async def test_a_call_outlives_its_credential(tmp_path, context):
    """A relayed call gets new addresses by a new credential before the old one expires."""
    settings = {"turn": {"credentialTtlSeconds": 6}}
    async with running_server(tmp_path, "--source", "demo:", settings=settings) as server:
        viewer = await Viewer.open(context, f"{server.url}/?relay=udp")
        await viewer.watch()
        name = "icey.peerConnection.getConfiguration().iceServers[0].username"
        first = int((await viewer.page.evaluate(name)).partition(":")[0])
        await viewer.page.evaluate("window.before = icey.peerConnection")

        async def renewed():
            return int((await viewer.page.evaluate(name)).partition(":")[0]) >= first + 8

        await until(renewed, "two credentials later", deadline_s=30)
        await viewer.moves(pictures=60)
        assert await viewer.page.evaluate("before === icey.peerConnection")
        assert (await server.get("/api/status"))["sessions"] == {"active": 1, "total": 1}
        freezes = (await viewer.stats())["freezeSeconds"]
        assert freezes < 2
        assert viewer.errors == []


async def test_the_page_and_the_api_agree(demo, context):
    """Each answer of /api/config has a credential of its own, and none of them is kept."""
    async with httpx.AsyncClient(base_url=demo.url, trust_env=False) as http:

        async def of_one_second():
            answers = await asyncio.gather(*(http.get("/api/config") for _ in range(20)))
            turns = [answer.json()["turn"] for answer in answers]
            return len({turn["username"] for turn in turns}) == 20 and turns

        # Those of one second differ for certain; in the next second a name may come again.
        turns = await until(of_one_second, "20 answers have names of their own", deadline_s=20)
    assert len({turn["credential"] for turn in turns}) == 20
    port = (await demo.get("/api/status"))["turn"]["port"]
    assert {(turn["enabled"], turn["host"], turn["port"]) for turn in turns} == {
        (True, "127.0.0.1", port)
    }
