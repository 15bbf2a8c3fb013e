"""Decides which ``Range`` of a request is honoured (RFC 9110 §14).

Starlette answers ranges, but rejects what the RFC wants ignored (another unit), takes what is no
number by the RFC (`1_0`), and answers `HEAD`. What is not to be answered is kept from it here: then
the whole file is sent, which is right in every case (§14.2).
"""

from __future__ import annotations

import re

_SPEC = r"(\d{1,18})-(\d{0,18})|-(\d{1,18})"
_ONE = re.compile(_SPEC, re.ASCII)
_SET = re.compile(rf"bytes=\s*(?:{_SPEC})(?:\s*,\s*(?:{_SPEC}))*", re.ASCII | re.IGNORECASE)


def range_counts(method: str, header: str, size: int) -> bool:
    """Return whether the response to a request is partial, or 416.

    Args:
        method: of the request; ranges are for ``GET`` alone (RFC 9110 §14.2).
        header: the value of `Range`.
        size: of the file, bytes.

    Returns:
        False for what is no set of byte ranges, and for one that lies in the file in part only. One
        that lies outside as a whole counts: its answer is 416 (RFC 9110 §15.5.17).
    """
    header = header.strip()
    if method != "GET" or _SET.fullmatch(header) is None:
        return False
    inside = []
    for first, last, suffix in _ONE.findall(header.partition("=")[2]):
        if first and last and int(last) < int(first):
            return False
        inside.append(int(first) < size if first else size > 0 and int(suffix) > 0)
    return all(inside) or not any(inside)
