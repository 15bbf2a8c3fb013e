"""The names that this server goes by: a ``Host`` that is none of them is refused.

A page of ``evil.example`` that lets its own name point to this machine (DNS rebinding) would else
be of the same origin as this server, and could read everything. Addresses cannot be rebound.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import JSONResponse

from icey.network import network_of

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from starlette.types import ASGIApp, Receive, Scope, Send

    from icey.config.model import Settings
    from icey.refusals import Refusals

HEALTH = "/api/health"
"""Answered under any name: whoever supervises the server calls it as it likes."""

_AUTHORITY = re.compile(r"(?P<name>\[[0-9a-z:.%]+\]|[a-z0-9._-]{1,253})(?::\d{0,5})?", re.ASCII)


class HostNames:
    """The names of one server.

    Args:
        names: host names in any case, also as ``*.example.org``, which stands for one label.
    """

    def __init__(self, names: Iterable[str] = ()) -> None:
        names = {name.lower().rstrip(".") for name in names}
        self._names = frozenset(name for name in names if not name.startswith("*."))
        self._parents = frozenset(name[2:] for name in names if name.startswith("*."))

    def admits(self, host: str) -> bool:
        """Return whether this is a ``Host`` by which the server may be called."""
        match = _AUTHORITY.fullmatch(host.strip().lower())
        if match is None:
            return False
        name = match["name"].strip("[]").rstrip(".")
        if _is_address(name) or name == "localhost" or name.endswith(".localhost"):
            return True
        return name in self._names or name.partition(".")[2] in self._parents


def host_names_blocking(settings: Settings) -> HostNames:
    """Collect the names of this server; blocks while the machine's own is looked up.

    These are the machine's, ``http.host``, ``http.hosts``, those of ``auth.allowedOrigins`` and of
    the certificate.
    """
    machine = socket.gethostname()
    short = machine.partition(".")[0]
    names = {machine, short, f"{short}.local", socket.getfqdn(machine)}
    names.add(settings.http.host)
    names.update(settings.http.hosts)
    names.update(urlsplit(origin).hostname or "" for origin in settings.auth.allowed_origins)
    if settings.tls.cert is not None:
        names.update(_names_of_certificate(settings.tls.cert))
    return HostNames(name for name in names if name)


def misdirected(host: str) -> dict[str, str]:
    """Return the answer to a ``Host`` that is no name of this server."""
    return {
        "status": "error",
        "error": "misdirected",
        "detail": f"this server does not go by the name {host[:253]!r}: add it to http.hosts",
    }


class HostCheck:
    """ASGI middleware that refuses requests to a name that is not this server's (421)."""

    def __init__(self, app: ASGIApp, names: HostNames, refusals: Refusals) -> None:
        self._app = app
        self._names = names
        self._refusals = refusals

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] != "http" or scope["path"] == HEALTH:
            await self._app(scope, receive, send)
            return
        host = Headers(scope=scope).get("host")
        # HTTP/1.0 has no Host; no browser speaks it.
        if host is None or self._names.admits(host):
            await self._app(scope, receive, send)
            return
        count_misdirected(self._refusals, network_of((scope.get("client") or ("",))[0]))
        refusal = JSONResponse(misdirected(host), 421, headers={"Cache-Control": "no-store"})
        await refusal(scope, receive, send)


def count_misdirected(refusals: Refusals, network: str) -> None:
    """Count a request to a name that is not this server's."""
    reason = "a request to a name that is not this server's; if it is, add it to http.hosts"
    refusals.count("hosts", network, reason)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return False
    return True


def _names_of_certificate(cert: Path) -> list[str]:
    from cryptography import x509  # noqa: PLC0415 - 60 ms that only TLS costs

    leaf = x509.load_pem_x509_certificates(cert.read_bytes())[0]
    try:
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return list(names.get_values_for_type(x509.DNSName))
