"""The bounds of the signalling protocol, and the token bucket for the rate of messages."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Every bound of the signalling protocol, in one place; `docs/protocol.md` lists them.

    Attributes:
        message_bytes: the largest message, in bytes of UTF-8; a larger one is ``error`` 413.
        messages: how many messages a peer may send at once (the size of its bucket).
        window_s: seconds in which an empty bucket is full again.
        error_interval_s: seconds between two ``error`` 429 to one peer.
        auth_timeout_s: seconds until an unauthenticated socket is told 408 and closed.
        broken_messages: how many frames that are not JSON objects a peer may send before it
            is closed.
        queue_bytes: bytes that may wait for a slow reader before it is disconnected.
        sockets: WebSockets open at a time, authenticated or not; a further one gets 503.
        rooms: rooms that one peer is in at a time, its own and ``public`` included.
        name_characters: the longest user and room name.
        display_characters: the longest display name and peer type.
        extras_bytes: the serialised extras of one peer's presence. They are sent to every
            newcomer, so 500 peers must fit into one reader's queue.
        depth: how deeply objects and arrays may nest.
    """

    message_bytes: int = 64 * 1024
    messages: int = 100
    window_s: float = 10.0
    error_interval_s: float = 1.0
    auth_timeout_s: float = 10.0
    broken_messages: int = 10
    queue_bytes: int = 1024 * 1024
    sockets: int = 2048
    rooms: int = 32
    name_characters: int = 64
    display_characters: int = 128
    extras_bytes: int = 1024
    depth: int = 32


class TokenBucket:
    """Allows ``capacity`` at once and ``capacity`` in each ``window_s`` after that."""

    __slots__ = ("_capacity", "_level", "_rate", "_updated")

    def __init__(self, capacity: int, window_s: float, now: float) -> None:
        self._capacity = float(capacity)
        self._rate = capacity / window_s
        self._level = self._capacity
        self._updated = now

    def take(self, now: float) -> bool:
        """Take one token; False means that there was none."""
        elapsed = max(0.0, now - self._updated)
        self._level = min(self._capacity, self._level + elapsed * self._rate)
        self._updated = max(now, self._updated)
        if self._level < 1.0:
            return False
        self._level -= 1.0
        return True
