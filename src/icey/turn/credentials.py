"""Time-limited TURN credentials, which pages get in place of a password.

The scheme is that of draft-uberti-behave-turn-rest-00 §2.2, which other TURN servers share: the
user name says until when it is good, and the password is its signature. So no credential is stored.
"""

from __future__ import annotations

import base64
import hmac
import secrets
from dataclasses import dataclass

_NAME_BYTES = 12
"""Random bytes in a user name, by which it is its own."""


@dataclass(frozen=True, slots=True)
class Credential:
    """A long-term credential (RFC 8489 §9.2).

    Attributes:
        username: ``<unix expiry>[:<suffix>]:<random>``.
        password: of that name.
        ttl_seconds: how long it is good.
    """

    username: str
    password: str
    ttl_seconds: int


def sign(secret: bytes, username: str) -> str:
    """Return ``base64(HMAC-SHA1(secret, username))``, the password of a user name."""
    return base64.b64encode(hmac.digest(secret, username.encode(), "sha1")).decode()


class CredentialMint:
    """Makes credentials.

    Each has a name of its own, of 96 random bits, however many are asked for in one second. Quotas
    go by the name (``turn.userQuota``), so strangers must not share one, nor guess another's.

    Args:
        secret: what signs; the TURN server has the same.
        ttl_seconds: the life of a credential.
        suffix: stands in every user name behind the expiry; "" leaves it away.
    """

    def __init__(self, secret: bytes, *, ttl_seconds: int, suffix: str = "") -> None:
        self._secret = secret
        self._ttl = ttl_seconds
        self._suffix = f":{suffix}" if suffix else ""

    def mint(self, unix_now: float, *, ttl_seconds: int | None = None) -> Credential:
        """Make a credential.

        Args:
            unix_now: s since 1970, on the clock that the TURN server goes by.
            ttl_seconds: a shorter life than the usual one.
        """
        ttl = self._ttl if ttl_seconds is None else ttl_seconds
        username = f"{int(unix_now) + ttl}{self._suffix}:{secrets.token_urlsafe(_NAME_BYTES)}"
        return Credential(username, sign(self._secret, username), ttl)
