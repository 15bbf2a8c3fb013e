"""Which parts of a source's URL are secrets, and who may read the file that holds them."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from pathlib import Path

KEYS_IN_PATHS = frozenset({"rtmp", "rtmps", "srt", "http", "https"})
"""Schemes whose path may be a stream key; of RTSP it names a camera's channel."""

SHORTEST = 4
"""Characters below which a part is no secret: it would be struck out of ordinary words."""


def secrets_of_url(text: str) -> tuple[str, ...]:
    """Return the parts of a URL that nobody may see, longest first.

    These are user and password, the query and the fragment; where the path may be a stream key
    (`KEYS_IN_PATHS`) it and its last segment too.

    Args:
        text: a source as it was configured; what is no URL has none.
    """
    try:
        parts = urlsplit(text)
    except ValueError:
        return ()
    if not parts.netloc:
        return ()
    user, at, _ = parts.netloc.rpartition("@")
    found = {user if at else "", *user.split(":"), parts.query, parts.fragment}
    found.update(value for pair in parts.query.split("&") for value in pair.split("=")[1:])
    if parts.scheme in KEYS_IN_PATHS:
        found |= {parts.path, parts.path.rpartition("/")[2]}
    return tuple(sorted((one for one in found if len(one) >= SHORTEST), key=len, reverse=True))


def open_to_others(path: Path) -> str:
    """Say who else may read or write a file; empty where nobody may.

    Reading by the file's group is what a service of its own user needs, and is no fault.

    Raises:
        OSError: the file cannot be looked at.
    """
    mode = path.stat().st_mode
    words = []
    if mode & stat.S_IROTH:
        words.append("read")
    if mode & (stat.S_IWGRP | stat.S_IWOTH):
        words.append("write")
    return f"others may {' and '.join(words)} it" if words and os.name == "posix" else ""
