"""One HTTP connection: bodies, heads, pipelines, names, proxies, and who does not read."""

import asyncio
import contextlib
import json
import logging
import os

import pytest

from icey.config.model import Settings
from icey.refusals import Refusals
from icey.server.bodies import BodyLimit
from icey.server.listener import HttpServer, bind

HOST = b"Host: 127.0.0.1\r\n"


async def ask(port, request, *, within_s=5.0):
    """Send bytes, and read until the server closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    try:
        return await asyncio.wait_for(reader.read(), within_s)
    finally:
        writer.close()


async def refused(server):
    answer = await ask(
        server.port, b"GET /api/status HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n"
    )
    return json.loads(answer.partition(b"\r\n\r\n")[2])["refused"]


@pytest.mark.parametrize("method", [b"GET", b"POST"])
@pytest.mark.parametrize("framing", [b"Transfer-Encoding: chunked", b"Content-Length: 9999999"])
async def test_a_body_is_not_read(server, method, framing):
    """What announces a body is answered at once and closed, though it never ends."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(method + b" /api/nothing HTTP/1.1\r\n" + HOST + framing + b"\r\n\r\n")
    with contextlib.suppress(ConnectionError):
        writer.write(b"1\r\nx\r\n" * 10_000)
    answer = await asyncio.wait_for(reader.read(), 5)
    assert answer.startswith(b"HTTP/1.1 404" if method == b"GET" else b"HTTP/1.1 405")
    assert b"\r\nconnection: close\r\n" in answer.lower()
    writer.close()
    assert await refused(server) == {"bodies": 1}


async def test_nobody_is_told_to_send_a_body(server):
    """`Expect: 100-continue` gets the final answer, not 100."""
    head = b"GET /api/health HTTP/1.1\r\n" + HOST + b"Content-Length: 5\r\n"
    answer = await ask(server.port, head + b"Expect: 100-continue\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200")


async def test_an_empty_body_is_none(server):
    """`Content-Length: 0` does not close the connection."""
    one = b"GET /api/health HTTP/1.1\r\n" + HOST + b"Content-Length: 0\r\n\r\n"
    last = b"GET /api/health HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n"
    assert (await ask(server.port, one + last)).count(b"HTTP/1.1 200") == 2


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"a: b\r\n" * 200, b"431"),
        (b"a: " + b"b" * 20_000 + b"\r\n", b"431"),
        (b"a\x00b\r\n", b"400"),
        (HOST, b"400"),  # a second one
    ],
)
async def test_heads_that_are_refused(server, head, status):
    """Too many headers, too long ones and broken ones are told so, and the connection closed."""
    answer = await ask(server.port, b"GET /api/health HTTP/1.1\r\n" + HOST + head + b"\r\n")
    assert answer.startswith(b"HTTP/1.1 " + status)
    assert b"X-Content-Type-Options: nosniff" in answer


async def test_a_pipeline_is_answered_in_order(server):
    """Many requests at once are all answered, and the connection is read only with room."""
    names = [b"%d" % number for number in range(300)]
    heads = [b"GET /api/" + name + b" HTTP/1.1\r\n" + HOST + b"\r\n" for name in names]
    last = b"GET /api/health HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n"
    answer = await ask(server.port, b"".join(heads) + last, within_s=20)
    assert answer.count(b"HTTP/1.1 404") == 300
    assert answer.rpartition(b"HTTP/1.1 ")[2].startswith(b"200")


async def test_a_foreign_name_is_refused(make_server):
    """A name that is not the server's gets 421 with what to set, /api/health an answer."""
    async with make_server({"http": {"port": 0, "hosts": ["cam.example.org"]}}) as server:

        async def get(path, host):
            head = f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
            return await ask(server.port, head.encode())

        for path in ("/", "/api/config", "/api/status", "/metrics", "/ws", "/artifacts/x.mp4"):
            answer = await get(path, "evil.example")
            assert answer.startswith(b"HTTP/1.1 421 "), path
            assert b"http.hosts" in answer
        assert (await get("/api/health", "evil.example")).startswith(b"HTTP/1.1 200")
        assert (await get("/api/config", "cam.example.org:4500")).startswith(b"HTTP/1.1 200")
        upgrade = (
            "GET /ws HTTP/1.1\r\nHost: evil.example\r\nOrigin: http://evil.example\r\n"
            "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: a2tra2tra2tra2tra2traw==\r\n\r\n"
        )
        assert (await ask(server.port, upgrade.encode())).startswith(b"HTTP/1.1 421 ")
        assert (await refused(server))["hosts"] == 7


UPGRADE = (
    "GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: a2tra2tra2tra2tra2traw==\r\n{}\r\n"
)


async def test_websockets_of_one_address(make_server):
    """An address has so many WebSockets; behind a trusted proxy that is each client's own."""
    settings = {
        "http": {"port": 0, "trustedProxies": ["127.0.0.1"]},
        "limits": {"socketsPerAddress": 1},
    }
    async with make_server(settings) as server, contextlib.AsyncExitStack() as opened:

        async def upgrade(client):
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            opened.callback(writer.close)
            writer.write(UPGRADE.format(f"X-Forwarded-For: {client}\r\n").encode())
            return (await asyncio.wait_for(reader.readline(), 5)).split()[1]

        assert await upgrade("192.0.2.1") == b"101"
        assert await upgrade("192.0.2.1") == b"429"
        assert await upgrade("192.0.2.2") == b"101"
        assert await upgrade("2001:db8::1") == b"101"
        assert await upgrade("2001:db8::2") == b"429"  # of the same /64
        assert await refused(server) == {"socketsPerAddress": 2}


async def test_an_untrusted_proxy_is_told_once(server, caplog):
    """A proxy on this machine that is not trusted is named once, with what to set."""
    caplog.set_level(logging.WARNING)
    head = b"GET /api/health HTTP/1.1\r\n" + HOST
    for _ in range(3):
        await ask(server.port, head + b"X-Forwarded-For: 192.0.2.1\r\nConnection: close\r\n\r\n")
    told = [r.getMessage() for r in caplog.records if "http.trustedProxies" in r.getMessage()]
    assert len(told) == 1


async def test_the_scheme_of_a_trusted_proxy(make_server):
    """A trusted proxy says by which scheme a request came."""
    for trusted, scheme in ((["127.0.0.1"], "https"), ([], "http")):
        async with make_server({"http": {"port": 0, "trustedProxies": trusted}}) as server:
            head = b"GET /api/config HTTP/1.1\r\n" + HOST + b"X-Forwarded-Proto: https\r\n"
            answer = await ask(server.port, head + b"Connection: close\r\n\r\n")
            assert json.loads(answer.partition(b"\r\n\r\n")[2])["http"]["scheme"] == scheme


async def test_who_reads_nothing_is_cut(make_server, monkeypatch, tmp_path):
    """A client that takes nothing of a file is cut, and the file no longer read for it."""
    monkeypatch.setattr("icey.server.connection.STALL_S", 1.0)
    (tmp_path / "large.jpg").write_bytes(os.urandom(16 << 20))
    async with make_server({"media": {"recordDir": tmp_path}}) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=1024)
        writer.write(b"GET /artifacts/large.jpg HTTP/1.1\r\n" + HOST + b"\r\n")
        async with asyncio.timeout(10):
            while "stalledResponses" not in await refused(server):
                await asyncio.sleep(0.1)
        received = 0
        with contextlib.suppress(ConnectionResetError):
            while piece := await asyncio.wait_for(reader.read(1 << 20), 5):
                received += len(piece)
        assert received < 16 << 20
        writer.close()


async def test_a_slow_reader_gets_all(make_server, monkeypatch, tmp_path):
    """A client that reads slowly, but reads, has the whole file in the end."""
    monkeypatch.setattr("icey.server.connection.STALL_S", 1.0)
    (tmp_path / "large.jpg").write_bytes(bytes(12 << 20))
    async with make_server({"media": {"recordDir": tmp_path}}) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=1 << 16)
        head = b"GET /artifacts/large.jpg HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n"
        writer.write(head)
        received, loop = 0, asyncio.get_running_loop()
        end = loop.time() + 2.5
        while piece := await asyncio.wait_for(reader.read(1 << 16), 5):
            received += len(piece)
            if loop.time() < end:
                await asyncio.sleep(0.05)
        assert received > 12 << 20
        writer.close()


# Bodies that a route reads


@contextlib.asynccontextmanager
async def reading_server(limit):
    """A server with one route that reads a body."""

    async def app(scope, receive, send):
        body, more = b"", True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body, more = body + message["body"], message["more_body"]
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"%d" % len(body)})

    refusals, listeners = Refusals(), bind("127.0.0.1", 0)
    server = HttpServer(app, asyncio.Protocol, Settings(), refusals, {"/whip": limit})
    serving = asyncio.create_task(server.serve(sockets=listeners))
    try:
        await asyncio.wait_for(server.listening.wait(), 5)
        yield listeners[0].getsockname()[1], refusals
    finally:
        server.stop()
        await asyncio.wait_for(serving, 5)


LIMIT = BodyLimit(frozenset({"POST"}), size=20_000, seconds=0.5)
POST = b"POST /whip HTTP/1.1\r\n" + HOST


async def test_a_route_reads_its_body():
    """A body within the bounds arrives whole, and the connection goes on."""
    async with reading_server(LIMIT) as (port, refusals):
        plain = POST + b"Content-Length: 9000\r\n\r\n" + b"x" * 9000
        chunked = POST + b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
        answer = await ask(port, plain + chunked + b"a\r\n0123456789\r\n" * 50 + b"0\r\n\r\n")
    assert answer.count(b"HTTP/1.1 200") == 2
    assert b"9000" in answer
    assert b"500" in answer
    assert refusals.counts == {}


async def test_a_body_has_bounds():
    """One that is too large, or of too many chunks, gets 413; one that never ends is cut."""
    async with reading_server(LIMIT) as (port, refusals):
        head = POST + b"Transfer-Encoding: chunked\r\n\r\n"
        assert (await ask(port, head + b"1\r\nx\r\n" * 19_000)).startswith(b"HTTP/1.1 413")
        with contextlib.suppress(ConnectionResetError):
            assert await ask(port, head + b"1\r\nx\r\n") == b""
    assert refusals.counts == {"bodies": 1, "slowRequests": 1}
