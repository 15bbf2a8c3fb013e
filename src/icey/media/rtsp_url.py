"""RTSP URLs: user and password in them and out of them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import quote, unquote

_AUTHORITY = re.compile(r"([A-Za-z]+)://(?:([^/]*)@)?(.*)", re.DOTALL)


@dataclass(frozen=True)
class RtspAddress:
    """What a ``rtsp://`` URL says.

    Attributes:
        url: without user and password.
        user: "" for none.
        password: as the camera knows it.
    """

    url: str
    user: str = ""
    password: str = field(default="", repr=False)


def parse_rtsp(location: str) -> RtspAddress:
    """Take user and password out of a URL, percent-decoded."""
    found = _AUTHORITY.match(location)
    if found is None or found[2] is None:
        return RtspAddress(location)
    user, _, password = found[2].partition(":")
    return RtspAddress(f"{found[1]}://{found[3]}", unquote(user), unquote(password))


def encode_user(location: str) -> str:
    """Percent-encode what a user and a password have in them that a URL may not (RFC 3986 §3.2.1).

    People write the password that they know. A ``/`` in it cannot be told from the path's.
    """
    found = _AUTHORITY.match(location)
    if found is None or found[2] is None:
        return location
    user, colon, password = found[2].partition(":")
    keep = "%!$&'()*+,;="  # what is encoded already stays
    safe = f"{quote(user, safe=keep)}{colon}{quote(password, safe=keep)}"
    return f"{found[1]}://{safe}@{found[3]}"
