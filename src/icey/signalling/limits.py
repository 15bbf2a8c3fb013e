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
        queue_bytes: bytes that may wait for a slow reader before it is disconnected. Of these, what
            peers send into rooms takes a quarter at most, and what they send to it alone another.
        receiver_bytes: bytes a second that one socket is sent of what other peers send and are,
            after ``receiver_window_s`` worth of them at once; 0 is no bound.
        receiver_window_s: see there.
        sender_bytes: bytes a second that a socket's messages may cost at all their receivers
            together, after ``sender_window_s`` worth of them at once; 0 is no bound.
        sender_window_s: see there.
        network_senders: how many such budgets all sockets of one network share.
        delivery_bytes: what a message costs its sender at each receiver at least.
        meeting_bytes: what an entry costs for each presence that is shown for it, both ways. Less
            than a message, as presence is merged and paced where it is sent.
        room_peers: peers in one room, the server not counted; 0 is no bound.
        presence_interval_s: seconds between two presences of a peer that others are told.
        probes: how many probes a peer is passed in ``probes_window_s``; the server answers others
            in its place.
        probes_window_s: see there.
        probe_interval_s: seconds between two probes into rooms by one peer that are passed on.
        sockets: WebSockets open at a time, authenticated or not; a further one gets 503.
        rooms: rooms that one peer is in at a time, its own and ``public`` included.
        name_characters: the longest user and room name.
        display_characters: the longest display name and peer type.
        extras_bytes: the serialised extras of one peer's presence, which every newcomer is sent.
        depth: how deeply objects and arrays may nest.
    """

    message_bytes: int = 64 * 1024
    messages: int = 100
    window_s: float = 10.0
    error_interval_s: float = 1.0
    auth_timeout_s: float = 10.0
    broken_messages: int = 10
    queue_bytes: int = 1024 * 1024
    receiver_bytes: int = 32 * 1024
    receiver_window_s: float = 2.0
    sender_bytes: int = 256 * 1024
    sender_window_s: float = 8.0
    network_senders: int = 4
    delivery_bytes: int = 256
    meeting_bytes: int = 16
    room_peers: int = 500
    presence_interval_s: float = 1.0
    probes: int = 10
    probes_window_s: float = 10.0
    probe_interval_s: float = 5.0
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

    def give_back(self) -> None:
        """Put back a token that was taken."""
        self._level = min(self._capacity, self._level + 1.0)
