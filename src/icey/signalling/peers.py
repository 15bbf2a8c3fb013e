"""The peers in the rooms, the server's own among them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from icey.signalling.messages import PUBLIC_ROOM, Auth, Frame

SERVER_USER = "icey"
SERVER_ID = "server"

CAPABILITIES: dict[str, tuple[str, ...]] = {
    "stream": ("view",),
    "record": ("publish",),
    "relay": ("publish", "view"),
}
"""What a caller can do in each mode."""


@dataclass(frozen=True, slots=True)
class ServerPeer:
    """The server as a peer that anyone can call."""

    mode: str
    id: str = SERVER_ID
    user: str = SERVER_USER
    name: str = SERVER_USER
    kind: str = "server"

    @property
    def address(self) -> str:
        """``user|id``."""
        return f"{self.user}|{self.id}"

    @property
    def rooms(self) -> tuple[str, ...]:
        """The rooms the server is in."""
        return (self.user, PUBLIC_ROOM)

    def presence_data(self) -> dict[str, Any]:
        """Return the ``data`` of the server's presence."""
        return {
            "id": self.id,
            "user": self.user,
            "name": self.name,
            "type": self.kind,
            "online": True,
            "mode": self.mode,
            "capabilities": list(CAPABILITIES[self.mode]),
        }


@dataclass(slots=True)
class Peer:
    """An authenticated session.

    ``rooms`` keeps the order of entry, own room first; its values are unused.
    """

    id: str
    user: str
    name: str
    kind: str
    extras: dict[str, Any]
    rooms: dict[str, None]
    _presence: Frame | None = field(default=None, init=False, repr=False)

    @classmethod
    def from_auth(cls, session: str, auth: Auth) -> Peer:
        """Make the peer that an accepted ``auth`` frame describes."""
        rooms = dict.fromkeys((auth.user, PUBLIC_ROOM, *auth.rooms))
        return cls(session, auth.user, auth.name, auth.kind, auth.extras, rooms)

    @property
    def address(self) -> str:
        """``user|id``."""
        return f"{self.user}|{self.id}"

    def describe(
        self, *, online: bool = True, extras: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """Return the peer as the ``data`` of a presence and the ``peer`` of ``welcome`` have it.

        Reserved fields come last, so that no extra can stand in for one of them.
        """
        return {
            **(self.extras if extras is None else extras),
            "id": self.id,
            "user": self.user,
            "name": self.name,
            "type": self.kind,
            "online": online,
        }

    def set_extras(self, extras: dict[str, Any]) -> None:
        """Replace the extras that later snapshots show."""
        self.extras = extras
        self._presence = None

    def presence(self) -> Frame:
        """Return the presence for newcomers; the same object until the extras change."""
        if self._presence is None:
            self._presence = Frame(
                {"type": "presence", "from": self.address, "data": self.describe()}
            )
        return self._presence

    def farewell(self) -> Frame:
        """Return the presence of a peer that has left."""
        return Frame(
            {"type": "presence", "from": self.address, "data": self.describe(online=False)}
        )
