"""Who is there, and who sees whom."""

from __future__ import annotations

from typing import TYPE_CHECKING

from icey.errors import SignallingError
from icey.signalling.actions import Rank
from icey.signalling.messages import PUBLIC_ROOM
from icey.signalling.rooms import Rooms

if TYPE_CHECKING:
    from collections.abc import Iterable

    from icey.signalling.peers import Peer, ServerPeer
    from icey.signalling.session import Session


class Roster:
    """Sessions and rooms, the server's own peer among them.

    Args:
        server: that peer.
        room_peers: peers in one room, the server not counted; 0 is no bound.

    Attributes:
        sessions: all of them by their ids.
        rooms: who is in which.
        outside: peers that wait for a place in ``public``, longest first. They see the server as if
            they were in it.
    """

    def __init__(self, server: ServerPeer, room_peers: int) -> None:
        self.server = server
        self.sessions: dict[str, Session] = {}
        self.rooms = Rooms(room_peers, server.id, server.rooms)
        self.outside: dict[str, None] = {}

    def peer(self, session: str) -> Peer:
        """Return the peer of a session that is in a room."""
        peer = self.sessions[session].peer
        if peer is None:  # members of rooms are authenticated; anything else is a bug here
            raise RuntimeError(f"session {session} is in a room without being a peer")
        return peer

    def in_sight(self, peer: Peer, rooms: Iterable[str] | None = None) -> dict[str, None]:
        """Return whom a peer sees in these of its rooms, in all of them where none is named."""
        named = peer.rooms if rooms is None else list(rooms)
        found = self.rooms.members((room for room in named if room in peer.rooms), but=peer.id)
        if peer.id in self.outside and (rooms is None or PUBLIC_ROOM in named):
            found[self.server.id] = None
        return found

    def recipients(self, peer: Peer, to: object) -> tuple[dict[str, None], Rank]:
        """Return who gets a message, never the sender, and how it ranks with them.

        Raises:
            SignallingError: 400, ``to`` is neither an address, a room nor a list of rooms.
        """
        if to is None:
            return self.in_sight(peer), Rank.ROOM
        if isinstance(to, str):
            session = self._resolve(to)
            if session is None:
                return self.in_sight(peer, (to,)), Rank.ROOM
            return ({session: None} if self._may_reach(peer, session) else {}), Rank.DIRECT
        if isinstance(to, list) and all(isinstance(room, str) for room in to):
            return self.in_sight(peer, to), Rank.ROOM
        raise SignallingError("to must be an address, a room or a list of rooms", status=400)

    def _resolve(self, to: str) -> str | None:
        """Return the session that ``user|id`` or a bare id names, or None."""
        user, bar, session = to.rpartition("|")
        if session == self.server.id:
            return session if not bar or user == self.server.user else None
        state = self.sessions.get(session)
        if state is None or state.peer is None:
            return None
        return session if not bar or user == state.peer.user else None

    def _may_reach(self, peer: Peer, session: str) -> bool:
        if session == peer.id:
            return False
        if session == self.server.id:
            return peer.id in self.outside or any(r in peer.rooms for r in self.server.rooms)
        return not peer.rooms.keys().isdisjoint(self.peer(session).rooms)
