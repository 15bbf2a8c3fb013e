"""The TURN server as clients see it that we did not write: coturn's, and aioice's."""

from __future__ import annotations

import asyncio
import re
import shutil
import socket
import ssl
import subprocess
import time

import aioice.turn
import pytest
import pytest_asyncio
from bench.ports import free_port

from e2e.certificate import write_certificate
from e2e.server_process import running_server
from e2e.waiting import until
from icey.turn.credentials import CredentialMint

SECRET = "north"
MESSAGES, BYTES = 20, 300


@pytest_asyncio.fixture(loop_scope="session")
async def server(tmp_path):
    """A server that relays to this machine, over UDP, TCP and TLS."""
    turn = {
        "secret": SECRET,
        "allowLocalRelay": True,
        "userQuota": 64,  # all of coturn's clients go by one name
        "tlsPort": free_port(),
    }
    settings = {"turn": turn, "tls": write_certificate(tmp_path)}
    async with running_server(tmp_path, "--source", "demo:", settings=settings) as server:
        yield server


async def status(server):
    return (await server.get("/api/status"))["turn"]


@pytest.fixture
def peer():
    """Coturn's peer: sends back what it gets, on two ports that follow each other."""
    program = shutil.which("turnutils_peer")
    if program is None:
        pytest.skip("coturn is not installed (see tests/packages.sh)")
    port = pair_of_free_ports()
    command = [program, "-L", "127.0.0.1", "-p", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            yield port
        finally:
            process.kill()


def pair_of_free_ports():
    """An even port, free with the next, as media and their RTCP have them."""
    while True:
        port = free_port() & ~1
        with (
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one,
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as two,
        ):
            try:
                one.bind(("127.0.0.1", port))
                two.bind(("127.0.0.1", port + 1))
            except OSError:
                continue
            return port


# Its channels have the numbers of RFC 5766, of which RFC 8656 §12 left a quarter: -s sends without.
# Over TLS it takes what came in one record for one message, and loses the rest: aioice does not.
WAYS = {
    "udp": ("-s",),
    "udp, to another client": ("-s", "-y", "-g"),
    "udp, ten clients": ("-s", "-c", "-m", "10"),
    "tcp": ("-t", "-s"),
}


@pytest.mark.parametrize("flags", WAYS.values(), ids=WAYS)
async def test_coturn(server, peer, flags):
    """Coturn's client allocates, sends, and gets every message back."""
    before = await status(server)
    credential = CredentialMint(SECRET.encode(), ttl_seconds=600, suffix="coturn").mint(time.time())
    process = await asyncio.create_subprocess_exec(
        "turnutils_uclient", *flags, "-u", credential.username, "-w", credential.password,
        "-e", "127.0.0.1", "-r", str(peer), "-n", str(MESSAGES), "-l", str(BYTES), "-z", "5",
        "-p", str(before["port"]), "127.0.0.1",
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    output, _ = await asyncio.wait_for(process.communicate(), 60)
    text = output.decode(errors="replace")
    totals = re.findall(r"tot_send_msgs=(\d+), tot_recv_msgs=(\d+)$", text, re.MULTILINE)
    assert totals, text
    sent, received = map(int, totals[-1])
    assert sent == received >= MESSAGES, text
    assert "Total lost packets 0 " in text
    after = await status(server)
    assert after["allocations"]["total"] > before["allocations"]["total"]
    assert after["toPeers"]["packets"] - before["toPeers"]["packets"] >= sent
    assert after["fromPeers"]["bytes"] - before["fromPeers"]["bytes"] >= received * BYTES


class Echo(asyncio.DatagramProtocol):
    """Sends everything back."""

    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, addr):
        self.transport.sendto(data, addr)


class Client(asyncio.DatagramProtocol):
    """Keeps what came."""

    def __init__(self):
        self.received = []

    def datagram_received(self, data, addr):
        self.received.append((data, addr))


@pytest.mark.parametrize("transport", ["udp", "tcp", "tls"])
async def test_aioice(server, transport):
    """Aioice's client binds channels, and echoes through them, whatever the length."""
    loop = asyncio.get_running_loop()
    echo, _ = await loop.create_datagram_endpoint(Echo, local_addr=("127.0.0.1", 0))
    at = echo.get_extra_info("sockname")
    turn = await status(server)
    credential = CredentialMint(SECRET.encode(), ttl_seconds=600).mint(time.time())
    context = None
    if transport == "tls":
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    relay, client = await aioice.turn.create_turn_endpoint(
        Client,
        ("127.0.0.1", turn["tlsPort"] if context else turn["port"]),
        credential.username,
        credential.password,
        ssl=context or False,
        transport="udp" if transport == "udp" else "tcp",
    )
    try:
        relayed = relay.get_extra_info("sockname")
        assert 49152 <= relayed[1] <= 65535
        sizes = [1, 2, 3, 4, 5, 100, 1199, 1200]
        for size in sizes:
            relay.sendto(bytes([size % 251]) * size, at)

            def is_back(size: int = size) -> bool:
                return bool(client.received) and len(client.received[-1][0]) == size

            await until(is_back, f"{size} bytes come back")
        assert all(address == at for _, address in client.received)
        assert [data for data, _ in client.received] == [bytes([n % 251]) * n for n in sizes]
    finally:
        relay.close()
        echo.close()

    async def freed():
        return (await status(server))["allocations"]["active"] == 0

    await until(freed, "aioice has freed its allocation")
    assert sum((await status(server))["refusals"].values()) == 1  # the challenge


async def test_wrong_password(server):
    """Aioice's client with a password that this server never made gets 401."""
    turn = await status(server)
    with pytest.raises(aioice.stun.TransactionFailed) as caught:
        await aioice.turn.create_turn_endpoint(
            Client, ("127.0.0.1", turn["port"]), str(int(time.time()) + 600), "guessed"
        )
    assert caught.value.response.attributes["ERROR-CODE"][0] == 401
    assert (await status(server))["refusals"]["forged"] >= 1
