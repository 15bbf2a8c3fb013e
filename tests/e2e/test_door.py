"""Floods of connections and requests against a whole icey-server, by another process.

The attacker comes from 127.0.0.2, so that it is another address than the honest client's.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from contextlib import ExitStack

import httpx
import pytest

from e2e.certificate import write_certificate
from e2e.http_attacker import attacking
from e2e.server_process import running_server
from e2e.waiting import until

ATTACK_S = 1.2
PER_ADDRESS = 256
ANSWER_S = 1.0
MEMORY_BYTES = 64 * 2**20
"""What a flood may cost. 6000 TLS connections had 1.9 GB; what is measured is 5 to 25 MB."""


async def answer_to(server, path):
    """The answer to a request on a connection of its own."""
    port = port_of(server)
    tls = ssl._create_unverified_context() if server.url.startswith("https") else None
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=tls)
    try:
        head = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
        writer.write(head.encode())
        return await reader.read()
    finally:
        writer.close()


async def longest_answer(server, seconds=ATTACK_S):
    """Ask as somebody honest; return the longest wait for an answer, s."""
    longest, end = 0.0, time.monotonic() + seconds
    while time.monotonic() < end:
        for path in ("/api/health", "/", "/api/status", "/api/config"):
            begin = time.monotonic()
            assert (await answer_to(server, path)).startswith(b"HTTP/1.1 200"), path
            longest = max(longest, time.monotonic() - begin)
        await asyncio.sleep(0.02)
    return longest


def port_of(server):
    return int(server.url.rpartition(":")[2])


async def flood(server, kind, connections):
    """Attack; hold what every attack must hold."""
    await longest_answer(server, 0.1)
    before = server.usage()
    with ExitStack() as attack:
        await asyncio.to_thread(attack.enter_context, attacking(kind, port_of(server), connections))
        assert await longest_answer(server) < ANSWER_S, kind
        height = server.usage()
    assert height.memory - before.memory < MEMORY_BYTES, kind
    assert height.descriptors <= before.descriptors + PER_ADDRESS + 100, kind
    await until(
        lambda: server.usage().descriptors <= before.descriptors + 16,
        f"the descriptors are free again after {kind}",
    )
    assert server.usage().memory - before.memory < MEMORY_BYTES, kind


FLOODS = {
    "chunks": 8,
    "silent": 1000,
    "half": 600,
    "pipeline": 64,
    "headers": 64,
    "sockets": 150,
    "readers": 100,
}


@pytest.mark.alone
async def test_floods_hurt_nobody_else(tmp_path):
    """During each flood of one address all others are answered within 1 s, and it costs little."""
    settings = {"limits": {"connectionsPerAddress": PER_ADDRESS, "socketsPerAddress": 50}}
    async with running_server(tmp_path, "--source", "demo:", settings=settings) as server:
        for kind, connections in FLOODS.items():
            await flood(server, kind, connections)
        refused = (await server.get("/api/status"))["refused"]
        assert {"bodies", "socketsPerAddress", "eventReadersPerAddress"} <= set(refused)
        assert "Traceback" not in server.output
        assert server.output.count("WARN") < 10


@pytest.mark.alone
async def test_a_flood_of_tls_costs_no_memory(tmp_path):
    """1000 silent connections are bounded before any TLS, and others still connect."""
    settings = {
        "tls": write_certificate(tmp_path),
        "limits": {"connectionsPerAddress": PER_ADDRESS},
    }
    async with running_server(tmp_path, "--source", "demo:", settings=settings) as server:
        await flood(server, "silent", 1000)


@pytest.mark.alone
async def test_health_of_the_same_address(tmp_path):
    """An address that has all its connections in use is still told that the server lives."""
    settings = {"limits": {"connectionsPerAddress": 20, "socketsPerAddress": 20}}
    async with running_server(tmp_path, "--source", "demo:", settings=settings) as server:
        with attacking("sockets", port_of(server), 20, "127.0.0.1"):
            await until(
                lambda: server.usage().descriptors > 30, "the WebSockets are open", deadline_s=5
            )
            async with httpx.AsyncClient(trust_env=False) as client:
                for _ in range(5):
                    answer = await client.get(f"{server.url}/api/health", timeout=5)
                    assert answer.status_code == 200
                page = await client.get(server.url, timeout=5)
                assert page.status_code == 503
                assert page.json()["error"] == "too_many_connections"


@pytest.mark.alone
async def test_guessing_is_slow(tmp_path):
    """After some wrong tokens an address gets 429, which the log says once; others go on."""
    token = "0123456789abcdef"
    settings = {"auth": {"token": token}}
    async with running_server(tmp_path, "--source", "demo:", settings=settings) as server:
        guesser = httpx.AsyncHTTPTransport(local_address="127.0.0.2")
        async with httpx.AsyncClient(transport=guesser, base_url=server.url) as client:
            codes = [
                (await client.get("/api/status", headers={"X-Icey-Token": f"{n:016}"})).status_code
                for n in range(60)
            ]
        assert set(codes[:20]) == {401}
        assert codes.count(429) >= 35
        status = await server.get(f"/api/status?token={token}")
        assert status["refused"]["wrongTokens"] >= 20
        assert server.output.count("a wrong access token") == 1
