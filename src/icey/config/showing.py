"""Values for messages and logs: short, printable, without secrets."""

from __future__ import annotations

import json
import re

_MAX_SHOWN = 100
_USERINFO = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*://)[^/?#\s]*@")
_TYPE_NAMES: dict[type, str] = {
    bool: "a boolean",
    int: "an integer",
    float: "a number",
    str: "a text",
    list: "a list",
    dict: "an object",
    type(None): "null",
}


def without_credentials(text: str) -> str:
    """Remove user and password from every URL in a text (RFC 3986 §3.2.1)."""
    return _USERINFO.sub(r"\g<scheme>", text)


def printable(text: str) -> str:
    """Return a name from outside, cut and escaped to fit in one line of a log."""
    cut = text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}…"
    return cut if cut.isprintable() else json.dumps(cut)[1:-1]


def type_name(value: object) -> str:
    """Return the type of a value, in the words of a config file."""
    return _TYPE_NAMES.get(type(value), f"a {type(value).__name__}")


def shown(value: object) -> str:
    """Return a refused value for a message: scalars as in JSON and cut, others by their type."""
    if isinstance(value, str):
        return f'"{printable(without_credentials(value))}"'
    if isinstance(value, bool) or value is None:
        return json.dumps(value)
    if isinstance(value, int):
        return str(value) if value.bit_length() <= 256 else "a very large integer"
    if isinstance(value, float):
        return repr(value)
    return type_name(value)
