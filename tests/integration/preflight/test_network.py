"""Ports, really taken."""

import socket
from types import SimpleNamespace
from typing import Any

import pytest
from bench.ports import free_port

from icey.config.model import HttpSettings, Settings, TurnSettings, WebrtcSettings
from icey.preflight.finding import render
from icey.preflight.network import check_ports
from icey.preflight.running import Running


@pytest.fixture
def holder():
    """Take ports on loopback for the length of a test."""
    held = []

    def take(kind):
        sock = socket.socket(socket.AF_INET, kind)
        held.append(sock)
        sock.bind(("127.0.0.1", 0))
        if kind == socket.SOCK_STREAM:
            sock.listen()
        return sock.getsockname()[1]

    yield take
    for sock in held:
        sock.close()


NO_TURN = TurnSettings(enabled=False)


def ports(http=0, webrtc=0, host="127.0.0.1", running=None, turn=NO_TURN):
    settings = Settings(
        http=HttpSettings(host=host, port=http), webrtc=WebrtcSettings(port=webrtc), turn=turn
    )
    finding = check_ports(settings, running)
    return finding.result, render(finding.detail, public=True)


def test_free_ports():
    """Free ports pass, and are free afterwards."""
    tcp, udp = free_port(), free_port()
    for _ in range(2):
        result, detail = ports(tcp, udp)
        assert result == "pass"
        assert f"{tcp} (TCP, HTTP) free, {udp} (UDP, WebRTC) free" in detail
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", tcp))


def test_any_port():
    """Port 0 is any free port."""
    assert ports() == (
        "pass",
        "127.0.0.1: any free port (TCP, HTTP) free, any free port (UDP, WebRTC) free",
    )


def test_http_port_taken(holder):
    """A taken TCP port fails, names the port, and says what to do."""
    port = holder(socket.SOCK_STREAM)
    result, detail = ports(http=port)
    assert result == "fail"
    assert f"{port} (TCP, HTTP) on 127.0.0.1: in use by another program" in detail
    assert "--port" in detail


def test_webrtc_port_taken():
    """A taken UDP port fails; the same number in TCP does not matter."""
    # Held in TCP too, and let go again: somebody's connection may have the number there.
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        port = other.getsockname()[1]
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        udp.bind(("127.0.0.1", port))
    with udp:
        result, detail = ports(http=port, webrtc=port)
    assert result == "fail"
    assert f"{port} (UDP, WebRTC)" in detail
    assert "webrtc.port" in detail
    assert "TCP" not in detail


def test_both_ports_taken(holder):
    """Every taken port is named at once."""
    result, detail = ports(holder(socket.SOCK_STREAM), holder(socket.SOCK_DGRAM))
    assert result == "fail"
    assert detail.count("in use by another program") == 2


def test_port_whose_connections_linger(holder):
    """A port with connections in TIME_WAIT is free, as it is for the server."""
    port = free_port()
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen()
        with socket.create_connection(("127.0.0.1", port)) as client:
            served, _ = listener.accept()
            served.close()  # the side that closes first waits
            assert client.recv(1) == b""
    assert ports(http=port)[0] == "pass"


def test_own_ports(holder):
    """The ports that this server holds itself are no failure."""
    tcp, udp = holder(socket.SOCK_STREAM), holder(socket.SOCK_DGRAM)
    result, detail = ports(tcp, udp, running=Running(http_port=tcp, webrtc_port=udp))
    assert result == "pass"
    assert f"{tcp} (TCP, HTTP) held by this server" in detail
    assert f"{udp} (UDP, WebRTC) held by this server" in detail


def test_own_port_that_the_system_chose(holder):
    """Where the setting is 0 the port that the server got is told."""
    tcp = holder(socket.SOCK_STREAM)
    assert f"{tcp} (TCP, HTTP) held" in ports(running=Running(http_port=tcp))[1]


def test_every_address_of_a_name(holder, monkeypatch):
    """A name with two addresses fails where the port is taken on the second of them only."""
    port = holder(socket.SOCK_STREAM)
    real = socket.getaddrinfo

    def both(host, *arguments, **options):
        if host != "two.example":
            return real(host, *arguments, **options)
        return [
            entry
            for address in ("127.0.0.2", "127.0.0.1")
            for entry in real(address, *arguments, **options)
        ]

    monkeypatch.setattr(socket, "getaddrinfo", both)
    monkeypatch.setattr(socket, "gethostbyname", lambda _: "127.0.0.1")
    result, detail = ports(http=port, host="two.example")
    assert result == "fail"
    assert f"{port} (TCP, HTTP) on two.example: in use" in detail


def test_name(holder):
    """A name is resolved, and its ports are really bound."""
    assert ports(host="localhost")[0] == "pass"
    port = holder(socket.SOCK_DGRAM)
    assert ports(webrtc=port, host="localhost")[0] == "fail"


def test_address_of_another_machine():
    """An address that is not of this machine fails and says which setting is wrong."""
    result, detail = ports(host="192.0.2.1")
    assert result == "fail"
    assert "not an address of this machine: set --host or http.host" in detail


def test_name_without_address():
    """A host name that has no address fails."""
    result, detail = ports(host="no-such-host.invalid")
    assert result == "fail"
    assert "'no-such-host.invalid' has no address" in detail


@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_STREAM])
def test_turn_port_taken(holder, kind):
    """A TURN port that is taken, in UDP or TCP, fails and names the settings that help."""
    port = holder(kind)
    result, detail = ports(turn=TurnSettings(port=port))
    assert result == "fail"
    protocol = "UDP" if kind == socket.SOCK_DGRAM else "TCP"
    assert detail.startswith(f"{port} ({protocol}, TURN) on 127.0.0.1: in use by another program")
    assert "--turn-port or turn.port" in detail
    assert "--no-turn" in detail


def test_turn_ports_free():
    """TURN takes its port in UDP and TCP, and one more for TLS."""
    settings = TurnSettings(port=0, tls_port=free_port())
    result, detail = ports(turn=settings)
    assert result == "pass"
    assert "any free port (UDP, TURN) free, any free port (TCP, TURN) free" in detail
    assert f"{settings.tls_port} (TCP, TURN over TLS) free" in detail


def test_own_turn_ports(holder):
    """The ports that the running TURN server holds are no failure."""
    port = holder(socket.SOCK_DGRAM)
    target: Any = SimpleNamespace(port=port, tls_port=None)
    result, detail = ports(turn=TurnSettings(port=port), running=Running(turn=target))
    assert result == "pass"
    assert f"{port} (UDP, TURN) held by this server" in detail
