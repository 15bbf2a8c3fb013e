"""The signalling over real sockets: the specification as clients see it."""

import asyncio
import contextlib
import json
import socket

import pytest
import websockets
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

SERVER = "icey|server"


async def refusal(client):
    """The error frame and the close code of a session that the server ends."""
    status = None
    with contextlib.suppress(websockets.ConnectionClosedError):
        async for text in client:
            frame = json.loads(text)
            status = frame["status"] if frame["type"] == "error" else None
    await asyncio.wait_for(client.wait_closed(), 5)
    return status, client.close_code


# The upgrade


@pytest.mark.parametrize("path", ["/", "/ws", "/ws?x=1"])
async def test_upgrade_on_both_paths(server, wire, path):
    """A stock client uses the bare origin, a proxy usually /ws."""
    async with server.connect(path) as client:
        await wire.say(client, {"type": "auth", "user": "alice"})
        assert (await wire.hear(client))["type"] == "welcome"
        assert client.subprotocol is None
        assert client.protocol.extensions == []


@pytest.mark.parametrize("path", ["/api/health", "/wsx", "/index.html"])
async def test_no_upgrade_elsewhere(server, path):
    """Other paths are 404, also with an upgrade."""
    with pytest.raises(websockets.InvalidStatus) as refused:
        await server.connect(path)
    assert refused.value.response.status_code == 404


@pytest.mark.parametrize(
    "origin",
    ["http://evil.example", "null", "http://127.0.0.1", "http://127.0.0.1:1", "file://", "x"],
)
async def test_foreign_origins_are_refused(server, origin):
    """A page from elsewhere gets 403."""
    with pytest.raises(websockets.InvalidStatus) as refused:
        await server.connect(origin=origin)
    assert refused.value.response.status_code == 403
    assert server.hub.sessions == 0


async def test_own_and_listed_origins_are_allowed(make_server, wire):
    """The page of this server, behind a proxy with TLS too, and those that the operator lists."""
    async with make_server({"auth": {"allowedOrigins": ["https://friend.example"]}}) as server:
        own = f"127.0.0.1:{server.port}"
        for origin in (f"http://{own}", f"https://{own}", "https://friend.example", None):
            async with server.connect(origin=origin) as client:
                await wire.say(client, {"type": "auth", "user": "alice"})
                assert (await wire.hear(client))["type"] == "welcome"


async def test_full_house(make_server, server, monkeypatch):
    """Above the limit of sockets an upgrade gets 503."""
    object.__setattr__(server.hub, "limits", type(server.hub.limits)(sockets=1))
    async with server.connect():
        with pytest.raises(websockets.InvalidStatus) as refused:
            await server.connect()
    assert refused.value.response.status_code == 503


# Authentication


@pytest.mark.parametrize(
    ("first", "status"),
    [
        ({"type": "auth"}, 401),
        ({"type": "auth", "user": ""}, 401),
        ({"type": "message"}, 401),
        ("nonsense", 400),
    ],
)
async def test_anything_but_auth_closes(server, wire, first, status):
    """The reason is readable before the close."""
    async with server.connect() as client:
        await wire.say(client, first)
        assert await refusal(client) == (status, 1008)


async def test_wrong_and_right_token(make_server, wire):
    """The token travels in the first frame and nowhere else."""
    async with make_server({"auth": {"token": "s3cret"}}) as server:
        async with server.connect("/?token=s3cret") as client:
            await wire.say(client, {"type": "auth", "user": "alice"})
            assert await refusal(client) == (401, 1008)
        await (await server.enter("alice", token="s3cret")).close()


async def test_silence_is_408(server, monkeypatch):
    """A client that does not authenticate in time gets 408 and the close."""
    object.__setattr__(server.hub, "limits", type(server.hub.limits)(auth_timeout_s=0.1))
    async with server.connect() as client:
        assert await refusal(client) == (408, 1008)


async def test_close_ends_politely(server, wire):
    """`close` is answered with a close of 1000."""
    client = await server.enter("alice")
    await wire.say(client, {"type": "close"})
    assert await refusal(client) == (None, 1000)
    await wire.eventually(lambda: server.hub.sessions == 0)


# Presence, rooms, routing


async def test_a_visit(server, wire):
    """Entry, probe, room, message, exit: two clients see what the specification says."""
    alice = await server.enter("alice", data={"peerType": "browser"})
    bob = await server.enter("bob")
    assert (await wire.hear(alice))["from"] == bob.address
    await wire.say(bob, {"type": "presence", "probe": True, "data": {"rooms": []}})
    probe = await wire.hear(alice)
    assert (probe["from"], probe["probe"], probe["data"]["online"]) == (bob.address, True, True)
    answer = await wire.hear(bob)
    assert (answer["from"], answer["to"]) == (SERVER, bob.address)
    await wire.say(alice, {"type": "presence", "to": bob.peer_id, "data": {"user": "eve"}})
    assert (await wire.hear(bob))["data"]["user"] == "alice"
    for client in (alice, bob):
        await wire.say(client, {"type": "join", "room": "den"})
        assert await wire.hear(client) == {"type": "join:ok", "room": "den"}
    await wire.say(alice, {"type": "message", "to": "den", "from": SERVER, "body": "hi"})
    assert await wire.hear(bob) == {
        "type": "message",
        "to": "den",
        "from": alice.address,
        "body": "hi",
    }
    await wire.say(bob, {"type": "leave", "room": "den"})
    assert await wire.hear(bob) == {"type": "leave:ok", "room": "den"}
    await bob.close()
    gone = await wire.hear(alice)
    assert (gone["from"], gone["data"]["online"]) == (bob.address, False)
    await alice.close()


async def test_a_call_reaches_the_sessions(server, wire):
    """Init goes in, accept comes out without an id, and a closed socket ends the call."""
    alice = await server.enter("alice")
    await wire.say(alice, {"type": "message", "subtype": "call:init", "to": SERVER, "data": {}})
    assert await wire.hear(alice) == {
        "type": "message",
        "subtype": "call:accept",
        "from": SERVER,
        "to": alice.address,
        "data": {},
    }
    ((sender, message),) = server.sessions.delivered
    assert (sender, message["subtype"]) == (alice.address, "call:init")
    alice.transport.abort()
    await wire.eventually(lambda: server.sessions.left == [alice.address])


# Limits


@pytest.mark.parametrize("size", [65537, 70_000, 3_000_000])
async def test_too_large(server, wire, size):
    """A message that is too large gets 413, then the close; the sender's call ends."""
    alice = await server.enter("alice")
    await wire.say(alice, "x" * size)
    assert await refusal(alice) == (413, 1009)
    await wire.eventually(lambda: server.sessions.left == [alice.address])


async def test_the_largest_message_passes(server, wire):
    """64 KiB are allowed, also in several fragments."""
    alice, bob = await server.enter("alice"), await server.enter("bob")
    await wire.hear(alice)
    frame = {"type": "message", "body": ""}
    frame["body"] = "x" * (65536 - len(json.dumps(frame)))
    text = json.dumps(frame)
    await wire.say(alice, text)
    assert len((await wire.hear(bob))["body"]) == len(frame["body"])
    await alice.send([text[i : i + 7000] for i in range(0, len(text), 7000)])
    assert len((await wire.hear(bob))["body"]) == len(frame["body"])


async def test_too_many_fragments(server):
    """Fragments without end are refused, though they weigh nothing."""
    alice = await server.enter("alice")
    with contextlib.suppress(websockets.ConnectionClosed):
        await alice.send(["{"] + [""] * 1000)
    assert await refusal(alice) == (None, 1008)


async def test_rate(server, wire):
    """A burst above the rate gets one 429; the excess is dropped, the session lives."""
    alice, bob = await server.enter("alice"), await server.enter("bob")
    await wire.hear(alice)
    for n in range(150):
        await wire.say(alice, {"type": "event", "n": n})
    assert (await wire.hear(alice))["status"] == 429
    await wire.eventually(lambda: server.hub.counters.over_rate > 0)
    # Two of the hundred went into `auth` and `join`.
    received = [await wire.hear(bob) for _ in range(98)]
    assert [frame["n"] for frame in received] == list(range(98))
    await wire.eventually(lambda: server.hub.counters.received == 154)
    assert server.hub.counters.over_rate >= 40
    assert server.hub.sessions == 2


async def test_broken_json(server, wire):
    """400 nine times; the tenth closes."""
    alice = await server.enter("alice")
    for _ in range(9):
        await wire.say(alice, "{")
        assert (await wire.hear(alice))["status"] == 400
    await wire.say(alice, "{")
    assert await refusal(alice) == (400, 1008)


@pytest.mark.parametrize(("payload", "code"), [(b"{}", 1003), (b"\xff\xfe", 1007)])
async def test_binary_and_broken_utf8(server, payload, code):
    """Text frames only, and these in UTF-8 (RFC 6455 §8.1)."""
    alice = await server.enter("alice")
    await alice.send(payload, text=code == 1007)
    assert (await refusal(alice))[1] == code


async def stuck_reader(server, wire, *friends):
    """A client that has entered and reads no more; its friends have seen it come."""
    stuck = socket.socket()
    stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    stuck.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(stuck, ("127.0.0.1", server.port))
    client = await websockets.connect(
        f"ws://127.0.0.1:{server.port}/", sock=stuck, max_queue=1, ping_interval=None
    )
    await wire.say(client, {"type": "auth", "user": "stuck"})
    welcome = await wire.hear(client)
    assert welcome["type"] == "welcome"
    address = f"stuck|{welcome['peer']['id']}"
    client.transport.pause_reading()
    for friend in friends:
        while (await wire.hear(friend))["data"]["user"] != "stuck":
            pass
    return client, address


async def test_a_reader_that_stops_is_dropped_and_nobody_waits(server, wire):
    """Once 1 MiB of the server's own is queued the socket is cut; others get all meanwhile."""
    alice, bob = await server.enter("alice"), await server.enter("bob")
    stuck, address = await stuck_reader(server, wire, alice, bob)
    event = {"type": "event", "name": "x", "body": "x" * 60_000}
    for n in range(60):
        server.gateway.send(address, event)
        await wire.say(alice, {"type": "event", "n": n})
        frame = await wire.hear(bob, within_s=2)
        if frame["type"] == "presence":
            break
        assert frame["n"] == n
        await asyncio.sleep(0)
    assert (frame["from"], frame["data"]["online"]) == (address, False)
    assert n * 60_000 >= 1024 * 1024 - 60_000
    assert server.gateway.slow_readers == 1
    assert server.hub.peers == 2
    stuck.transport.abort()


async def test_what_peers_send_does_not_cut_a_reader_that_stops(make_server, wire):
    """Of peers' messages a quarter of the queue waits; more are dropped, the server's own come."""
    lots = {"senderBytes": 0, "receiverBytes": 0}
    async with make_server({"limits": lots}) as server:
        alice, bob = await server.enter("alice"), await server.enter("bob")
        stuck, address = await stuck_reader(server, wire, alice, bob)
        for n in range(60):
            to = {} if n % 2 else {"to": address}
            await wire.say(alice, {"type": "event", "n": n, "body": "x" * 60_000, **to})
        broadcasts = [await wire.hear(bob) for _ in range(30)]
        assert [frame["n"] for frame in broadcasts] == list(range(1, 60, 2))
        server.gateway.send(address, {"type": "event", "name": "own"})
        assert min(server.gateway.dropped[rank] for rank in (1, 2)) >= 20
        assert server.gateway.slow_readers == 0
        assert server.hub.peers == 3
        stuck.transport.resume_reading()
        heard = []
        while not heard or heard[-1].get("name") != "own":
            heard.append(await wire.hear(stuck))
        assert sum("n" in frame for frame in heard) < 8, "the server's own overtakes what waits"


async def test_a_reader_that_takes_nothing_is_found(make_server, wire, monkeypatch):
    """A full socket that takes nothing from one ping to the next is cut, whatever it sends."""
    monkeypatch.setattr("icey.server.websocket.PING_INTERVAL_S", 0.3)
    async with make_server({"limits": {"senderBytes": 0, "receiverBytes": 0}}) as server:
        alice = await server.enter("alice")
        stuck, _ = await stuck_reader(server, wire, alice)
        for _ in range(20):
            await wire.say(alice, {"type": "event", "body": "x" * 60_000})
        async with asyncio.timeout(5):
            while server.hub.peers == 2:
                await wire.say(stuck, {"type": "join", "room": "stuck"})
                await asyncio.sleep(0.05)
        assert server.gateway.slow_readers == 1


async def test_what_others_send_comes_at_a_pace(server, wire):
    """One receiver is sent 32 KiB a second of its peers, after 64 KiB at once; none is cut."""
    alice, bob = await server.enter("alice"), await server.enter("bob")
    await wire.hear(alice)
    for n in range(2):
        await wire.say(alice, {"type": "event", "n": n, "body": "x" * 60_000})
    begun = asyncio.get_running_loop().time()
    assert (await wire.hear(bob))["n"] == 0
    assert asyncio.get_running_loop().time() - begun < 1
    await wire.say(bob, {"type": "join", "room": "den"})
    assert (await wire.hear(bob))["type"] == "join:ok"
    assert (await wire.hear(bob))["n"] == 1
    assert asyncio.get_running_loop().time() - begun > 1


async def test_a_lost_socket_is_not_a_goodbye(server, wire):
    """Sessions are told whether a socket was closed or broke."""
    alice, bob = await server.enter("alice"), await server.enter("bob")
    alice.transport.abort()
    await wire.eventually(lambda: server.sessions.left == [alice.address])
    await bob.close()
    await wire.eventually(lambda: server.sessions.left == [alice.address, bob.address])
    assert server.sessions.lost == [alice.address]


async def test_500_idle_peers_in_one_room(server, wire):
    """Each is shown to each, a message reaches all, and their leaving is seen."""
    clients = []
    for n in range(500):
        client = await server.connect(max_queue=None, ping_interval=None)
        await wire.say(client, {"type": "auth", "user": f"peer{n}", "rooms": ["hall"]})
        clients.append(client)
    await wire.eventually(lambda: server.hub.peers == 500, within_s=20)
    first, last = clients[0], clients[-1]
    seen = {(await wire.hear(first)).get("from") for _ in range(1 + 1 + 499)}
    assert len(seen) == 501  # the welcome has no sender
    snapshot = {(await wire.hear(last)).get("from") for _ in range(1 + 1 + 499)}
    assert len(snapshot) == 501
    before = server.hub.counters.delivered
    await wire.say(first, {"type": "message", "to": "hall", "body": "hello"})
    assert (await wire.hear(last))["body"] == "hello"
    assert server.hub.counters.delivered == before + 499
    assert server.gateway.slow_readers == 0
    for client in clients:
        client.transport.abort()
    await wire.eventually(lambda: server.hub.sessions == 0, within_s=20)


async def test_a_flood_of_tiny_frames_leaves_the_others_their_turn(server, wire):
    """Tens of thousands of pings in one go do not keep a second client waiting."""
    flood = await server.enter("flood")
    ping = bytes.fromhex("898000000000")
    flood.transport.write(ping * 60_000)
    bob = await asyncio.wait_for(server.enter("bob"), 5)
    started = asyncio.get_running_loop().time()
    await wire.say(bob, {"type": "join", "room": "den"})
    assert (await wire.hear(bob))["type"] == "join:ok"
    assert asyncio.get_running_loop().time() - started < 2
    flood.transport.abort()


async def test_a_silent_peer_is_found_dead(server, wire, monkeypatch):
    """Who answers no ping for two intervals is cut off."""
    monkeypatch.setattr("icey.server.websocket.PING_INTERVAL_S", 0.1)
    alive = await server.enter("alive")
    dead = await server.enter("dead")
    dead.transport.pause_reading()
    await wire.eventually(lambda: server.hub.peers == 1)
    assert server.sessions.left == [dead.address]
    await wire.say(alive, {"type": "join", "room": "den"})
    while (await wire.hear(alive)).get("type") != "join:ok":
        pass


async def test_a_stock_client(server, wire):
    """What symple-client 4.0.1 sends, field by field, does what it expects."""
    async with server.connect() as watcher, server.connect() as stock:
        await wire.say(watcher, {"type": "auth", "user": "w", "name": "", "token": ""})
        own = (await wire.hear(watcher))["peer"]
        assert (await wire.hear(watcher))["data"]["type"] == "server"
        await wire.say(
            stock,
            {"type": "auth", "user": "s", "name": "S", "token": "", "data": {"peerType": "demo"}},
        )
        welcome = await wire.hear(stock)
        assert (welcome["status"], welcome["peer"]["online"]) == (200, True)
        me = {**welcome["peer"], "rooms": [], "type": "demo"}
        address = f"s|{me['id']}"
        roster = {(await wire.hear(stock))["data"]["user"] for _ in range(2)}
        assert roster == {"icey", "w"}
        assert (await wire.hear(watcher))["from"] == address
        probe = {"type": "presence", "probe": True, "data": me, "id": "k3j2h1", "from": address}
        await wire.say(stock, probe)
        assert (await wire.hear(stock))["from"] == SERVER
        assert (await wire.hear(watcher))["probe"] is True
        # Its answer to a probe goes to the bare id.
        own["rooms"] = []
        await wire.say(
            watcher,
            {"type": "presence", "to": me["id"], "data": own, "id": "z", "from": f"w|{own['id']}"},
        )
        assert (await wire.hear(stock))["data"]["user"] == "w"
        await wire.say(
            stock,
            {
                "type": "message",
                "subtype": "call:init",
                "data": {},
                "id": "q",
                "to": SERVER,
                "from": address,
            },
        )
        accept = await wire.hear(stock)
        # It compares `from` with the address it called, and takes an `id` for a request's.
        assert (accept["subtype"], accept["from"], "id" in accept) == ("call:accept", SERVER, False)
        await stock.close()
        gone = await wire.hear(watcher)
        assert (gone["data"]["id"], gone["data"]["online"]) == (me["id"], False)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(chunks=st.lists(st.binary(max_size=200), max_size=5), upgraded=st.booleans())
async def test_raw_garbage(server, chunks, upgraded):
    """Whatever bytes arrive, before or after the upgrade, the server goes on serving."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    if upgraded:
        writer.write(
            b"GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        await reader.readuntil(b"\r\n\r\n")
    for chunk in chunks:
        writer.write(chunk)
    writer.write_eof()
    async with asyncio.timeout(5):
        await reader.read()
    writer.close()
    await (await server.enter("carol")).close()
