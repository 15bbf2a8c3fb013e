"""Connects sockets, hub and sessions: carries out the actions of the hub.

Contract: everything here runs on the event loop and nothing waits. A frame is made into
bytes once and written to each socket; a socket that cannot take it is dropped, so that
nobody waits for a slow reader.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Protocol

from pydantic.alias_generators import to_camel
from websockets.frames import Frame as WireFrame
from websockets.frames import Opcode

from icey.signalling.hub import Close, Deliver, Hub, Left, ToServer

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from icey.sessions.calls import Calls
    from icey.signalling.hub import HubAction

log = logging.getLogger(__name__)

GOING_AWAY = 1001


class Socket(Protocol):
    """A connection as the gateway uses it."""

    def send(self, wire: bytes) -> None:
        """Write bytes now, or drop the connection where too many wait already."""

    def close(self, code: int, reason: str) -> None:
        """Start the closing handshake; the connection closes within a bounded time."""

    def abort(self) -> None:
        """Cut the connection at once; what waits to be sent is lost."""


class Gateway:
    """Every open WebSocket by its session.

    Args:
        hub: decides.
        sessions: takes the calls to the server.
    """

    def __init__(self, hub: Hub, sessions: Calls) -> None:
        self.hub = hub
        self.slow_readers = 0
        """Sockets dropped because their queue was full."""
        self._sessions = sessions
        self._sockets: dict[str, Socket] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._shut = False
        self._empty = asyncio.Event()

    def status(self) -> dict[str, int]:
        """Count sockets, peers and messages, as ``/api/status`` shows them."""
        return {
            "sockets": self.hub.sessions,
            "peers": self.hub.peers,
            **{to_camel(name): count for name, count in asdict(self.hub.counters).items()},
            "slowReaders": self.slow_readers,
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
        self._perform(self.hub.too_large(session))

    def lost(self, session: str) -> None:
        """Tell the hub that a connection is closed."""
        self._sockets.pop(session, None)
        if not self._sockets:
            self._empty.set()
        self._perform(self.hub.close(session))

    def send(self, to: str, message: dict[str, Any]) -> None:
        """Send a message as the server's own peer; ``to`` is ``user|id``."""
        self._perform(self.hub.send(to, message))

    async def shut_down(self, reason: str, *, grace_s: float) -> None:
        """Close every socket, accept no new one, and cut what is still open after ``grace_s``."""
        self._shut = True
        if self._timer is not None:
            self._timer.cancel()
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
                case Deliver(to, frame):
                    self._write(to, frame.text)
                case ToServer(sender, message, network):
                    self._sessions.deliver(sender, message, network)
                case Left(address):
                    log.debug("%s left", address)
                    self._sessions.caller_left(address)
                case Close(session, code, reason):
                    socket = self._sockets.get(session)
                    if socket is not None:
                        socket.close(code, reason)

    def _write(self, to: Sequence[str], text: str) -> None:
        wire = WireFrame(Opcode.TEXT, text.encode("ascii")).serialize(mask=False, extensions=[])
        for session in to:
            socket = self._sockets.get(session)
            if socket is not None:
                socket.send(wire)

    def _schedule(self) -> None:
        deadline = self.hub.next_deadline()
        if self._timer is None and deadline is not None and not self._shut:
            loop = asyncio.get_running_loop()
            # Later deadlines only follow, so an earlier wake-up than this is never needed.
            self._timer = loop.call_at(deadline, self._expire)

    def _expire(self) -> None:
        self._timer = None
        self._perform(self.hub.expire(self._now()))
        self._schedule()

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()
