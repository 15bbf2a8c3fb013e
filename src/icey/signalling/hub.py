"""The hub: sessions, rooms, presence and the routing of messages.

Contract: every method that is told something returns the actions that follow from it,
in order; carrying them out completely before the next call is the caller's part. A
session exists from `Hub.open` until the socket is gone and `Hub.close` was called, or
until the hub itself said `Close`: from then on its frames are ignored.
"""

from __future__ import annotations

import secrets
import string
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from icey.errors import SignallingError
from icey.signalling.limits import Limits, TokenBucket
from icey.signalling.messages import (
    PROTOCOL,
    Frame,
    check_room,
    decode,
    error_frame,
    extras_of,
    parse_auth,
)
from icey.signalling.peers import Peer, ServerPeer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

ROUTED = frozenset({"message", "command", "event"})

_ALPHABET = string.ascii_letters + string.digits


@dataclass(frozen=True, slots=True)
class Deliver:
    """Send ``frame`` to each of these sessions."""

    to: tuple[str, ...]
    frame: Frame


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
    """An authenticated peer is gone: end what it had with the server."""

    address: str


@dataclass(frozen=True, slots=True)
class Close:
    """Close this session's socket with a WebSocket close code (RFC 6455 §7.4.1)."""

    session: str
    code: int
    reason: str


HubAction: TypeAlias = Deliver | ToServer | Left | Close


@dataclass(slots=True)
class Counters:
    """What the hub has seen since its start; these only grow. `/api/status` shows all of them.

    Attributes:
        received: text frames of peers.
        delivered: frames that were sent, each receiver counted.
        unroutable: messages whose receiver is not there, or not in reach.
        broken: received frames that are no message.
        over_rate: received frames that were ignored: too many in a short time.
        refused: sockets that were refused, as there were too many.
    """

    received: int = 0
    delivered: int = 0
    unroutable: int = 0
    broken: int = 0
    over_rate: int = 0
    refused: int = 0


@dataclass(slots=True)
class _Session:
    id: str
    network: str
    bucket: TokenBucket
    peer: Peer | None = None
    closing: bool = False
    broken: int = 0
    warned_at: float = float("-inf")


def random_id() -> str:
    """Return a session id: 16 letters and digits, 95 bits."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(16))


class Hub:
    """Keeps sessions and rooms, and routes messages between peers.

    Args:
        server: the server's own peer.
        check_token: says whether an access token of a network (`icey.network.network_of`) is right;
            must take constant time, and may raise a `SignallingError`.
        limits: the bounds on what peers may do.
        new_id: makes a fresh session id.
    """

    def __init__(
        self,
        server: ServerPeer,
        *,
        check_token: Callable[[str, str], bool],
        limits: Limits | None = None,
        new_id: Callable[[], str] = random_id,
    ) -> None:
        self.server = server
        self.limits = limits or Limits()
        self.counters = Counters()
        self._check_token = check_token
        self._new_id = new_id
        self._sessions: dict[str, _Session] = {}
        self._waiting: dict[str, float] = {}
        self._rooms: dict[str, dict[str, None]] = {room: {server.id: None} for room in server.rooms}
        self._server_presence = Frame(
            {"type": "presence", "from": server.address, "data": server.presence_data()}
        )

    @property
    def sessions(self) -> int:
        """Sockets open now, authenticated or not."""
        return len(self._sessions)

    @property
    def peers(self) -> int:
        """Authenticated peers, the server not among them."""
        return len(self._sessions) - len(self._waiting)

    def open(self, now: float, network: str = "") -> str | None:
        """Open a session for a socket; return its id, or None where the server is full.

        Args:
            now: seconds, from a monotonic clock.
            network: where the socket comes from (`icey.network.network_of`).
        """
        if len(self._sessions) >= self.limits.sockets:
            self.counters.refused += 1
            return None
        session = self._new_id()
        while session in self._sessions or session == self.server.id:
            session = self._new_id()
        deadline = now + self.limits.auth_timeout_s
        bucket = TokenBucket(self.limits.messages, self.limits.window_s, now)
        self._sessions[session] = _Session(session, network, bucket)
        self._waiting[session] = deadline
        return session

    def receive(self, session: str, text: str, now: float) -> list[HubAction]:
        """Handle a text frame. Raises for no frame."""
        state = self._sessions.get(session)
        if state is None or state.closing:
            return []
        self.counters.received += 1
        if not state.bucket.take(now):
            return self._over_rate(state, now)
        # Four bytes a character at most: only a text that could be too long is measured.
        longest = self.limits.message_bytes
        if len(text) * 4 > longest and len(text.encode("utf-8", "surrogatepass")) > longest:
            return self.too_large(session)
        try:
            message = decode(text, self.limits)
        except SignallingError as error:
            return self._undecodable(state, error)
        return self._handle(state, message)

    def too_large(self, session: str) -> list[HubAction]:
        """Handle a message that is longer than ``limits.message_bytes``."""
        state = self._sessions.get(session)
        if state is None or state.closing:
            return []
        message = f"message exceeds {self.limits.message_bytes} bytes"
        return self._undecodable(state, SignallingError(message, status=413))

    def close(self, session: str) -> list[HubAction]:
        """Forget the session of a closed socket. Idempotent."""
        state = self._sessions.pop(session, None)
        if state is None:
            return []
        self._waiting.pop(session, None)
        return self._leave_all(state)

    def expire(self, now: float) -> list[HubAction]:
        """Send 408 to sockets that did not authenticate in time, and close them."""
        actions: list[HubAction] = []
        # Insertion order is deadline order: every deadline lies equally far ahead.
        for session, deadline in list(self._waiting.items()):
            if deadline > now:
                break
            state = self._sessions[session]
            message = f"no auth within {self.limits.auth_timeout_s:g} s"
            actions.append(Deliver((session,), error_frame(408, message)))
            actions.extend(self._end(state, 1008, message))
        return actions

    def next_deadline(self) -> float | None:
        """Return when `expire` has something to do next."""
        return next(iter(self._waiting.values()), None)

    def send(self, to: str, message: Mapping[str, Any]) -> list[HubAction]:
        """Send a message as the server's peer; a receiver who has left gets nothing.

        Server messages carry no ``id``: a stock client takes one for a reply to a request.
        """
        state = self._sessions.get(to.rpartition("|")[2])
        if state is None or state.peer is None or state.peer.address != to or state.closing:
            self.counters.unroutable += 1
            return []
        body = {key: value for key, value in message.items() if key != "id"}
        body["from"] = self.server.address
        body["to"] = to
        return [self._deliver((state.id,), Frame(body))]

    def _handle(self, state: _Session, message: dict[str, Any]) -> list[HubAction]:
        try:
            if state.peer is None:
                return self._authenticate(state, message)
            return self._dispatch(state, state.peer, message)
        except SignallingError as error:
            refusal = Deliver((state.id,), error_frame(error.status, str(error)))
            if state.peer is None:
                return [refusal, *self._end(state, 1008, str(error))]
            return [refusal]

    # Entry and exit

    def _authenticate(self, state: _Session, message: dict[str, Any]) -> list[HubAction]:
        if message.get("type") != "auth":
            raise SignallingError("the first message must be auth", status=401)
        auth = parse_auth(message, self.limits)
        if not self._check_token(auth.token, state.network):
            raise SignallingError("wrong token", status=401)
        if auth.user.casefold() == self.server.user.casefold() or auth.kind == self.server.kind:
            raise SignallingError("that user or type is the server's own", status=401)
        peer = Peer.from_auth(state.id, auth)
        if len(peer.rooms) > self.limits.rooms:
            raise SignallingError(f"more than {self.limits.rooms} rooms", status=400)
        state.peer = peer
        self._waiting.pop(state.id, None)
        for room in peer.rooms:
            self._rooms.setdefault(room, {})[state.id] = None
        welcome = Frame(
            {
                "type": "welcome",
                "protocol": PROTOCOL,
                "status": 200,
                "peer": peer.describe(),
                "rooms": list(peer.rooms),
            }
        )
        present = self._members(peer.rooms, but=state.id)
        return [self._deliver((state.id,), welcome), *self._introduce(peer, present)]

    def _introduce(self, peer: Peer, present: Iterable[str]) -> list[HubAction]:
        """Send a peer's presence to those present, and theirs to the peer."""
        actions: list[HubAction] = []
        others = []
        for session in present:
            if session == self.server.id:
                actions.append(self._deliver((peer.id,), self._server_presence))
                continue
            others.append(session)
            actions.append(self._deliver((peer.id,), self._peer(session).presence()))
        if others:
            actions.append(self._deliver(tuple(others), peer.presence()))
        return actions

    def _end(self, state: _Session, code: int, reason: str) -> list[HubAction]:
        """Close a session from this side; its socket may take a while to follow."""
        state.closing = True
        self._waiting.pop(state.id, None)
        return [Close(state.id, code, reason), *self._leave_all(state)]

    def _leave_all(self, state: _Session) -> list[HubAction]:
        peer = state.peer
        if peer is None:
            return []
        state.peer = None
        others = self._members(peer.rooms, but=state.id)
        others.pop(self.server.id, None)
        for room in peer.rooms:
            self._leave_room(room, state.id)
        actions: list[HubAction] = [Left(peer.address)]
        if others:
            actions.append(self._deliver(tuple(others), peer.farewell()))
        return actions

    def _leave_room(self, room: str, session: str) -> None:
        members = self._rooms[room]
        del members[session]
        if not members:
            del self._rooms[room]

    # Messages

    def _dispatch(self, state: _Session, peer: Peer, message: dict[str, Any]) -> list[HubAction]:
        kind = message.get("type")
        if kind == "presence":
            return self._presence(peer, message)
        if kind == "join":
            return self._join(peer, check_room(message.get("room"), self.limits))
        if kind == "leave":
            return self._leave(peer, check_room(message.get("room"), self.limits))
        if kind == "close":
            return self._end(state, 1000, "")
        # An unknown type may be unhashable as well as unknown: `{"type": []}`.
        if isinstance(kind, str) and kind in ROUTED:
            return self._route(peer, {**message, "from": peer.address})
        return []

    def _presence(self, peer: Peer, message: dict[str, Any]) -> list[HubAction]:
        data = message.get("data")
        if data is None:
            extras = peer.extras
        elif isinstance(data, dict):
            extras = extras_of(data, self.limits)
        else:
            raise SignallingError("data must be an object", status=400)
        # What is said to one peer alone is not for those who come later.
        if message.get("to") is None and data is not None:
            peer.set_extras(extras)
        described = peer.describe(extras=extras)
        return self._route(peer, {**message, "from": peer.address, "data": described})

    def _join(self, peer: Peer, room: str) -> list[HubAction]:
        actions: list[HubAction] = []
        if room not in peer.rooms:
            if len(peer.rooms) >= self.limits.rooms:
                raise SignallingError(f"more than {self.limits.rooms} rooms", status=400)
            known = self._members(peer.rooms, but=peer.id)
            newly = [s for s in self._members((room,), but=peer.id) if s not in known]
            peer.rooms[room] = None
            self._rooms.setdefault(room, {})[peer.id] = None
            actions = self._introduce(peer, newly)
        acknowledged = Frame({"type": "join:ok", "room": room})
        return [self._deliver((peer.id,), acknowledged), *actions]

    def _leave(self, peer: Peer, room: str) -> list[HubAction]:
        if room == peer.user:
            raise SignallingError("a peer stays in the room of its own name", status=400)
        actions: list[HubAction] = [
            self._deliver((peer.id,), Frame({"type": "leave:ok", "room": room}))
        ]
        if room not in peer.rooms:
            return actions
        was = self._members((room,), but=peer.id)
        del peer.rooms[room]
        self._leave_room(room, peer.id)
        still = self._members(peer.rooms, but=peer.id)
        parted = tuple(s for s in was if s not in still and s != self.server.id)
        if parted:
            actions.append(self._deliver(parted, peer.farewell()))
            actions.extend(
                self._deliver((peer.id,), self._peer(session).farewell()) for session in parted
            )
        return actions

    def _route(self, peer: Peer, message: dict[str, Any]) -> list[HubAction]:
        members = self._recipients(peer, message.get("to"))
        to_server = self.server.id in members
        members.pop(self.server.id, None)
        actions: list[HubAction] = []
        if members:
            actions.append(self._deliver(tuple(members), Frame(message)))
        elif not to_server:
            self.counters.unroutable += 1
        if to_server:
            actions.extend(self._answer(peer, message))
        return actions

    def _recipients(self, peer: Peer, to: object) -> dict[str, None]:
        """Return who gets a message; never the sender.

        Raises:
            SignallingError: 400, ``to`` is neither an address, a room nor a list of rooms.
        """
        if to is None:
            return self._members(peer.rooms, but=peer.id)
        if isinstance(to, str):
            session = self._resolve(to)
            if session is not None:
                return {session: None} if self._may_reach(peer, session) else {}
            return self._members((to,), but=peer.id) if to in peer.rooms else {}
        if isinstance(to, list) and all(isinstance(room, str) for room in to):
            return self._members((room for room in to if room in peer.rooms), but=peer.id)
        raise SignallingError("to must be an address, a room or a list of rooms", status=400)

    def _resolve(self, to: str) -> str | None:
        """Return the session that ``user|id`` or a bare id names, or None."""
        user, bar, session = to.rpartition("|")
        if session == self.server.id:
            return session if not bar or user == self.server.user else None
        state = self._sessions.get(session)
        if state is None or state.peer is None:
            return None
        return session if not bar or user == state.peer.user else None

    def _may_reach(self, peer: Peer, session: str) -> bool:
        if session == peer.id:
            return False
        if session == self.server.id:
            return any(room in peer.rooms for room in self.server.rooms)
        return not peer.rooms.keys().isdisjoint(self._peer(session).rooms)

    def _answer(self, peer: Peer, message: dict[str, Any]) -> list[HubAction]:
        """Handle a message that reached the server's own peer."""
        kind = message["type"]
        if kind == "presence":
            if message.get("probe") is not True:
                return []
            return self.send(peer.address, self._server_presence.message)
        subtype = message.get("subtype")
        if kind != "message" or not isinstance(subtype, str) or not subtype.startswith("call:"):
            return []
        # A call is for whom it names; one that is shouted into a room is not for the server.
        if message.get("to") not in (self.server.address, self.server.id, self.server.user):
            return []
        return [ToServer(peer.address, message, self._sessions[peer.id].network)]

    # Refusals

    def _over_rate(self, state: _Session, now: float) -> list[HubAction]:
        self.counters.over_rate += 1
        if now - state.warned_at < self.limits.error_interval_s:
            return []
        state.warned_at = now
        message = f"more than {self.limits.messages} messages in {self.limits.window_s:g} s"
        return [Deliver((state.id,), error_frame(429, message))]

    def _undecodable(self, state: _Session, error: SignallingError) -> list[HubAction]:
        self.counters.broken += 1
        state.broken += 1
        actions: list[HubAction] = [Deliver((state.id,), error_frame(error.status, str(error)))]
        if error.status == 413:
            actions.extend(self._end(state, 1009, str(error)))
        elif state.peer is None or state.broken >= self.limits.broken_messages:
            actions.extend(self._end(state, 1008, str(error)))
        return actions

    # Look-ups

    def _members(self, rooms: Iterable[str], *, but: str) -> dict[str, None]:
        found: dict[str, None] = {}
        for room in rooms:
            found.update(self._rooms.get(room, {}))
        found.pop(but, None)
        return found

    def _peer(self, session: str) -> Peer:
        peer = self._sessions[session].peer
        if peer is None:  # members of rooms are authenticated; anything else is a bug here
            raise RuntimeError(f"session {session} is in a room without being a peer")
        return peer

    def _deliver(self, to: tuple[str, ...], frame: Frame) -> Deliver:
        self.counters.delivered += len(to)
        return Deliver(to, frame)
