"""The start and the end of the server in one loop."""

import asyncio
import ssl
import subprocess

import httpx
import pytest
import websockets
from websockets.typing import Origin

SERVER = "icey|server"


async def test_sessions_start_before_the_port_opens(server):
    """Nobody can call before there is somebody to answer."""
    assert server.sessions.started


async def test_the_end_hangs_up_and_then_closes(make_server, wire):
    """At the end callers get the reason before their socket closes with 1001."""
    async with make_server() as server:
        alice = await server.enter("alice")
        await wire.say(alice, {"type": "message", "subtype": "call:init", "to": SERVER, "data": {}})
        assert (await wire.hear(alice))["subtype"] == "call:accept"
        server.stop.set()
        hangup = await wire.hear(alice)
        assert (hangup["subtype"], hangup["data"]["reason"]) == (
            "call:hangup",
            "server is shutting down",
        )
        await asyncio.wait_for(alice.wait_closed(), 5)
        assert (alice.close_code, alice.close_reason) == (1001, "server is shutting down")
        await asyncio.wait_for(server.task, 5)
    assert server.sessions.closed == ["server is shutting down"]
    assert server.sessions.left == [alice.address]


async def test_nothing_is_left_behind(make_server, wire):
    """No task outlives the server, also with clients that are stuck."""
    before = asyncio.all_tasks()
    async with make_server() as server:
        stuck = await server.enter("stuck")
        stuck.transport.pause_reading()
        async with httpx.AsyncClient() as http:
            assert (await http.get(f"{server.url}/api/ready")).status_code == 200
    stuck.transport.abort()
    await asyncio.wait_for(stuck.wait_closed(), 5)
    await wire.eventually(lambda: asyncio.all_tasks() == before)


async def test_a_fault_in_the_sessions_costs_one_connection(server, wire):
    """An exception for one caller's message leaves everyone else connected."""
    alice, bob = await server.enter("alice"), await server.enter("bob")

    def broken(sender, message, network):
        raise RuntimeError("a bug")

    server.sessions.deliver = broken
    server_loop_errors = []
    asyncio.get_running_loop().set_exception_handler(
        lambda _loop, context: server_loop_errors.append(context)
    )
    await wire.say(alice, {"type": "message", "subtype": "call:init", "to": SERVER})
    await asyncio.wait_for(alice.wait_closed(), 5)
    assert [str(context["exception"]) for context in server_loop_errors] == ["a bug"]
    await wire.say(bob, {"type": "join", "room": "den"})
    while (await wire.hear(bob))["type"] != "join:ok":
        pass


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A self-signed certificate for localhost."""
    folder = tmp_path_factory.mktemp("tls")
    cert, key = folder / "cert.pem", folder / "key.pem"
    subprocess.run(
        [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-subj",
            "/CN=localhost",
            "-addext",
            "subjectAltName=IP:127.0.0.1",
            "-days",
            "2",
            "-keyout",
            key,
            "-out",
            cert,
        ],
        check=True,
        capture_output=True,
    )
    return cert, key


async def test_tls_on_the_same_port(make_server, wire, certificate):
    """HTTPS and WSS; limits and closing hold there too."""
    cert, key = certificate
    trust = ssl.create_default_context(cafile=cert)
    async with make_server({"tls": {"cert": cert, "key": key}}) as server:
        url = f"https://127.0.0.1:{server.port}"
        async with httpx.AsyncClient(verify=trust) as http:
            assert (await http.get(f"{url}/api/health")).status_code == 200
            config = (await http.get(f"{url}/api/config")).json()
        assert config["http"] == {"host": "127.0.0.1", "scheme": "https", "tls": True}
        async with websockets.connect(
            f"wss://127.0.0.1:{server.port}/ws",
            ssl=trust,
            origin=Origin(f"https://127.0.0.1:{server.port}"),
        ) as client:
            await wire.say(client, {"type": "auth", "user": "alice"})
            assert (await wire.hear(client))["type"] == "welcome"
            await wire.hear(client)
            await wire.say(client, "x" * 200_000)
            assert (await wire.hear(client))["status"] == 413
            await asyncio.wait_for(client.wait_closed(), 5)
            assert client.close_code == 1009
        await wire.eventually(lambda: server.hub.sessions == 0)
