"""The hub: sessions, rooms, presence and the routing of messages.

Contract: every method that is told something returns the actions that follow from it,
in order; carrying them out completely before the next call is the caller's part. A
session exists from `Hub.open` until the socket is gone and `Hub.close` was called, or
until the hub itself said `Close`: from then on its frames are ignored.
"""

from __future__ import annotations

import secrets
import string
from collections import Counter
from typing import TYPE_CHECKING, Any

from icey.errors import SignallingError
from icey.signalling.actions import Close, Deliver, Left, Refused, ToServer
from icey.signalling.agenda import Agenda
from icey.signalling.counters import Counters
from icey.signalling.delivery import Delivery
from icey.signalling.limits import Limits, TokenBucket
from icey.signalling.messages import (
    PROTOCOL,
    PUBLIC_ROOM,
    Frame,
    check_room,
    decode,
    error_frame,
    extras_of,
    parse_auth,
)
from icey.signalling.names import skeleton
from icey.signalling.peers import Peer, ServerPeer
from icey.signalling.presence import Presence
from icey.signalling.roster import Roster
from icey.signalling.session import Session

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from icey.signalling.actions import HubAction
    from icey.signalling.agenda import Task
    from icey.signalling.messages import Auth

ROUTED = frozenset({"message", "command", "event"})

_ALPHABET = string.ascii_letters + string.digits

ANSWER_CHARACTERS = 4096
"""An answer to a probe is free of charge up to this; the extras of a presence fit in well."""

ADMITTED_AT_ONCE = 20
"""How many of those who wait for `public` enter it when there is room, each `ADMISSION_S`."""

ADMISSION_S = 1.0


class _LookalikeError(SignallingError):
    """A peer would read as the server."""

    def __init__(self, what: str) -> None:
        super().__init__(f"that {what} reads as the server's own", status=401)


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
        self._waiting: dict[str, float] = {}
        self._roster = Roster(server, self.limits.room_peers)
        self._sessions = self._roster.sessions
        self._rooms = self._roster.rooms
        self._agenda = Agenda()
        self._delivery = Delivery(self.limits, self.counters)
        self._presence = Presence(
            self.limits,
            roster=self._roster,
            delivery=self._delivery,
            agenda=self._agenda,
            counters=self.counters,
        )
        self._lookalikes = frozenset(
            skeleton(name) for name in (server.user, server.name, f"{server.user} {server.kind}")
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
        self._sessions[session] = Session(
            session,
            network,
            TokenBucket(self.limits.messages, self.limits.window_s, now),
            self._delivery.allowance(now),
            TokenBucket(self.limits.probes, self.limits.probes_window_s, now),
        )
        self._waiting[session] = deadline
        return session

    def receive(self, session: str, text: str, now: float) -> list[HubAction]:
        """Handle a text frame. Raises for no frame."""
        state = self._sessions.get(session)
        if state is None or state.closing:
            return []
        self.counters.received += 1
        if not state.bucket.take(now):
            return self._delivery.over_rate(state, now)
        # Four bytes a character at most: only a text that could be too long is measured.
        longest = self.limits.message_bytes
        if len(text) * 4 > longest and len(text.encode("utf-8", "surrogatepass")) > longest:
            return self.too_large(session, now)
        try:
            message = decode(text, self.limits)
        except SignallingError as error:
            return self._undecodable(state, error, now)
        free = self._presence.answers_probe(state, message) and len(text) <= ANSWER_CHARACTERS
        if free:
            state.bucket.give_back()
        return self._handle(state, message, now, free=free)

    def too_large(self, session: str, now: float = 0.0) -> list[HubAction]:
        """Handle a message that is longer than ``limits.message_bytes``."""
        state = self._sessions.get(session)
        if state is None or state.closing:
            return []
        message = f"message exceeds {self.limits.message_bytes} bytes"
        return self._undecodable(state, SignallingError(message, status=413), now)

    def close(self, session: str, *, lost: bool = False, now: float = 0.0) -> list[HubAction]:
        """Forget the session of a closed socket. Idempotent.

        Args:
            session: its id.
            lost: whether the socket broke without a goodbye.
            now: seconds, from a monotonic clock.
        """
        state = self._sessions.pop(session, None)
        if state is None:
            return []
        self._waiting.pop(session, None)
        return self._leave_all(state, lost=lost, now=now)

    def expire(self, now: float) -> list[HubAction]:
        """Do what is due: 408 for who did not authenticate in time, and what was put off."""
        actions: list[HubAction] = []
        # Insertion order is deadline order: every deadline lies equally far ahead.
        for session, deadline in list(self._waiting.items()):
            if deadline > now:
                break
            state = self._sessions[session]
            message = f"no auth within {self.limits.auth_timeout_s:g} s"
            actions.append(Deliver((session,), error_frame(408, message)))
            actions.extend(self._end(state, 1008, message, now))
        for task, session in self._agenda.due(now):
            actions.extend(self._do(task, session, now))
        return actions

    def next_deadline(self) -> float | None:
        """Return when `expire` has something to do next."""
        deadlines = (next(iter(self._waiting.values()), None), self._agenda.next)
        return min((at for at in deadlines if at is not None), default=None)

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
        return [self._delivery.say(state.id, Frame(body))]

    def _handle(
        self, state: Session, message: dict[str, Any], now: float, *, free: bool
    ) -> list[HubAction]:
        try:
            if state.peer is None:
                return self._authenticate(state, message, now)
            return self._dispatch(state, state.peer, message, now, free=free)
        except _LookalikeError as error:
            counted = Refused("serverNames", state.network, str(error))
            return [counted, *self._refuse(state, error, now)]
        except SignallingError as error:
            return self._refuse(state, error, now)

    def _refuse(self, state: Session, error: SignallingError, now: float) -> list[HubAction]:
        refusal = Deliver((state.id,), error_frame(error.status, str(error)))
        if state.peer is None:
            return [refusal, *self._end(state, 1008, str(error), now)]
        return [refusal]

    def _do(self, task: Task, session: str, now: float) -> list[HubAction]:
        if task == "admit":
            return self._admit(now)
        state = self._sessions.get(session)
        if state is None or state.peer is None:
            return []
        if task == "tell":
            return self._presence.tell_now(state, state.peer, now)
        return self._presence.answer_now(state, state.peer, now)

    # Entry and exit

    def _authenticate(self, state: Session, message: dict[str, Any], now: float) -> list[HubAction]:
        if message.get("type") != "auth":
            raise SignallingError("the first message must be auth", status=401)
        auth = parse_auth(message, self.limits)
        if not self._check_token(auth.token, state.network):
            raise SignallingError("wrong token", status=401)
        self._refuse_lookalike(auth)
        peer = Peer.from_auth(state.id, auth)
        if len(peer.rooms) > self.limits.rooms:
            raise SignallingError(f"more than {self.limits.rooms} rooms", status=400)
        displaced = self._displace(state.network) if self._rooms.is_full(PUBLIC_ROOM) else []
        # One that costs others too much by coming and going comes in later.
        paid = self._delivery.may_meet(state, now)
        full = [room for room in peer.rooms if not paid or self._rooms.is_full(room)]
        for room in full:
            del peer.rooms[room]
        state.peer = peer
        self._waiting.pop(state.id, None)
        for room in peer.rooms:
            self._rooms.enter(room, state.id)
        if PUBLIC_ROOM in full:
            self._roster.outside[state.id] = None
            if not paid:
                self._agenda.put_off(now + ADMISSION_S, "admit")
        welcome = Frame(
            {
                "type": "welcome",
                "protocol": PROTOCOL,
                "status": 200,
                "peer": peer.describe(),
                "rooms": list(peer.rooms),
            }
        )
        actions: list[HubAction] = [self._delivery.say(state.id, welcome)]
        actions += [self._delivery.refused_room(state.network) for _ in full]
        if asked := [room for room in full if room not in (PUBLIC_ROOM, peer.user)]:
            refusal = error_frame(503, f"no room for more peers in {', '.join(asked)}")
            actions.append(self._delivery.say(state.id, refusal))
        met = self._roster.in_sight(peer)
        self._delivery.charge_meeting(state, len(met), now)
        return [*displaced, *actions, *self._presence.introduce(peer, met)]

    def _refuse_lookalike(self, auth: Auth) -> None:
        for taken, what in ((auth.user, "user"), (auth.name, "name")):
            if skeleton(taken) in self._lookalikes:
                raise _LookalikeError(what)
        if skeleton(auth.kind) == skeleton(self.server.kind):
            raise _LookalikeError("peerType")

    def _admit(self, now: float) -> list[HubAction]:
        """Let those into `public` who have waited longest, as far as there is room."""
        actions: list[HubAction] = []
        for session in list(self._roster.outside)[:ADMITTED_AT_ONCE]:
            if self._rooms.is_full(PUBLIC_ROOM):
                return actions
            del self._roster.outside[session]
            peer = self._roster.peer(session)
            known = self._rooms.members(peer.rooms, but=session)
            known[self.server.id] = None
            peer.rooms[PUBLIC_ROOM] = None
            self._rooms.enter(PUBLIC_ROOM, session)
            present = self._rooms.members((PUBLIC_ROOM,), but=session)
            met = {s: None for s in present if s not in known}
            self._delivery.charge_meeting(self._sessions[session], len(met), now)
            actions += self._presence.introduce(peer, met)
        if self._roster.outside:
            self._agenda.put_off(now + ADMISSION_S, "admit")
        return actions

    def _displace(self, network: str) -> list[HubAction]:
        """Take a place in ``public`` from the network with the most, for one that has fewer."""
        inside = [
            self._sessions[s] for s in self._rooms.members((PUBLIC_ROOM,), but=self.server.id)
        ]
        taken = Counter(session.network for session in inside)
        largest, most = taken.most_common(1)[0]
        if most <= taken[network] + 1:
            return []
        newest = next(session.id for session in reversed(inside) if session.network == largest)
        peer = self._roster.peer(newest)
        was = self._rooms.members((PUBLIC_ROOM,), but=newest)
        del peer.rooms[PUBLIC_ROOM]
        self._rooms.leave(PUBLIC_ROOM, newest)
        self._roster.outside[newest] = None
        still = self._rooms.members(peer.rooms, but=newest)
        parted = {session: None for session in was if session not in still}
        refused = self._delivery.refused_room(largest)
        return [refused, *self._presence.part(peer, parted, stays=True)]

    def _end(self, state: Session, code: int, reason: str, now: float) -> list[HubAction]:
        """Close a session from this side; its socket may take a while to follow."""
        state.closing = True
        self._waiting.pop(state.id, None)
        return [Close(state.id, code, reason), *self._leave_all(state, lost=False, now=now)]

    def _leave_all(self, state: Session, *, lost: bool, now: float) -> list[HubAction]:
        peer = state.peer
        if peer is None:
            return []
        state.peer = None
        self._roster.outside.pop(state.id, None)
        others = self._rooms.members(peer.rooms, but=state.id)
        for room in list(peer.rooms):
            self._leave_room(room, state.id, now)
        return [Left(peer.address, lost), *self._presence.part(peer, others, stays=False)]

    def _leave_room(self, room: str, session: str, now: float) -> None:
        if room == PUBLIC_ROOM and self._roster.outside and self._rooms.is_full(room):
            # Not at once: where a crowd leaves, most of those who wait leave next.
            self._agenda.put_off(now + ADMISSION_S, "admit")
        self._rooms.leave(room, session)

    # Messages

    def _dispatch(
        self, state: Session, peer: Peer, message: dict[str, Any], now: float, *, free: bool
    ) -> list[HubAction]:
        kind = message.get("type")
        if kind == "presence":
            return self._told_presence(state, peer, message, now, free=free)
        if kind == "join":
            return self._join(state, peer, check_room(message.get("room"), self.limits), now)
        if kind == "leave":
            return self._leave(peer, check_room(message.get("room"), self.limits), now)
        if kind == "close":
            return self._end(state, 1000, "", now)
        # An unknown type may be unhashable as well as unknown: `{"type": []}`.
        if isinstance(kind, str) and kind in ROUTED:
            return self._route(state, peer, {**message, "from": peer.address}, now)
        return []

    def _join(self, state: Session, peer: Peer, room: str, now: float) -> list[HubAction]:
        actions: list[HubAction] = []
        if room not in peer.rooms:
            if len(peer.rooms) >= self.limits.rooms:
                raise SignallingError(f"more than {self.limits.rooms} rooms", status=400)
            if self._rooms.is_full(room):
                reason = f"no room for more than {self.limits.room_peers} peers in it"
                full = error_frame(503, reason)
                return [
                    self._delivery.refused_room(state.network),
                    self._delivery.say(peer.id, full),
                ]
            if refusal := self._delivery.refuse_unpaid(state, now):
                return refusal
            known = self._roster.in_sight(peer)
            newly = [s for s in self._rooms.members((room,), but=peer.id) if s not in known]
            if room == PUBLIC_ROOM:
                self._roster.outside.pop(peer.id, None)
            peer.rooms[room] = None
            self._rooms.enter(room, peer.id)
            self._delivery.charge_meeting(state, len(newly), now)
            actions = self._presence.introduce(peer, dict.fromkeys(newly))
        acknowledged = Frame({"type": "join:ok", "room": room})
        return [self._delivery.say(peer.id, acknowledged), *actions]

    def _leave(self, peer: Peer, room: str, now: float) -> list[HubAction]:
        if room == peer.user:
            raise SignallingError("a peer stays in the room of its own name", status=400)
        actions: list[HubAction] = [
            self._delivery.say(peer.id, Frame({"type": "leave:ok", "room": room}))
        ]
        if room == PUBLIC_ROOM:
            self._roster.outside.pop(peer.id, None)
        if room not in peer.rooms:
            return actions
        was = self._rooms.members((room,), but=peer.id)
        del peer.rooms[room]
        self._leave_room(room, peer.id, now)
        still = self._rooms.members(peer.rooms, but=peer.id)
        parted = {session: None for session in was if session not in still}
        return [*actions, *self._presence.part(peer, parted, stays=True)]

    def _route(
        self,
        state: Session,
        peer: Peer,
        message: dict[str, Any],
        now: float,
        *,
        free: bool = False,
    ) -> list[HubAction]:
        members, rank = self._roster.recipients(peer, message.get("to"))
        to_server = self.server.id in members
        members.pop(self.server.id, None)
        actions: list[HubAction] = []
        if members:
            actions = self._delivery.pass_on(
                state, tuple(members), Frame(message), rank, now, free=free
            )
        elif not to_server:
            self.counters.unroutable += 1
        if to_server:
            actions.extend(self._answer(peer, message, state.network))
        return actions

    def _answer(self, peer: Peer, message: dict[str, Any], network: str) -> list[HubAction]:
        """Handle a message that reached the server's own peer: calls."""
        subtype = message.get("subtype")
        if message["type"] != "message" or not isinstance(subtype, str):
            return []
        # A call is for whom it names; one that is shouted into a room is not for the server.
        names = (self.server.address, self.server.id, self.server.user)
        if not subtype.startswith("call:") or message.get("to") not in names:
            return []
        return [ToServer(peer.address, message, network)]

    def _told_presence(
        self, state: Session, peer: Peer, message: dict[str, Any], now: float, *, free: bool
    ) -> list[HubAction]:
        data = message.get("data")
        if data is None:
            extras = peer.extras
        elif isinstance(data, dict):
            extras = extras_of(data, self.limits)
        else:
            raise SignallingError("data must be an object", status=400)
        to = message.get("to")
        # What is said to one peer alone is not for those who come later.
        if to is None and data is not None:
            peer.set_extras(extras)
        described = peer.describe(extras=extras)
        message = {**message, "from": peer.address, "data": described}
        if message.get("probe") is True:
            return self._presence.probe(state, peer, message, now)
        if to is None:
            return self._presence.tell(state, peer, message, now)
        return self._route(state, peer, message, now, free=free)

    # Refusals

    def _undecodable(self, state: Session, error: SignallingError, now: float) -> list[HubAction]:
        self.counters.broken += 1
        state.broken += 1
        actions: list[HubAction] = [Deliver((state.id,), error_frame(error.status, str(error)))]
        if error.status == 413:
            actions.extend(self._end(state, 1009, str(error), now))
        elif state.peer is None or state.broken >= self.limits.broken_messages:
            actions.extend(self._end(state, 1008, str(error), now))
        return actions
