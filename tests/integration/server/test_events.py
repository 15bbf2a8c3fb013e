"""Server-Sent Events: readers, order, and readers that are too slow."""

import asyncio
import contextlib
import json
import socket
from typing import Any

import httpx
import pytest

from icey.server.events import QUEUE_BYTES, RECENT, EventFeed

TOKEN = "s3cret-token"
DATA = {"schema": "icey.vision/1", "detector": "motion", "note": "zwei\nZeilen – ü"}


class Reader:
    """A client that reads a stream of events."""

    def __init__(self, answer):
        self.answer = answer
        self._lines = answer.aiter_lines()

    async def event(self, within_s=5.0):
        """The next event as its fields; comments are passed over."""
        fields = {}
        async with asyncio.timeout(within_s):
            async for line in self._lines:
                if line.startswith(":"):
                    continue
                if not line and fields:
                    return fields
                if line:
                    name, _, value = line.partition(": ")
                    fields[name] = value
        return None


@contextlib.asynccontextmanager
async def reading(url, **options):
    async with (
        httpx.AsyncClient(trust_env=False, timeout=10) as client,
        client.stream("GET", f"{url}/api/events", **options) as answer,
    ):
        yield Reader(answer)


def readers_of(server):
    return server.sessions.publish.__self__.status()["events"]


async def test_event_reaches_every_reader(server):
    """Each reader gets an event with its kind, a rising number, and its data on one line."""
    async with reading(server.url) as first, reading(server.url) as second:
        assert first.answer.headers["content-type"].startswith("text/event-stream")
        assert first.answer.headers["cache-control"] == "no-store"
        server.sessions.publish("icey:vision", DATA)
        server.sessions.publish("icey:speech", {"active": True})
        for reader in (first, second):
            vision, speech = await reader.event(), await reader.event()
            assert vision["event"] == "icey:vision"
            assert json.loads(vision["data"]) == DATA
            assert speech["event"] == "icey:speech"
            assert int(speech["id"]) == int(vision["id"]) + 1
        assert readers_of(server) == {"readers": 2, "published": 2, "slowReaders": 0}


@pytest.mark.parametrize(
    "options",
    [{}, {"headers": {"Authorization": "Bearer wrong"}}, {"params": {"token": "wrong"}}],
)
async def test_token_is_asked_for(make_server, options):
    """Without the token there is 401."""
    settings = {"auth": {"token": TOKEN}}
    async with make_server(settings) as server, reading(server.url, **options) as reader:
        assert reader.answer.status_code == 401


@pytest.mark.parametrize(
    "options",
    [{"headers": {"Authorization": f"Bearer {TOKEN}"}}, {"params": {"token": TOKEN}}],
)
async def test_token_opens(make_server, options):
    """A token in the URL, where alone an EventSource can put it, opens the stream."""
    settings = {"auth": {"token": TOKEN}}
    async with make_server(settings) as server, reading(server.url, **options) as reader:
        server.sessions.publish("icey:vision", DATA)
        assert (await reader.event())["event"] == "icey:vision"


async def test_links_of_artifacts_open_without_the_token(make_server, tmp_path):
    """A link in an event opens its file without the token."""
    (tmp_path / "snapshots").mkdir()
    (tmp_path / "snapshots" / "a.jpg").write_bytes(b"picture")
    settings = {"auth": {"token": TOKEN}, "media": {"recordDir": tmp_path}}
    async with make_server(settings) as server, httpx.AsyncClient(trust_env=False) as client:
        link = server.sessions.sign("/artifacts/snapshots/a.jpg")
        assert (await client.get(f"{server.url}{link}")).content == b"picture"
        assert (await client.get(f"{server.url}{link.partition('?')[0]}")).status_code == 401


async def test_reader_that_comes_back(server):
    """A reader that sends its last id gets the events that it missed, once and in order."""
    for number in range(3):
        server.sessions.publish("icey:vision", {"number": number})
    async with reading(server.url, headers={"Last-Event-ID": "0"}) as reader:
        missed = [await reader.event() for _ in range(3)]
    assert [json.loads(event["data"])["number"] for event in missed] == [0, 1, 2]
    async with reading(server.url, headers={"Last-Event-ID": missed[1]["id"]}) as reader:
        assert json.loads((await reader.event())["data"]) == {"number": 2}
        server.sessions.publish("icey:vision", {"number": 3})
        assert json.loads((await reader.event())["data"]) == {"number": 3}


@pytest.mark.parametrize("seen", ["", "x", "-1", "1" * 5000, "²"])
async def test_nonsense_about_what_was_seen(server, seen):
    """A reader with a senseless last id gets the events to come."""
    async with reading(server.url, headers={"Last-Event-ID": seen.encode()}) as reader:
        server.sessions.publish("icey:vision", DATA)
        assert (await reader.event())["event"] == "icey:vision"


async def test_missed_events_are_bounded():
    """Only the newest events are kept."""
    feed = EventFeed(clock=lambda: 1.0)
    for number in range(RECENT + 50):
        feed.publish("icey:vision", {"number": number})
    assert [number for number, _ in feed._recent] == list(range(1050, 1050 + RECENT))


async def test_slow_reader_is_cut_off(server, wire):
    """A reader that does not read is cut off and counted; others get every event."""
    stuck = socket.create_connection(("127.0.0.1", server.port))
    try:
        stuck.sendall(b"GET /api/events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        await wire.eventually(lambda: readers_of(server)["readers"] == 1)
        async with reading(server.url) as reader:
            await wire.eventually(lambda: readers_of(server)["readers"] == 2)
            sent = 0
            padding = "x" * 50_000
            while readers_of(server)["slowReaders"] == 0:
                server.sessions.publish("icey:vision", {"number": sent, "padding": padding})
                assert json.loads((await reader.event())["data"])["number"] == sent
                sent += 1
                assert sent < 1000, "what waits for a reader is not bounded"
            assert sent * 50_000 > QUEUE_BYTES
            assert readers_of(server)["readers"] == 1
            await asyncio.to_thread(_read_to_the_end, stuck)
    finally:
        stuck.close()


def _read_to_the_end(connection):
    """The server does not wait for the reader: it resets, or has closed, the connection."""
    connection.settimeout(5)
    with contextlib.suppress(ConnectionResetError):
        while connection.recv(65536):
            pass


async def test_reader_that_leaves(server, wire):
    """A reader that disconnects is no longer counted."""
    async with reading(server.url):
        await wire.eventually(lambda: readers_of(server)["readers"] == 1)
    await wire.eventually(lambda: readers_of(server)["readers"] == 0)
    server.sessions.publish("icey:vision", DATA)


@pytest.mark.parametrize(
    ("limits", "status", "error"),
    [
        ({"eventReaders": 2}, 503, "too_many_connections"),
        ({"eventReadersPerAddress": 2}, 429, "too_many_requests"),
    ],
)
async def test_too_many_readers(make_server, limits, status, error):
    """One reader too many gets 503, one too many of an address 429; both are counted."""
    async with make_server({"limits": limits}) as server, contextlib.AsyncExitStack() as stack:
        for _ in range(2):
            await stack.enter_async_context(reading(server.url))
        async with reading(server.url) as reader:
            assert reader.answer.status_code == status
            await reader.answer.aread()
            assert reader.answer.json() == {"status": "error", "error": error}
        async with httpx.AsyncClient(trust_env=False) as client:
            refused = (await client.get(f"{server.url}/api/status")).json()["refused"]
        assert refused == dict.fromkeys(limits, 1)


async def test_head(server):
    """HEAD has the headers, and opens no stream."""
    async with httpx.AsyncClient(trust_env=False) as client:
        answer = await client.head(f"{server.url}/api/events")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert readers_of(server)["readers"] == 0


async def test_end_of_the_server(make_server):
    """When the server stops, waiting events are sent and the stream ends properly."""
    async with make_server() as server, reading(server.url) as reader:
        server.sessions.publish("icey:vision", DATA)
        server.stop.set()
        assert (await reader.event())["event"] == "icey:vision"
        assert await reader.event() is None


async def test_events_for_the_webhook():
    """The webhook gets each event with number and kind, as JSON."""

    class Webhook:
        def post(self, number, body):
            self.taken = number, body

        def status(self):
            return {"delivered": 7}

    webhook: Any = Webhook()
    feed = EventFeed(webhook, clock=lambda: 2.0)
    feed.publish("icey:vision", DATA)
    number, body = webhook.taken
    assert feed.status()["webhook"] == {"delivered": 7}
    assert number == 2000
    assert json.loads(body) == {"id": 2000, "type": "icey:vision", "data": DATA}


async def test_what_is_no_json_is_refused():
    """Data with a NaN is refused, since no other program could read it."""
    with pytest.raises(ValueError, match="JSON"):
        EventFeed().publish("icey:vision", {"score": float("nan")})
