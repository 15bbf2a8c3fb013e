"""Signed links: each opens one file for a while, without the access token.

A ``<video>`` and a download cannot send a header, and a token in a URL ends up in histories and
logs. So the API hands out links that are signed: they open one path and nothing else, and expire.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, quote

if TYPE_CHECKING:
    from collections.abc import Callable

LINK_SECONDS = 12 * 3600
"""How long a link opens its file: a page that is open over night still plays."""


class SignedLinks:
    """Signs and checks links. The key is made at each start, so a restart ends all of them.

    Args:
        clock: seconds since 1970.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._key = secrets.token_bytes(32)
        self._clock = clock

    def sign(self, path: str) -> str:
        """Return a link that opens a path; the path begins with a slash and is not yet quoted."""
        expires = str(int(self._clock()) + LINK_SECONDS)
        return f"{quote(path)}?expires={expires}&signature={self._signature(path, expires)}"

    def opens(self, path: str, query: bytes) -> bool:
        """Return whether the query of a request opens this path now."""
        try:
            fields = dict(parse_qsl(query.decode("latin-1"), max_num_fields=32))
        except ValueError:  # more fields than any of our links has
            return False
        expires, signature = fields.get("expires", ""), fields.get("signature", "")
        if not (expires.isascii() and expires.isdigit() and len(expires) < 16):
            return False
        right = hmac.compare_digest(signature.encode(), self._signature(path, expires).encode())
        return right and int(expires) >= self._clock()

    def _signature(self, path: str, expires: str) -> str:
        text = f"{expires}\n{path}".encode("utf-8", "surrogatepass")
        return hmac.new(self._key, text, hashlib.sha256).hexdigest()
