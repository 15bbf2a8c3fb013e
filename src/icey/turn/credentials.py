"""Time-limited TURN credentials, which pages get in place of a password.

The scheme is that of draft-uberti-behave-turn-rest-00 §2.2, which other TURN servers share: the
user name says until when it is good, and the password is its signature. So no credential is stored.
"""

from __future__ import annotations

import base64
import hmac
from dataclasses import dataclass

_SPREAD = 0.25
"""The part of its life that a credential may be shortened by, so that its name is its own."""


@dataclass(frozen=True, slots=True)
class Credential:
    """A long-term credential (RFC 8489 §9.2).

    Attributes:
        username: ``<unix expiry>`` or ``<unix expiry>:<suffix>``.
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

    Those who ask in the same second get names of their own as far as possible: each expires a
    second earlier than the one before, down to three quarters of the life. Otherwise all tabs that
    come back at once after a restart would share a name, and its quota (``turn.userQuota``).

    Args:
        secret: what signs; the TURN server has the same.
        ttl_seconds: the life of a credential.
        suffix: what follows the expiry in the user name; "" leaves it away.
    """

    def __init__(self, secret: bytes, *, ttl_seconds: int, suffix: str = "") -> None:
        self._secret = secret
        self._ttl = ttl_seconds
        self._suffix = f":{suffix}" if suffix else ""
        self._newest = (0, 0)

    def mint(self, unix_now: float, *, ttl_seconds: int | None = None) -> Credential:
        """Make a credential.

        Args:
            unix_now: s since 1970, on the clock that the TURN server goes by.
            ttl_seconds: a shorter life than the usual one.
        """
        now = int(unix_now)
        second, count = self._newest
        count = count + 1 if second == now else 0
        self._newest = (now, count)
        longest = self._ttl if ttl_seconds is None else ttl_seconds
        ttl = longest - count % (int(longest * _SPREAD) + 1)
        username = f"{now + ttl}{self._suffix}"
        return Credential(username, sign(self._secret, username), ttl)
