"""Who is in which room."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


class Rooms:
    """The rooms with their members by session, in the order of entry.

    A room is there while somebody is in it.

    Args:
        most: members of a room, the server not counted; 0 is no bound.
        server: the session of the server's own peer.
        its: the rooms that it is in, for ever.
    """

    def __init__(self, most: int, server: str, its: Iterable[str]) -> None:
        self._most = most
        self._server = server
        self._members: dict[str, dict[str, None]] = {room: {server: None} for room in its}

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names of the rooms."""
        return iter(self._members)

    def is_full(self, room: str) -> bool:
        """Return whether nobody more can enter a room."""
        return bool(self._most) and self.size(room) >= self._most

    def size(self, room: str) -> int:
        """Return how many are in a room, the server not counted."""
        members = self._members.get(room, {})
        return len(members) - (self._server in members)

    def enter(self, room: str, session: str) -> None:
        """Let a session in, full or not."""
        self._members.setdefault(room, {})[session] = None

    def leave(self, room: str, session: str) -> None:
        """Take a member out."""
        members = self._members[room]
        del members[session]
        if not members:
            del self._members[room]

    def members(self, rooms: Iterable[str], *, but: str) -> dict[str, None]:
        """Return who is in any of these rooms, each once."""
        found: dict[str, None] = {}
        for room in rooms:
            found.update(self._members.get(room, {}))
        found.pop(but, None)
        return found
