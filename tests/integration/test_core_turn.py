"""The TURN server's binary: probed, and between the engine and aiortc, over loopback."""

from __future__ import annotations

import asyncio
import base64
import gc
import hashlib
import hmac
import socket
import struct
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from aiortc import (
    RTCConfiguration,
    RTCIceServer,
    RTCIceTransportPolicy,
    RTCPeerConnection,
    RTCRtpSender,
    RTCSessionDescription,
)
from aiortc.mediastreams import VideoStreamTrack
from av import VideoFrame
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from icey import _core
from icey.errors import AddressInUseError, EngineError, TurnProbeError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DEADLINE_S = 15.0
SECRET = b"known to this server alone"
PUBLIC = "203.0.113.7"
SHADE = 180


def credential(lifetime_s: int = 600) -> tuple[str, str]:
    """A user name and its password, as the TURN REST scheme mints them."""
    user = f"{int(time.time()) + lifetime_s}:tester"
    digest = hmac.new(SECRET, user.encode(), hashlib.sha1).digest()
    return user, base64.b64encode(digest).decode()


def serve(engine: _core.Engine, **changes: Any) -> _core.TurnServer:
    settings: dict[str, Any] = {
        "host": "127.0.0.1",
        "port": 0,
        "realm": "icey",
        "secret": SECRET,
        "max_allocations": 20,
        "user_quota": 20,
        "max_bitrate": 0,
        "relay_ports": (42000, 46000),
    }
    return _core.TurnServer(engine, **{**settings, **changes})


def probe(server: _core.TurnServer, **changes: Any) -> _core.TurnProbe:
    user, password = credential()
    arguments: dict[str, Any] = {"username": user, "credential": password, "timeout": DEADLINE_S}
    arguments |= changes
    port = arguments.pop("port", server.port)
    return _core.probe_turn("127.0.0.1", port, **arguments)


@pytest.fixture
def engine() -> Iterator[_core.Engine]:
    """An engine on loopback in which nothing panics."""
    engine = _core.Engine(host="127.0.0.1")
    yield engine
    assert engine.stats().panics == 0
    engine.close()


@pytest.fixture
def server(engine: _core.Engine) -> Iterator[_core.TurnServer]:
    """A TURN server next to it, in which nothing panics either."""
    server = serve(engine)
    yield server
    assert server.stats().panics == 0
    server.close()


class Grey(VideoStreamTrack):
    """Pictures of one shade, 30 a second."""

    async def recv(self) -> VideoFrame:
        pts, time_base = await self.next_timestamp()
        picture = np.full((180, 320, 3), SHADE, dtype=np.uint8)
        frame = VideoFrame.from_ndarray(picture, "rgb24")
        frame.pts, frame.time_base = pts, time_base
        return frame


class Client:
    """An aiortc client that reaches its peer through the TURN server or not at all."""

    def __init__(self, peer: _core.Peer, server: _core.TurnServer, transport: str) -> None:
        user, password = credential()
        url = f"turn:127.0.0.1:{server.port}?transport={transport}"
        ice = RTCIceServer(urls=url, username=user, credential=password)
        self.peer = peer
        configuration = RTCConfiguration([ice], iceTransportPolicy=RTCIceTransportPolicy.RELAY)
        self.client = RTCPeerConnection(configuration)
        self.shades: list[float] = []
        self._tasks: list[asyncio.Task[None]] = []
        self.client.on("track", self._on_track)

    def _on_track(self, track: object) -> None:
        self._tasks.append(asyncio.ensure_future(self._consume(track)))

    async def _consume(self, track: Any) -> None:
        while track.readyState == "live":
            frame = await track.recv()
            self.shades.append(float(frame.to_ndarray(format="gray").mean()))

    async def connect(self) -> None:
        await self.client.setLocalDescription(await self.client.createOffer())
        offer = self.client.localDescription.sdp
        assert " typ relay" in offer
        assert " typ host" not in offer
        answer = self.peer.accept_offer(offer)
        await self.client.setRemoteDescription(RTCSessionDescription(answer, "answer"))

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.client.close()
        self.peer.close()


async def eventually(holds: Callable[[], bool]) -> None:
    """Wait until something holds that no event tells of."""
    async with asyncio.timeout(DEADLINE_S):
        while not holds():
            await asyncio.sleep(0.02)


def await_stats(server: _core.TurnServer, holds: Callable[[_core.TurnStats], bool]) -> None:
    """Wait until the counters are as they should be."""
    end = time.monotonic() + DEADLINE_S
    while not holds(server.stats()):
        assert time.monotonic() < end, server.stats().refusals
        time.sleep(0.01)


@pytest.mark.parametrize("external", [False, True], ids=["own address", "external address"])
async def test_media_pass_through_allocations_both_ways_without_a_socket(external: bool) -> None:
    """A publisher over TURN/UDP and a viewer over TURN/TCP see media, all by the short cut."""
    hosts = [PUBLIC] if external else []
    engine = _core.Engine(host="127.0.0.1", additional_hosts=hosts)
    server = serve(engine, external_ip=PUBLIC if external else "")
    track = engine.create_track("video")
    receiving = engine.create_peer(direction="receive", deliver="packets")
    publisher = Client(receiving, server, "udp")
    publisher.client.addTrack(Grey())
    codecs = RTCRtpSender.getCapabilities("video").codecs
    h264 = [codec for codec in codecs if codec.name in ("H264", "rtx")]
    publisher.client.getTransceivers()[0].setCodecPreferences(h264)
    engine.route(receiving, track)
    viewer = Client(engine.create_peer(), server, "tcp")
    engine.attach(viewer.peer, track)
    viewer.client.addTransceiver("video", direction="recvonly")
    try:
        await publisher.connect()
        await viewer.connect()
        await eventually(lambda: len(viewer.shades) >= 20)
        assert abs(viewer.shades[-1] - SHADE) < 10
        relayed_host = PUBLIC if external else "127.0.0.1"
        for client in (publisher, viewer):
            address = client.peer.stats().remote_address
            host, port = address.rsplit(":", 1)
            assert host == relayed_host
            assert 42000 <= int(port) <= 46000
        stats = server.stats()
        assert (stats.allocations, stats.connections) == (2, 1)
        relayed = stats.packets_to_peers + stats.packets_from_peers
        assert stats.packets_short_cut >= 40, "each picture went through it twice"
        # The rest are aiortc's checks of its own relayed candidates, if there are any.
        assert stats.packets_short_cut > 0.9 * relayed
    finally:
        await publisher.close()
        await viewer.close()
    await eventually(lambda: server.stats().allocations == 0)
    assert engine.stats().panics == server.stats().panics == 0
    server.close()
    engine.close()


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_a_probe_passes_a_datagram_through(server: _core.TurnServer, transport: str) -> None:
    """It says which addresses it was given, and leaves no allocation behind."""
    seen = probe(server, transport=transport)
    host, port = seen.relayed_address.rsplit(":", 1)
    assert host == "127.0.0.1"
    assert 42000 <= int(port) <= 46000
    assert seen.mapped_address.startswith("127.0.0.1:")
    assert 0 < seen.round_trip_ms < DEADLINE_S * 1000
    await_stats(server, lambda stats: (stats.allocations, stats.connections) == (0, 0))
    assert server.stats().allocations_total == 2


def test_a_probe_says_what_failed_and_what_the_server_said(server: _core.TurnServer) -> None:
    """Each step has its name, and a refusal its code; the counters know the reason."""
    with pytest.raises(TurnProbeError) as forged:
        probe(server, credential="guessed")
    assert (forged.value.step, forged.value.code) == ("allocate", 401)
    user, password = credential(lifetime_s=-1)
    with pytest.raises(TurnProbeError) as expired:
        probe(server, username=user, credential=password)
    assert (expired.value.step, expired.value.code) == ("allocate", 401)
    with pytest.raises(TurnProbeError) as inside:
        probe(server, echo="10.0.0.1:53")
    assert (inside.value.step, inside.value.code) == ("permit", 403)
    assert "403" in str(inside.value)
    await_stats(server, lambda stats: stats.allocations == 0 or stats.refusals["forged"] == 1)
    refusals = server.stats().refusals
    assert (refusals["forged"], refusals["expired"], refusals["peer_forbidden"]) == (1, 1, 1)
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as closed:
        closed.bind(("127.0.0.1", 0))
        with pytest.raises(TurnProbeError) as absent:
            probe(server, port=closed.getsockname()[1], transport="tcp")
    assert (absent.value.step, absent.value.code) == ("connect", None)
    assert absent.value.said


@pytest.mark.parametrize(
    "wrong",
    [
        {"timeout": 0.0},
        {"timeout": float("nan")},
        {"echo": "nowhere"},
        {"transport": "sctp"},
        {"transport": "tls"},
    ],
)
def test_a_probe_of_nonsense_is_refused(server: _core.TurnServer, wrong: dict[str, Any]) -> None:
    """Arguments that make no sense are a ValueError, and nothing is sent."""
    with pytest.raises(ValueError, match=next(iter(wrong))):
        probe(server, **wrong)


def certificate(folder: Path, name: str) -> tuple[str, str]:
    """A self-signed certificate and its key, as two PEM files."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    paths = folder / f"{name}.pem", folder / f"{name}.key"
    paths[0].write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return str(paths[0]), str(paths[1])


def test_tls_shows_the_servers_certificate(engine: _core.Engine, tmp_path: Path) -> None:
    """Over TLS a probe passes if the server shows the certificate that it expects, else not."""
    (own, key), (other, other_key) = certificate(tmp_path, "own"), certificate(tmp_path, "other")
    server = serve(engine, tls_port=0, certificate=own, key=key)
    port = server.tls_port
    assert port is not None
    probe(server, port=port, transport="tls", certificate=own)
    await_stats(server, lambda stats: stats.connections == 0)
    assert server.stats().connections_total == 2
    with pytest.raises(TurnProbeError) as wrong:
        probe(server, port=port, transport="tls", certificate=other)
    assert wrong.value.step == "connect"
    with pytest.raises(TurnProbeError) as plain:
        probe(server, transport="tls", certificate=own, timeout=1.0)
    assert plain.value.step == "connect"
    with socket.create_connection(("127.0.0.1", port)) as stranger:
        stranger.sendall(b"GET / HTTP/1.1\r\n\r\n")
        stranger.settimeout(DEADLINE_S)
        while stranger.recv(1024):
            pass
    await_stats(server, lambda stats: stats.connections_dropped >= 1)
    server.close()
    for wrong_pair in [(own, other_key), (other_key, key), (str(tmp_path / "absent"), key)]:
        with pytest.raises(EngineError) as unusable:
            serve(engine, tls_port=0, certificate=wrong_pair[0], key=wrong_pair[1])
        assert str(tmp_path) in str(unusable.value)


def test_a_port_in_use_is_refused_with_the_evidence(engine: _core.Engine) -> None:
    """Taken for UDP or for TCP alone, the port is named."""
    for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
        with socket.socket(socket.AF_INET, kind) as taken:
            taken.bind(("127.0.0.1", 0))
            if kind == socket.SOCK_STREAM:
                taken.listen()
            port = taken.getsockname()[1]
            with pytest.raises(AddressInUseError) as refused:
                serve(engine, port=port)
            assert (refused.value.host, refused.value.port) == ("127.0.0.1", port)


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"secret": b""}, ValueError),
        ({"realm": ""}, ValueError),
        ({"relay_ports": (50000, 49999)}, ValueError),
        ({"relay_ports": (0, 10)}, ValueError),
        ({"host": "192.0.2.77"}, EngineError),
        ({"host": "localhost"}, EngineError),
        ({"external_ip": "example.org"}, EngineError),
    ],
)
def test_settings_that_cannot_work_are_refused(
    engine: _core.Engine, wrong: dict[str, Any], error: type[Exception]
) -> None:
    """Each is refused at once, and the engine can have a server afterwards."""
    with pytest.raises(error):
        serve(engine, **wrong)
    serve(engine).close()


def test_servers_leave_neither_threads_nor_descriptors(engine: _core.Engine) -> None:
    """Twenty servers, closed or just dropped, leave the process as it was."""

    def threads() -> int:
        tasks = Path("/proc/self/task").iterdir()
        return sum((task / "comm").read_text().strip() == "icey-turn" for task in tasks)

    gc.collect()  # what other tests left
    before = len(list(Path("/proc/self/fd").iterdir()))
    for n in range(20):
        server = serve(engine)
        probe(server, transport="tcp" if n % 2 else "udp")
        assert threads() == 1
        if n % 3:
            server.close()
            server.close()
        del server
    gc.collect()
    assert (len(list(Path("/proc/self/fd").iterdir())), threads()) == (before, 0)


def test_garbage_leaves_nothing_behind(server: _core.TurnServer) -> None:
    """Noise over UDP and TCP, half messages and resets: all is freed, and others are served."""
    random = Random(5)
    gc.collect()  # what tests before have left open is not counted
    before = len(list(Path("/proc/self/fd").iterdir()))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.connect(("127.0.0.1", server.port))
        for _ in range(300):
            udp.send(random.randbytes(random.randrange(1500)))
    reset = struct.pack("ii", 1, 0)
    half = bytes.fromhex("0003 0100 2112a442")  # an Allocate request of which 268 bytes are missing
    for n in range(100):
        with socket.create_connection(("127.0.0.1", server.port)) as tcp:
            if n % 2:
                tcp.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
            tcp.sendall(half if n % 3 else random.randbytes(200))
    await_stats(server, lambda stats: (stats.connections_total, stats.connections) == (100, 0))
    stats = server.stats()
    assert stats.refusals["malformed"] > 0
    assert stats.allocations_total == 0
    probe(server, transport="tcp")
    await_stats(server, lambda stats: stats.connections == 0)
    gc.collect()
    assert len(list(Path("/proc/self/fd").iterdir())) == before
