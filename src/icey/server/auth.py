"""The access token, who may try it how often, and the check of a web page's origin."""

from __future__ import annotations

import hashlib
import hmac
import math
import time
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from starlette.exceptions import HTTPException

from icey.errors import SignallingError
from icey.refusals import Refusals
from icey.server.guesses import Guesses

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

_DEFAULT_PORTS = {"http": "80", "https": "443"}


class AccessToken:
    """The token of ``auth.token``; an empty one admits everyone.

    Wrong ones are counted, and slow down the network that they come from (`icey.server.guesses`).

    Args:
        token: the token.
        refusals: counts wrong ones.
        now: a monotonic clock in seconds.
    """

    __slots__ = ("_digest", "_guesses", "_now", "_refusals")

    def __init__(
        self,
        token: str,
        refusals: Refusals | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._digest = _digest(token) if token else None
        self._refusals = refusals or Refusals()
        self._guesses = Guesses()
        self._now = now

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

    def check(
        self, headers: Iterable[tuple[bytes, bytes]], query: bytes, network: str = ""
    ) -> None:
        """Refuse an HTTP request that needs the token and lacks it; see `offered_tokens`.

        Args:
            headers: as ASGI gives them.
            query: the query string, undecoded.
            network: where it comes from (`icey.network.network_of`).

        Raises:
            HTTPException: 401; 400, there are several tokens, none of which is looked at; or 429,
                too many wrong ones came from this network.
        """
        if not self.required:
            return
        tokens = set(offered_tokens(headers, query))
        if len(tokens) > 1:
            reason = "a request with several access tokens, of which one may be right"
            self._refusals.count("severalTokens", network, reason)
            raise HTTPException(400)
        if not tokens:
            raise HTTPException(401, headers={"WWW-Authenticate": "Bearer"})
        wait_s = self._wait_s(network)
        if wait_s:
            raise HTTPException(429, headers={"Retry-After": str(wait_s)})
        if not self._admits_or_notes(tokens.pop(), network):
            raise HTTPException(401, headers={"WWW-Authenticate": "Bearer"})

    def admits_peer(self, token: str, network: str) -> bool:
        """Return whether a signalling peer may enter with a token.

        Raises:
            SignallingError: 429, too many wrong ones came from this network.
        """
        if not self.required:
            return True
        wait_s = self._wait_s(network) if token else 0
        if wait_s:
            raise SignallingError(f"too many wrong tokens: try again in {wait_s} s", status=429)
        return self._admits_or_notes(token, network)

    def _wait_s(self, network: str) -> int:
        wait_s = self._guesses.wait_s(network, self._now())
        if wait_s:
            reason = "a look at its access token, as too many of its were wrong"
            self._refusals.count("throttledTokens", network, reason)
        return math.ceil(wait_s)

    def _admits_or_notes(self, token: str, network: str) -> bool:
        if self.admits(token):
            return True
        if token:
            self._refusals.count("wrongTokens", network, "a wrong access token")
            self._guesses.wrong(network, _digest(token), self._now())
        return False


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
