"""What follows from what the hub is told: the gateway carries it out."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    from icey.signalling.messages import Frame


class Rank(IntEnum):
    """Which messages give way where a receiver's queue is full: the highest first."""

    OWN = 0
    """The server's own: answers, calls, events. They are never dropped."""
    DIRECT = 1
    """Of a peer to this receiver alone."""
    ROOM = 2
    """Of a peer to a room."""


@dataclass(frozen=True, slots=True)
class Deliver:
    """Send ``frame`` to each of these sessions; ``sender`` is the session of a peer's message."""

    to: tuple[str, ...]
    frame: Frame
    rank: Rank = Rank.OWN
    sender: str = ""


Change: TypeAlias = Literal["new", "changed", "gone"]


@dataclass(frozen=True, slots=True)
class Show:
    """Tell each of these sessions how these peers are now.

    Only the newest presence of a peer matters, so older ones that still wait are not sent.

    Attributes:
        to: sessions.
        shown: the session of a peer, and its presence.
        change: ``new`` to the receivers, ``changed``, or ``gone``.
    """

    to: tuple[str, ...]
    shown: tuple[tuple[str, Frame], ...]
    change: Change


@dataclass(frozen=True, slots=True)
class ToServer:
    """Give the server's own peer a ``call:*`` message; ``sender`` is ``user|id``.

    ``network`` is where its socket comes from (`icey.network.network_of`).
    """

    sender: str
    message: dict[str, Any]
    network: str = ""


@dataclass(frozen=True, slots=True)
class Left:
    """An authenticated peer is gone: end what it had with the server.

    ``lost``: its socket broke without a goodbye, so that it may come back.
    """

    address: str
    lost: bool = False


@dataclass(frozen=True, slots=True)
class Close:
    """Close this session's socket with a WebSocket close code (RFC 6455 §7.4.1)."""

    session: str
    code: int
    reason: str


@dataclass(frozen=True, slots=True)
class Refused:
    """Count and log a refusal (`icey.refusals.Refusals.count`)."""

    what: str
    network: str
    reason: str


HubAction: TypeAlias = Deliver | Show | ToServer | Left | Close | Refused
