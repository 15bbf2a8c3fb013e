"""Connects sockets, hub and sessions: carries out the actions of the hub.

Contract: everything here runs on the event loop and nothing waits. A frame is made into
bytes once and given to each socket, which has a queue of its own, so that nobody waits for a
slow reader. Presence that goes to many is written some times a second, not peer by peer.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Protocol

from pydantic.alias_generators import to_camel

from icey.server.outbox import wire_of
from icey.signalling.actions import Close, Deliver, Left, Rank, Refused, Show, ToServer

if TYPE_CHECKING:
    from collections.abc import Iterable

    from icey.refusals import Refusals
    from icey.sessions.calls import Calls
    from icey.signalling.actions import Change, HubAction
    from icey.signalling.hub import Hub
    from icey.signalling.messages import Frame

log = logging.getLogger(__name__)

GOING_AWAY = 1001

PRESENCE_INTERVAL_S = 0.1
"""How often presence that goes to many is written."""

SLICE_SOCKETS = 50
"""Sockets that are written to in one go, so that a crowd leaves the loop to the others."""


class Socket(Protocol):
    """A connection as the gateway uses it."""

    def send(self, wire: bytes) -> None:
        """Write a message of the server, or cut the connection where too much waits already."""

    def pass_on(self, wire: bytes, rank: Rank, sender: str) -> bool:
        """Write a message of a peer soon; return False where it is dropped."""

    def show(self, shown: Iterable[tuple[str, Frame]], change: Change) -> None:
        """Keep the presence of peers until it can be written."""

    def write_waiting(self) -> bool:
        """Write what waits of other peers; return whether some still waits for its pace."""

    def close(self, code: int, reason: str) -> None:
        """Start the closing handshake; the connection closes within a bounded time."""

    def abort(self) -> None:
        """Cut the connection at once; what waits to be sent is lost."""


class Gateway:
    """Every open WebSocket by its session.

    Args:
        hub: decides.
        sessions: takes the calls to the server.
        refusals: counts what is refused.
    """

    def __init__(self, hub: Hub, sessions: Calls, refusals: Refusals) -> None:
        self.hub = hub
        self.slow_readers = 0
        """Sockets cut off because the server's own messages had no room, or they took nothing."""
        self.dropped = dict.fromkeys(Rank, 0)
        """Messages of peers that a receiver's queue had no room for."""
        self._sessions = sessions
        self._refusals = refusals
        self._sockets: dict[str, Socket] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._waiting: dict[Socket, None] = {}  # for whom something of other peers waits
        self._round: list[Socket] = []
        self._writing: asyncio.TimerHandle | None = None
        self._shut = False
        self._empty = asyncio.Event()

    def status(self) -> dict[str, int]:
        """Count sockets, peers and messages, as ``/api/status`` shows them."""
        return {
            "sockets": self.hub.sessions,
            "peers": self.hub.peers,
            **{to_camel(name): count for name, count in asdict(self.hub.counters).items()},
            "slowReaders": self.slow_readers,
            "droppedBroadcasts": self.dropped[Rank.ROOM],
            "droppedDirect": self.dropped[Rank.DIRECT],
        }

    def open(self, socket: Socket, network: str) -> str | None:
        """Register a connection; return its session id, or None where there is no room.

        Args:
            socket: the connection.
            network: where it comes from (`icey.network.network_of`).
        """
        session = None if self._shut else self.hub.open(self._now(), network)
        if session is not None:
            self._sockets[session] = socket
            self._empty.clear()
            self._schedule()
        return session

    def received(self, session: str, text: str) -> None:
        """Give the hub a text message."""
        self._perform(self.hub.receive(session, text, self._now()))

    def too_large(self, session: str) -> None:
        """Tell the hub of a message that is longer than its limit."""
        self._perform(self.hub.too_large(session, self._now()))

    def lost(self, session: str, *, goodbye: bool) -> None:
        """Tell the hub that a connection is closed.

        Args:
            session: its id.
            goodbye: whether either side said so before (RFC 6455 §5.5.1).
        """
        socket = self._sockets.pop(session, None)
        if socket is not None:
            self._waiting.pop(socket, None)
        if not self._sockets:
            self._empty.set()
        self._perform(self.hub.close(session, lost=not goodbye, now=self._now()))

    def wait_for(self, socket: Socket) -> None:
        """Come back to a socket for which something of other peers waits."""
        self._waiting[socket] = None
        if self._writing is None and not self._shut:
            loop = asyncio.get_running_loop()
            self._writing = loop.call_later(PRESENCE_INTERVAL_S, self._write_some)

    def send(self, to: str, message: dict[str, Any]) -> None:
        """Send a message as the server's own peer; ``to`` is ``user|id``."""
        self._perform(self.hub.send(to, message))

    async def shut_down(self, reason: str, *, grace_s: float) -> None:
        """Close every socket, accept no new one, and cut what is still open after ``grace_s``."""
        self._shut = True
        for timer in (self._timer, self._writing):
            if timer is not None:
                timer.cancel()
        for socket in list(self._sockets.values()):
            socket.close(GOING_AWAY, reason)
        if self._sockets:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._empty.wait(), grace_s)
        for socket in list(self._sockets.values()):
            socket.abort()

    def _perform(self, actions: Iterable[HubAction]) -> None:
        for action in actions:
            match action:
                case Deliver():
                    self._deliver(action)
                case Show():
                    self._show(action)
                case ToServer(sender, message, network):
                    self._sessions.deliver(sender, message, network)
                case Left(address, lost):
                    log.debug("%s left", address)
                    self._sessions.caller_left(address, lost=lost)
                case Close(session, code, reason):
                    socket = self._sockets.get(session)
                    if socket is not None:
                        socket.close(code, reason)
                case Refused(what, network, reason):
                    self._refusals.count(what, network, reason)
        self._schedule()

    def _deliver(self, action: Deliver) -> None:
        wire = wire_of(action.frame)
        for session in action.to:
            socket = self._sockets.get(session)
            if socket is None:
                continue
            if action.rank is Rank.OWN:
                socket.send(wire)
            elif not socket.pass_on(wire, action.rank, action.sender):
                self.dropped[action.rank] += 1

    def _show(self, action: Show) -> None:
        at_once = len(action.to) == 1
        for session in action.to:
            socket = self._sockets.get(session)
            if socket is None:
                continue
            socket.show(action.shown, action.change)
            if not at_once or socket.write_waiting():
                self.wait_for(socket)

    def _write_some(self) -> None:
        """Write to some of the sockets that wait, and go on in the next round of the loop."""
        loop = asyncio.get_running_loop()
        self._round = self._round or list(self._waiting)
        for socket in self._round[-SLICE_SOCKETS:]:
            if socket in self._waiting and not socket.write_waiting():
                self._waiting.pop(socket, None)
        del self._round[-SLICE_SOCKETS:]
        self._writing = None
        if self._round:
            self._writing = loop.call_later(0, self._write_some)
        elif self._waiting:
            self._writing = loop.call_later(PRESENCE_INTERVAL_S, self._write_some)

    def _schedule(self) -> None:
        """Wake up when the hub has something to do next."""
        deadline = self.hub.next_deadline()
        if self._shut or deadline is None:
            return
        if self._timer is not None:
            if self._timer.when() <= deadline:
                return
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_at(deadline, self._expire)

    def _expire(self) -> None:
        self._timer = None
        self._perform(self.hub.expire(self._now()))

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()
