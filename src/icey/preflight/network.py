"""The check of ports: binds and releases them."""

from __future__ import annotations

import errno
import ipaddress
import socket
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from icey.preflight.finding import Finding, failed, passed

if TYPE_CHECKING:
    from icey.config.model import Settings
    from icey.preflight.running import Running

__all__ = ["check_ports", "media_address"]


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
    try:
        addresses = _addresses(host, claim)
    except OSError as error:
        return (
            f"the host '{host}' has no address ({error.strerror}): set --host or http.host to an "
            "address of this machine, or 0.0.0.0"
        )
    for family, address in addresses:
        try:
            _bind(family, claim.kind, address)
        except OSError as error:
            return f"{claim} on {host}: {_advice(error, claim)}"
    return ""


_Address: TypeAlias = "tuple[socket.AddressFamily, tuple[Any, ...]]"


def _addresses(host: str, claim: _Claim) -> list[_Address]:
    """Return what the server binds: HTTP every address of a name, the media its first IPv4 one.

    Raises:
        OSError: the name has no address.
    """
    if claim.kind == socket.SOCK_DGRAM:
        host = media_address(host)
    found = socket.getaddrinfo(host, claim.port, type=claim.kind, flags=socket.AI_PASSIVE)
    return [(family, address) for family, _, _, _, address in found]


def media_address(host: str) -> str:
    """Return the address that the media bind: the host itself, or the first IPv4 one of a name.

    Raises:
        OSError: the name has no address.
    """
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        return socket.gethostbyname(host)


def _bind(family: socket.AddressFamily, kind: socket.SocketKind, address: tuple[Any, ...]) -> None:
    with closing(socket.socket(family, kind)) as probe:
        if kind == socket.SOCK_STREAM:
            # As the server does: a port whose last connections linger in TIME_WAIT is free.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        probe.bind(address)
        if kind == socket.SOCK_STREAM:
            probe.listen(1)


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
