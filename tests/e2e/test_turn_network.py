"""A browser in another network, behind a router that lets little through."""

from __future__ import annotations

import functools

import pytest
import pytest_asyncio
from playwright.async_api import expect

from e2e.chromium import AUTOPLAY, find_chromium, open_chromium
from e2e.relayed import selected_path
from e2e.server_process import running_server
from e2e.strict_network import obstacle, strict_network
from e2e.viewer import Viewer
from e2e.waiting import until

pytestmark = pytest.mark.alone

PUBLIC = "203.0.113.7"
"""The address of the router, which is not the server's."""

OBSTACLE = functools.cache(obstacle)


@pytest.fixture
def network():
    """The strict network, which lets nothing through yet."""
    if OBSTACLE():
        pytest.skip(OBSTACLE())
    with strict_network() as network:
        yield network


@pytest_asyncio.fixture(loop_scope="session")
async def browser(network, tmp_path):
    """A Chromium in there."""
    program = network.command(tmp_path, find_chromium())
    async with open_chromium(AUTOPLAY, program=program) as browser:
        yield browser


@pytest_asyncio.fixture(loop_scope="session")
async def server(tmp_path):
    """A server on every address of this machine."""
    settings = {"http": {"host": "0.0.0.0"}}
    async with running_server(tmp_path, "--source", "demo:", settings=settings) as server:
        yield server


async def ports(server):
    status = await server.get("/api/status")
    return status["http"]["port"], status["turn"]["port"]


async def visit(browser, network, http):
    context = await browser.new_context()
    return await Viewer.open(context, f"http://{network.server}:{http}")


def relayed_over(transport):
    return lambda path: (path["type"], path["protocol"]) == ("relay", transport)


async def test_only_the_turn_port_is_open(network, browser, server):
    """Where only the TURN port is open beside that of the page, the stream plays through it."""
    http, turn = await ports(server)
    network.allow(tcp=(http, turn), udp=(turn,))
    viewer = await visit(browser, network, http)
    await viewer.watch()
    await viewer.moves(pictures=60)
    # Over UDP or TCP: Chromium gathers no further once one of them works.
    path = await selected_path(viewer.page, lambda path: path["type"] == "relay")
    assert path["url"].startswith(f"turn:{network.server}:{turn}?transport=")
    status = (await server.get("/api/status"))["turn"]
    assert status["allocations"]["active"] >= 1
    assert status["toPeers"]["packets"] > 0
    assert status["fromPeers"]["bytes"] > 100_000


async def test_udp_is_blocked_wholly(network, browser, server):
    """Where no UDP passes at all, the stream plays over TCP."""
    http, turn = await ports(server)
    network.allow(tcp=(http, turn))
    viewer = await visit(browser, network, http)
    await viewer.watch()
    await viewer.moves(pictures=60)
    await selected_path(viewer.page, relayed_over("tcp"))


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_server_behind_a_nat(network, browser, tmp_path, transport):
    """A server that only `turn.externalIp` reaches gives relayed addresses on it, and plays."""
    network.forward(PUBLIC)
    settings = {"http": {"host": "0.0.0.0"}, "turn": {"externalIp": PUBLIC}}
    async with running_server(tmp_path, "--source", "demo:", settings=settings) as server:
        http, turn = await ports(server)
        if transport == "udp":
            network.allow(tcp=(http,), udp=(turn,))
        else:
            network.allow(tcp=(http, turn))
        context = await browser.new_context()
        viewer = await Viewer.open(context, f"http://{PUBLIC}:{http}")
        await viewer.watch()
        await viewer.moves(pictures=60)
        path = await selected_path(viewer.page, relayed_over(transport))
        assert path["url"] == f"turn:{PUBLIC}:{turn}?transport={transport}"
        assert path["address"] == PUBLIC


async def test_nothing_is_open(network, browser, server):
    """Where neither works, the page and the log say what was tried and what to change."""
    http, turn = await ports(server)
    network.allow(tcp=(http,))
    viewer = await visit(browser, network, http)
    await viewer.page.locator("#watch").click()
    problem = viewer.page.locator("#problem")
    await expect(problem).to_contain_text("no media came through", timeout=40_000)
    text = await problem.inner_text()
    webrtc = (await server.get("/api/ready"))["checks"]
    media = next(check for check in webrtc if check["name"] == "ports")["detail"]
    port = media.partition(" (UDP, WebRTC)")[0].rpartition(" ")[2]
    assert f"UDP port {port} of the server did not answer" in text
    assert f"did not answer at {network.server}:{turn}: open that port" in text
    assert f"host to {network.server}:{port} (udp): " in text
    assert "none answered" in text
    assert f"turn:{network.server}:{turn}?transport=tcp: no answer" in text

    await until(lambda: "no media came through" in server.output, "the log says it")
    line = next(line for line in server.output.splitlines() if "no media came through" in line)
    assert "WARN" in line
    assert f"host to {network.server}:{port} (udp): " in line
    assert f"turn:{network.server}:{turn}?transport=udp: no answer" in line
    assert "nothing at all was heard from the browser over UDP" in line
    assert f"open UDP port {port} (webrtc.port)" in line


async def test_the_direct_way_comes_first(network, browser, server):
    """Where everything is open, media do not take the detour by TURN."""
    http, turn = await ports(server)
    status = await server.get("/api/ready")
    media = next(check for check in status["checks"] if check["name"] == "ports")["detail"]
    port = int(media.partition(" (UDP, WebRTC)")[0].rpartition(" ")[2])
    network.allow(tcp=(http, turn), udp=(turn, port))
    viewer = await visit(browser, network, http)
    await viewer.watch()
    await viewer.moves(pictures=60)
    await selected_path(viewer.page, lambda path: path["type"] != "relay")
