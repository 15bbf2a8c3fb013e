"""Cuts the bytes of a connection into the heads of requests, without parsing them. Pure.

The parser gets one whole head at a time, of few lines, so that nobody makes it work for nothing.
"""

from __future__ import annotations

import re

MAX_HEAD_BYTES = 16 * 1024
"""Request line and headers; a browser sends less than 2 KiB."""

MAX_HEAD_LINES = 100
"""Lines of a head; a browser and the proxies before it send less than 40."""

# As h11 reads it: a line may end in LF alone (RFC 9112 §2.2).
_END = re.compile(rb"\n\r?\n")
_BLANK = re.compile(rb"[\r\n]+")
_HEALTH = re.compile(rb"[\r\n]*(?:GET|HEAD) /api/health[ ?]")
_FORWARDED = re.compile(
    rb"^(x-forwarded-(?:for|proto))[ \t]*:[ \t]*(.*?)[ \t]*\r?$", re.IGNORECASE | re.MULTILINE
)


class HeadTooLargeError(Exception):
    """A head of too many bytes or lines."""


class Heads:
    """Collects bytes; gives one head after the other."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._looked = 0  # no end before this place

    def __len__(self) -> int:
        return len(self._data)

    def feed(self, data: bytes) -> None:
        """Append received bytes."""
        # Empty lines before a request are to be ignored (RFC 9112 §2.2).
        self._data += data if self._data else data.lstrip(b"\r\n")

    def next(self) -> bytes | None:
        """Return the next head with its empty line, None where it is not yet complete.

        Raises:
            HeadTooLargeError: it is larger than `MAX_HEAD_BYTES` or `MAX_HEAD_LINES` allow.
        """
        if not self._looked:
            blank = _BLANK.match(self._data)
            if blank is not None:
                del self._data[: blank.end()]
        found = _END.search(self._data, self._looked, MAX_HEAD_BYTES)
        if found is None:
            if len(self._data) >= MAX_HEAD_BYTES:
                raise HeadTooLargeError
            self._looked = max(0, len(self._data) - 2)
            return None
        head = bytes(self._data[: found.end()])
        if head.count(b"\n") > MAX_HEAD_LINES:
            raise HeadTooLargeError
        del self._data[: found.end()]
        self._looked = 0
        return head

    def ask_for_health(self) -> bool:
        """Return whether the next request is one for ``/api/health``."""
        return _HEALTH.match(self._data) is not None

    def whole(self) -> bool:
        """Return whether `next` has something to say: a head, or that it is too large."""
        if len(self._data) >= MAX_HEAD_BYTES:
            return True
        if _END.search(self._data, self._looked) is not None:
            return True
        self._looked = max(0, len(self._data) - 2)
        return False

    def rest(self) -> bytes:
        """Take out whatever is left."""
        data, self._looked = bytes(self._data), 0
        self._data.clear()
        return data


def asks_for_health(head: bytes) -> bool:
    """Return whether a head, or its beginning, is a request for ``/api/health``."""
    return _HEALTH.match(head) is not None


def forwarded(head: bytes) -> tuple[list[str], list[str]]:
    """Return the values of ``X-Forwarded-For`` and of ``X-Forwarded-Proto`` in a head."""
    found = [(name.lower(), value.decode("latin-1")) for name, value in _FORWARDED.findall(head)]
    return (
        [value for name, value in found if name == b"x-forwarded-for"],
        [value for name, value in found if name == b"x-forwarded-proto"],
    )
