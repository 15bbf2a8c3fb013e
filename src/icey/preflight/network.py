"""The check of ports: binds and releases them."""

from __future__ import annotations

import errno
import ipaddress
import socket
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from icey.preflight.finding import Finding, failed, passed

if TYPE_CHECKING:
    from icey.config.model import Settings
    from icey.preflight.running import Running


@dataclass(frozen=True)
class _Claim:
    """A port that the server is about to take, or holds already."""

    purpose: str
    kind: socket.SocketKind
    port: int
    setting: str
    held: bool

    def __str__(self) -> str:
        protocol = "TCP" if self.kind == socket.SOCK_STREAM else "UDP"
        port = str(self.port) if self.port else "any free port"
        return f"{port} ({protocol}, {self.purpose})"


def check_ports(settings: Settings, running: Running | None) -> Finding:
    """Bind and release each port that this server does not hold itself."""
    http, webrtc = (running.http_port, running.webrtc_port) if running else (None, None)
    claims = [
        _claim("HTTP", socket.SOCK_STREAM, settings.http.port, http, "--port or http.port"),
        _claim("WebRTC", socket.SOCK_DGRAM, settings.webrtc.port, webrtc, "webrtc.port"),
        *_turn_claims(settings, running),
    ]
    host = settings.http.host
    problems = [
        problem for claim in claims if not claim.held and (problem := _problem(host, claim))
    ]
    if problems:
        return failed("; ".join(problems))
    words = [f"{claim} {'held by this server' if claim.held else 'free'}" for claim in claims]
    return passed(f"{host}: {', '.join(words)}")


def _turn_claims(settings: Settings, running: Running | None) -> list[_Claim]:
    if not settings.turn.enabled:
        return []
    held = running.turn if running else None
    setting = "--turn-port or turn.port, or turn TURN off with --no-turn"
    claims = [
        _claim("TURN", kind, settings.turn.port, held.port if held else None, setting)
        for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM)
    ]
    if settings.turn.tls_port:
        port, held_port = settings.turn.tls_port, held.tls_port if held else None
        claims.append(_claim("TURN over TLS", socket.SOCK_STREAM, port, held_port, "turn.tlsPort"))
    return claims


def _claim(
    purpose: str, kind: socket.SocketKind, port: int, held: int | None, setting: str
) -> _Claim:
    return _Claim(purpose, kind, port if held is None else held, setting, held is not None)


def _problem(host: str, claim: _Claim) -> str:
    """Bind as the server will; return what is in the way and what to do, or an empty text."""
    datagrams = claim.kind == socket.SOCK_DGRAM
    try:
        # HTTP takes every address of a name, the media its first IPv4 one.
        probes = bind(media_address(host) if datagrams else host, claim.port, claim.kind)
        for probe in probes:
            with probe:
                if not datagrams:
                    probe.listen(1)
    except socket.gaierror as error:
        return (
            f"the host '{host}' has no address ({error.strerror}): set --host or http.host to an "
            "address of this machine, or 0.0.0.0"
        )
    except OSError as error:
        return f"{claim} on {host}: {_advice(error, claim)}"
    return ""


def bind(host: str, port: int, kind: socket.SocketKind) -> list[socket.socket]:
    """Bind every address of a host, without listening yet.

    Args:
        host: an address or a name; ``localhost`` often is both an IPv4 and an IPv6 one.
        port: 0 takes a free one, the same for all addresses.
        kind: of TCP or UDP.

    Raises:
        OSError: the name has no address, or one of them cannot be bound.
    """
    bound: list[socket.socket] = []
    with ExitStack() as opened:
        for family, _, protocol, _, address in socket.getaddrinfo(
            host, port, type=kind, flags=socket.AI_PASSIVE
        ):
            one = opened.enter_context(socket.socket(family, kind, protocol))
            if kind == socket.SOCK_STREAM:
                # A port whose last connections linger in TIME_WAIT is free.
                one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            chosen = port or (bound[0].getsockname()[1] if bound else 0)
            one.bind((address[0], chosen, *address[2:]))
            bound.append(one)
        opened.pop_all()
    return bound


def media_address(host: str) -> str:
    """Return the address that the media bind: the host itself, or the first IPv4 one of a name.

    Raises:
        OSError: the name has no address.
    """
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        return socket.gethostbyname(host)


def _advice(error: OSError, claim: _Claim) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            "in use by another program: stop it (is another icey-server running?) "
            f"or choose another port with {claim.setting}"
        )
    if error.errno in {errno.EACCES, errno.EPERM}:
        return f"not permitted: choose a port from 1024 up with {claim.setting}"
    if error.errno == errno.EADDRNOTAVAIL:
        return "not an address of this machine: set --host or http.host to one, or 0.0.0.0"
    return f"{error.strerror}: set --host or http.host to an address of this machine"
