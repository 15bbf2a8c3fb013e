"""Frames of the Symple v4 protocol: parsed, checked and serialised.

Everything that arrives here was written by a stranger. A function either returns a
value that the rest of the program can trust or raises `SignallingError` with the status
of the ``error`` frame that the stranger gets.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from icey.errors import SignallingError
from icey.signalling.names import unseen

if TYPE_CHECKING:
    from icey.signalling.limits import Limits

PROTOCOL = "symple/4"

RESERVED = frozenset({"id", "user", "name", "type", "online"})
"""Fields of a presence that the server writes, whatever the peer said."""

PUBLIC_ROOM = "public"

_encode = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode


class Frame:
    """An outgoing message; serialised once, however many peers it goes to."""

    __slots__ = ("_text", "message", "wire")

    def __init__(self, message: dict[str, Any]) -> None:
        self.message = message
        self.wire: bytes | None = None
        """The bytes on the socket, for who writes them to keep."""
        self._text: str | None = None

    @property
    def text(self) -> str:
        """The message as JSON, ASCII only."""
        if self._text is None:
            self._text = _encode(self.message)
        return self._text

    def __repr__(self) -> str:
        return f"Frame({self.message!r})"


@dataclass(frozen=True, slots=True)
class Auth:
    """The checked first frame of a session.

    Attributes:
        user: the name that the peer's address and its own room bear.
        name: the display name; the user where none was given.
        token: what the peer offers as the access token, empty where it offered none.
        kind: the ``type`` in its presence, from ``data.peerType``.
        extras: further fields of its presence, reserved ones taken out.
        rooms: rooms it asks for besides its own and ``public``.
    """

    user: str
    name: str
    token: str = field(repr=False)
    kind: str
    extras: dict[str, Any]
    rooms: tuple[str, ...]


def decode(text: str, limits: Limits) -> dict[str, Any]:
    """Parse one frame.

    Raises:
        SignallingError: 400, the text is not JSON (RFC 8259), not an object, nested too
            deeply, or has a number that JSON cannot carry on (NaN, Infinity, 1e999).
    """
    try:
        message = json.loads(text, parse_constant=_finite, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        raise SignallingError("not valid JSON", status=400) from error
    if not isinstance(message, dict):
        raise SignallingError("a message is a JSON object", status=400)
    if _deeper_than(message, limits.depth):
        raise SignallingError(f"nested deeper than {limits.depth} levels", status=400)
    return message


def parse_auth(message: dict[str, Any], limits: Limits) -> Auth:
    """Check an ``auth`` frame.

    Raises:
        SignallingError: 401 for a missing or unusable user, 400 for any other field.
    """
    user = message.get("user")
    if not isinstance(user, str) or not user.strip():
        raise SignallingError("auth needs a user", status=401)
    _check_name(user, "user", limits.name_characters, status=401)
    if "|" in user:
        raise SignallingError("user must not contain '|'", status=401)
    name = _optional_text(message, "name")
    _check_name(name, "name", limits.display_characters, status=400)
    data = message.get("data")
    if data is None:
        data = {}
    if not isinstance(data, dict):
        raise SignallingError("data must be an object", status=400)
    kind = _optional_text(data, "peerType") or "peer"
    _check_name(kind, "peerType", limits.display_characters, status=400)
    return Auth(
        user=user,
        name=name or user,
        token=_optional_text(message, "token"),
        kind=kind,
        extras=extras_of(data, limits),
        rooms=check_rooms(message.get("rooms"), limits),
    )


def check_room(room: object, limits: Limits) -> str:
    """Check the name of a room.

    Raises:
        SignallingError: 400, it is not a usable name.
    """
    if not isinstance(room, str) or not room.strip():
        raise SignallingError("room must be a non-empty string", status=400)
    _check_name(room, "room", limits.name_characters, status=400)
    if "|" in room:
        raise SignallingError("room must not contain '|'", status=400)
    return room


def check_rooms(rooms: object, limits: Limits) -> tuple[str, ...]:
    """Check the ``rooms`` of an ``auth`` frame; absent means none.

    Raises:
        SignallingError: 400, it is not a list of usable names, or has too many.
    """
    if rooms is None:
        return ()
    if not isinstance(rooms, list):
        raise SignallingError("rooms must be a list", status=400)
    # A stock client may well name its own room and `public` again.
    if len(rooms) > limits.rooms:
        raise SignallingError(f"more than {limits.rooms} rooms", status=400)
    return tuple(check_room(room, limits) for room in rooms)


def extras_of(data: dict[str, Any], limits: Limits) -> dict[str, Any]:
    """Return the fields of a presence that the peer itself may set.

    Raises:
        SignallingError: 400, they are larger than ``limits.extras_bytes``.
    """
    extras = {key: value for key, value in data.items() if key not in RESERVED}
    if extras and len(_encode(extras)) > limits.extras_bytes:
        raise SignallingError(f"presence data exceeds {limits.extras_bytes} bytes", status=400)
    return extras


def error_frame(status: int, message: str) -> Frame:
    """Return an ``error`` frame: ``status`` is for programs, ``message`` for people."""
    return Frame({"type": "error", "status": status, "message": message})


def _optional_text(message: dict[str, Any], key: str) -> str:
    value = message.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise SignallingError(f"{key} must be a string", status=400)
    return value


def _check_name(name: str, what: str, longest: int, *, status: int) -> None:
    if len(name) > longest:
        raise SignallingError(f"{what} is longer than {longest} characters", status=status)
    character = unseen(name)
    if character is not None:
        reason = f"{what} contains a character that cannot be seen, U+{ord(character):04X}"
        raise SignallingError(reason, status=status)


def _finite(literal: str) -> float:
    """Read a number, or one of Python's constants NaN and Infinity, which are not JSON."""
    number = float(literal)
    if not math.isfinite(number):
        raise ValueError("number out of range")
    return number


def _deeper_than(value: dict[str, Any], depth: int) -> bool:
    """Return whether containers nest deeper than ``depth``; works by level, without recursion."""
    level: list[Any] = [value]
    for _ in range(depth):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, (dict, list))
        ]
        if not level:
            return False
    return True
