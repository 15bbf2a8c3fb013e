"""The access token, and the check of a web page's origin."""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from starlette.exceptions import HTTPException

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_DEFAULT_PORTS = {"http": "80", "https": "443"}


class AccessToken:
    """The token of ``auth.token``; an empty one admits everyone."""

    __slots__ = ("_digest",)

    def __init__(self, token: str) -> None:
        self._digest = _digest(token) if token else None

    @property
    def required(self) -> bool:
        """Whether requests need the token."""
        return self._digest is not None

    def admits(self, token: str) -> bool:
        """Return whether a token is the right one.

        Takes the same time for every wrong one: digests are compared, so that not even
        the length of the right one shows.
        """
        return self._digest is None or hmac.compare_digest(self._digest, _digest(token))

    def check(self, headers: Iterable[tuple[bytes, bytes]], query: bytes) -> None:
        """Refuse an HTTP request that needs the token and lacks it; see `offered_tokens`.

        Raises:
            HTTPException: 401.
        """
        if self.required and not any(map(self.admits, offered_tokens(headers, query))):
            raise HTTPException(401, headers={"WWW-Authenticate": "Bearer"})


def offered_tokens(headers: Iterable[tuple[bytes, bytes]], query: bytes) -> list[str]:
    """Return every token that an HTTP request carries.

    Args:
        headers: as ASGI gives them, names in lower case.
        query: the query string, undecoded.
    """
    tokens = []
    for name, value in headers:
        if name == b"x-icey-token":
            tokens.append(value.decode("latin-1").strip())
        elif name == b"authorization":
            scheme, _, credentials = value.decode("latin-1").strip().partition(" ")
            if scheme.lower() == "bearer":
                tokens.append(credentials.strip())
    try:
        fields = parse_qsl(query.decode("latin-1"), max_num_fields=32)
    except ValueError:  # more fields than any of our links has
        return tokens
    return tokens + [value for name, value in fields if name == "token"]


def origin_allowed(origins: Sequence[str], hosts: Sequence[str], allowed: Sequence[str]) -> bool:
    """Return whether a page of this origin may open a WebSocket (RFC 6455 §10.2).

    The scheme is not compared with ours, because behind a proxy that ends TLS it differs.

    Args:
        origins: every ``Origin`` header of the request; none means that no browser sent it.
        hosts: every ``Host`` header.
        allowed: ``auth.allowedOrigins``, as browsers write them.
    """
    if not origins:
        return True
    if len(origins) > 1:
        return False
    origin = origins[0].strip().lower()
    if origin in allowed:
        return True
    scheme, _, authority = origin.partition("://")
    if not authority or scheme not in _DEFAULT_PORTS or len(hosts) != 1:
        return False
    port = _DEFAULT_PORTS[scheme]
    return _with_port(authority, port) == _with_port(hosts[0].strip().lower(), port)


def _with_port(authority: str, port: str) -> tuple[str, str]:
    host, colon, explicit = authority.rpartition(":")
    if not colon or explicit.endswith("]"):  # no port; `[::1]` ends in a bracket
        return authority, port
    return host, explicit or port


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
