"""What the TURN server of a whole icey-server refuses, and counts."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
import pytest_asyncio

from e2e.server_process import running_server
from e2e.turn_client import (
    ALLOCATE,
    SUCCESS,
    TRANSPORT,
    UDP_TO_PEERS,
    TurnClient,
    attribute,
    message,
)
from e2e.waiting import until
from icey.turn.credentials import CredentialMint, sign

SECRET = "north"
SPOOFED = 100_000
MEMORY_NOISE = 4 * 2**20
HERE = "127.0.0.1"


@pytest_asyncio.fixture(loop_scope="session")
async def server(tmp_path):
    """A server as it comes, but for its secret."""
    settings = {"turn": {"secret": SECRET, "userQuota": 4, "maxAllocations": 8}}
    async with running_server(tmp_path, "--source", "demo:", settings=settings) as server:
        yield server


async def status(server):
    return (await server.get("/api/status"))["turn"]


async def where(server):
    return HERE, (await status(server))["port"]


def credential(ttl=600, suffix=""):
    made = CredentialMint(SECRET.encode(), ttl_seconds=ttl, suffix=suffix).mint(time.time())
    return made.username, made.password


def memory(server):
    """The bytes that the process has for itself; pages of libraries, which others share, vary."""
    lines = Path(f"/proc/{server.process.pid}/status").read_text().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith("RssAnon:")).split()[1])


async def counted(server, reason, least=1):
    """Wait until so many refusals of a kind are counted."""

    async def enough():
        return (await status(server))["refusals"][reason] >= least

    await until(enough, f"{least} refusals of {reason}")


FORBIDDEN = [
    "10.0.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1", "169.254.169.254", "0.0.0.0",
    "127.0.0.2", "224.0.0.1", "255.255.255.255", "198.18.0.1", "192.0.2.1",
]  # fmt: skip


async def test_peers_inside(server):
    """Peers in private, loopback, link-local and other special networks get 403."""
    with TurnClient(await where(server)) as client:
        assert client.allocate(*credential()).code == 0
        for number, ip in enumerate(FORBIDDEN):
            assert client.permit(ip, 80).code == 403, ip
            assert client.bind(ip, 80, 0x4000 + number).code == 403, ip
            client.send(ip, 80, b"x")
        for ip in ("::1", "::ffff:127.0.0.1", "fd00::1"):
            assert client.permit(ip, 80).code == 443, ip
    await counted(server, "peer_forbidden", 2 * len(FORBIDDEN))
    await counted(server, "family_mismatch", 3)
    await counted(server, "no_permission", 1)
    assert (await status(server))["toPeers"]["packets"] == 0


async def test_internet(server, tmp_path):
    """The internet is no peer until `turn.allowInternetRelay` says so."""
    stranger = "198.41.0.4"
    with TurnClient(await where(server)) as client:
        assert client.allocate(*credential()).code == 0
        assert client.permit(stranger, 80).code == 403
        assert client.bind(stranger, 80, 0x4000).code == 403
    await counted(server, "internet_forbidden", 2)
    folder = tmp_path / "open"
    folder.mkdir()
    settings = {"turn": {"secret": SECRET, "allowInternetRelay": True}}
    async with running_server(folder, "--source", "demo:", settings=settings) as other:
        with TurnClient((HERE, (await status(other))["port"])) as client:
            assert client.allocate(*credential()).code == 0
            assert client.permit(stranger, 80).code == 0


async def test_quota_by_address(tmp_path):
    """One address has `turn.addressQuota` allocations, by however many names."""
    settings = {"turn": {"secret": SECRET, "addressQuota": 3}}
    async with running_server(tmp_path, "--source", "demo:", settings=settings) as server:
        at = HERE, (await status(server))["port"]
        with ExitStack() as stack:
            clients = [stack.enter_context(TurnClient(at)) for _ in range(5)]
            codes = [client.allocate(*credential()).code for client in clients]
        assert codes == [0, 0, 0, 486, 486]
        await counted(server, "address_quota", 2)


@pytest.mark.skipif(not socket.has_ipv6, reason="this machine has no IPv6")
async def test_peers_inside_by_ipv6(tmp_path):
    """The same by IPv6, IPv4 in disguise included."""
    settings = {"http": {"host": "::1"}, "turn": {"secret": SECRET}}
    async with running_server(tmp_path, "--source", "demo:", settings=settings) as server:
        port = (await status(server))["port"]
        with TurnClient(("::1", port)) as client:
            assert client.allocate(*credential(), ipv6=True).code == 0
            for ip in ("::", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::127.0.0.1", "fe80::1",
                       "fd00::1", "ff02::1", "2002:7f00:1::", "64:ff9b::7f00:1",
                       "2001:0:1::1"):  # fmt: skip
                assert client.permit(ip, 80).code == 403, ip
                assert client.bind(ip, 80).code == 403, ip
            http = int(server.url.rpartition(":")[2])
            assert client.bind("::1", http).code == 403
        await counted(server, "peer_forbidden", 21)


async def test_own_ports(server):
    """This server's HTTP and TURN ports are no peers; its media are."""
    turn = await where(server)
    http = int(server.url.rpartition(":")[2])
    checks = (await server.get("/api/ready"))["checks"]
    detail = next(check for check in checks if check["name"] == "ports")["detail"]
    media = int(detail.partition(" (UDP, WebRTC)")[0].rpartition(" ")[2])
    with TurnClient(turn) as client:
        assert client.allocate(*credential()).code == 0
        for number, port in enumerate((http, turn[1], 22)):
            assert client.permit(HERE, port).code == 403, port
            assert client.bind(HERE, port, 0x4000 + number).code == 403, port
        assert client.permit(HERE, media).code == 0
        assert client.bind(HERE, media, 0x4010).code == 0
        before = (await status(server))["refusals"]["peer_forbidden"]
        # The permission is for an address; the port is looked at with each payload.
        client.send(HERE, http, b"GET / HTTP/1.0\r\n\r\n")
        await counted(server, "peer_forbidden", before + 1)
        assert (await status(server))["toPeers"]["packets"] == 0


async def test_forged_and_expired_credentials(server):
    """Names that this server did not sign, and signed ones whose time is over, get 401."""
    name, _ = credential()
    expired = str(int(time.time()) - 1)
    for username, password in [
        (name, "guessed"),
        (name, sign(b"another secret", name)),
        ("admin", sign(SECRET.encode(), "admin")),
        (f"{int(time.time()) + 10**9}:x", ""),
        ("", ""),
        ("9" * 400, sign(SECRET.encode(), "9" * 400)),
        (expired, sign(SECRET.encode(), expired)),
    ]:
        with TurnClient(await where(server)) as client:
            assert client.allocate(username, password).code in {400, 401}, username
    refusals = (await status(server))["refusals"]
    assert refusals["expired"] == 1
    assert refusals["forged"] >= 4
    assert (await status(server))["allocations"] == {"active": 0, "total": 0}


async def test_credential_that_expires(server):
    """An allocation whose credential expires cannot be refreshed, nor be made again."""
    with TurnClient(await where(server)) as client:
        username, password = credential(ttl=2)
        assert client.allocate(username, password).code == 0
        assert client.refresh().code == 0

        def over():
            return client.refresh().code == 401

        await until(over, "the credential has expired", every_s=0.2)
        with TurnClient(await where(server)) as other:
            assert other.allocate(username, password).code == 401
    await counted(server, "expired", 2)


async def test_replayed_nonce(server):
    """A nonce works for the client that it was made for, and for no other; nor does an invented."""
    with TurnClient(await where(server)) as honest, TurnClient(await where(server)) as thief:
        honest.challenge()
        thief.realm, thief.nonce = honest.realm, honest.nonce
        assert thief.allocate(*credential()).code == 438
        assert honest.allocate(*credential()).code == 0
        thief.nonce = b"invented"
        assert thief.allocate(*credential()).code == 438
        thief.nonce = thief.challenge().attributes[0x0015]
        assert thief.allocate(*credential()).code == 0
    await counted(server, "stale_nonce", 2)


async def test_quotas(server):
    """No user has more than `turn.userQuota` allocations, and all no more than are allowed."""
    with ExitStack() as stack:
        at = await where(server)
        first, second, third = (credential(suffix=name) for name in ("a", "b", "c"))

        def allocate(who):
            return stack.enter_context(TurnClient(at)).allocate(*who).code

        assert [allocate(first) for _ in range(5)] == [0, 0, 0, 0, 486]
        assert [allocate(second) for _ in range(4)] == [0, 0, 0, 0]
        assert allocate(third) == 508

        async def full():
            return (await status(server))["allocations"]["active"] == 8

        await until(full, "eight allocations live")
    refusals = (await status(server))["refusals"]
    assert refusals["user_quota"] == 1
    assert refusals["capacity"] >= 1


@pytest.mark.alone
async def test_spoofed_sources(server):
    """100,000 clients that ask once cost no memory: nothing is kept of them."""
    at = await where(server)
    asking = message(ALLOCATE, attribute(TRANSPORT, UDP_TO_PEERS))

    def flood(sources):
        for number in sources:
            source = f"127.{1 + (number >> 16)}.{number >> 8 & 255}.{1 + (number & 255) % 254}"
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
                one.bind((source, 0))
                one.sendto(asking, at)

    async def answered(count):
        async def enough():
            return (await status(server))["refusals"]["challenged"] >= count

        await until(enough, f"{count} challenges", deadline_s=30)

    await asyncio.to_thread(flood, range(5000))  # buffers that grow once
    await answered(4000)
    before, descriptors = memory(server), server.usage().descriptors
    await asyncio.to_thread(flood, range(5000, SPOOFED))
    await answered(SPOOFED * 0.9)
    more = memory(server) - before
    print(f"{SPOOFED} sources: {more} bytes more")  # noqa: T201
    assert more < MEMORY_NOISE
    assert server.usage().descriptors == descriptors
    assert (await status(server))["allocations"] == {"active": 0, "total": 0}
    assert (await server.get("/api/health"))["status"] == "ok"


def read_all(sock):
    """Read until nothing comes any more."""
    sock.settimeout(0.5)
    try:
        while True:
            sock.recv(65_536)
    except TimeoutError:
        sock.settimeout(5)


async def test_broken_datagrams(server):
    """Whatever is cut short, too long or no STUN at all is counted, and an honest client served."""
    with TurnClient(await where(server)) as client:
        whole = message(ALLOCATE, attribute(TRANSPORT, UDP_TO_PEERS))
        broken = [whole[:length] for length in range(1, len(whole))]
        broken += [whole + b"x", bytes(65_000), b"\x40\x00\xff\xff" + bytes(60_000)]
        broken += [whole[:2] + struct.pack("!H", n) + whole[4:] for n in (1, 3, 400, 65_535)]
        broken += [os.urandom(n) for n in (1, 20, 100, 1400, 9000) for _ in range(50)]
        for data in broken:
            client.socket.send(data)
            await asyncio.sleep(0)
        await asyncio.to_thread(read_all, client.socket)
        assert client.allocate(*credential()).code == 0
    await counted(server, "malformed", 50)


async def closes(client, data):
    """The server ends the connection on which this comes; it may reset it."""
    try:
        client.socket.sendall(data)
        while True:
            if not await asyncio.to_thread(client.socket.recv, 4096):
                return True
    except ConnectionError:
        return True
    except TimeoutError:
        return False


async def test_broken_streams(server):
    """A TCP connection that speaks no TURN is ended, and counted."""
    at = await where(server)
    for data in (
        b"GET /" + b"x" * 5000,
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"\xff" * 5000,
        b"\x00\x03\xff\xff" + bytes(66_000),
        b"\x40\x00\xff\xff" + bytes(66_000),
    ):
        with TurnClient(at, tcp=True) as client:
            assert await closes(client, data), data[:8]

    async def dropped():
        connections = (await status(server))["connections"]
        return connections["dropped"] >= 5 and connections["active"] == 0

    await until(dropped, "five connections are dropped")
    with TurnClient(at, tcp=True) as client:
        assert client.allocate(*credential()).code == 0


async def test_slow_stream(server):
    """A client that sends a byte at a time is served all the same, and delays nobody."""
    at = await where(server)
    with TurnClient(at, tcp=True) as slow, TurnClient(at, tcp=True) as quick:
        slow.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        whole = message(ALLOCATE, attribute(TRANSPORT, UDP_TO_PEERS))
        for at_ in range(len(whole) - 1):
            slow.socket.sendall(whole[at_ : at_ + 1])
            await asyncio.sleep(0.01)
        began = time.monotonic()
        assert quick.allocate(*credential()).code == 0
        assert time.monotonic() - began < 2
        slow.socket.sendall(whole[-1:])
        assert slow.hear().code == 401


async def test_client_that_does_not_read(server):
    """A client that asks on and on and reads no answer is dropped; its memory is bounded."""
    at = await where(server)
    before = memory(server)
    with TurnClient(at, tcp=True) as client:
        whole = message(ALLOCATE, attribute(TRANSPORT, UDP_TO_PEERS)) * 200

        def push():
            try:
                while True:
                    client.socket.sendall(whole)
            except OSError:  # it is full, or over
                return

        await asyncio.to_thread(push)

        async def dropped():
            return (await status(server))["connections"]["dropped"] >= 1

        await until(dropped, "the connection is dropped", deadline_s=20)
    assert memory(server) - before < MEMORY_NOISE


async def test_many_connections(server):
    """Connections of one address are limited; the excess is closed at once, and counted."""
    at = await where(server)
    with ExitStack() as stack:
        many = [stack.enter_context(TurnClient(at, tcp=True)) for _ in range(140)]

        async def refused():
            return (await status(server))["connections"]["refused"] >= 12

        await until(refused, "the excess is refused")
        assert (await status(server))["connections"]["active"] <= 128
        assert many[0].allocate(*credential()).code == 0

    async def gone():
        return (await status(server))["connections"]["active"] == 0

    await until(gone, "all are gone")
    with TurnClient(at, tcp=True) as client:
        assert client.allocate(*credential()).kind & SUCCESS
