"""One WebSocket: RFC 6455 by the `websockets` library, transport and limits by this module.

uvicorn hands an upgraded connection to this protocol instead of its own. Its own keeps
the transport to itself, so that nothing could tell how many bytes wait for a slow
reader, nor cut it off: ``transport.close()`` waits until that reader has read.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket as sockets
from http import HTTPStatus
from typing import TYPE_CHECKING, cast

from websockets.exceptions import PayloadTooBig
from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import State
from websockets.server import ServerProtocol

from icey.server.outbox import Outbox

if TYPE_CHECKING:
    from collections.abc import Iterable

    from websockets.http11 import Response

    from icey.server.admission import Admission
    from icey.server.entrance import Visit
    from icey.server.gateway import Gateway
    from icey.signalling.actions import Change, Rank
    from icey.signalling.messages import Frame as Message

log = logging.getLogger(__name__)

# The library writes every frame into its log at DEBUG, and the first one holds the token.
_library_log = logging.getLogger("icey.server.websocket.protocol")
_library_log.setLevel(logging.WARNING)

PING_INTERVAL_S = 30.0
"""A peer that sent nothing, not even a pong, for one to two of these is gone."""

LINGER_S = 2.0
"""How long the closing handshake may take; then the connection is cut."""

KERNEL_BUFFER_BYTES = 64 * 1024
"""Cap of the kernel's send buffer: what is in it cannot be overtaken by the server's messages."""

WRITTEN_BYTES = 64 * 1024
"""Bytes that are written and not yet taken: with more of them everything waits in the queue."""

SLICE_BYTES = 4096
"""Bytes handled in one go, so that a flood of tiny frames leaves the loop to the others."""

SLICE_FRAMES = 64
"""More frames than this in one slice are a flood (`FLOOD_PAUSE_S` follows)."""

FLOOD_PAUSE_S = 0.1
"""How long a flooding peer waits for its next slice."""

MAX_FRAGMENTS = 256
"""Fragments of one message; more are refused, since empty ones cost nothing to send."""

UNSUPPORTED_DATA = 1003
INVALID_DATA = 1007
POLICY_VIOLATION = 1008


class SignallingSocket(asyncio.Protocol):
    """One connection, from the upgrade request to its end.

    Args:
        gateway: takes its messages.
        admission: decides whether it is accepted.
        visit: the connection that was upgraded.
        network: where it comes from, by the word of a trusted proxy too.
    """

    def __init__(self, gateway: Gateway, admission: Admission, visit: Visit, network: str) -> None:
        limits = gateway.hub.limits
        self._gateway = gateway
        self._admission = admission
        self._visit = visit
        self._network = network
        self._counted = False  # in the quota of WebSockets
        visit.served = self
        self._queue_bytes = limits.queue_bytes
        self._loop = asyncio.get_running_loop()
        self._outbox = Outbox(limits, self._loop.time())
        self._full = False
        self._stuck = False  # was full at the last ping, and is since
        self._conn = ServerProtocol(max_size=limits.message_bytes, logger=_library_log)
        self._session: str | None = None
        self._fragments: list[bytes] = []
        self._backlog = bytearray()
        self._open = False  # between the answer to the upgrade and the first close
        self._alive = True
        self._closed = False
        self._ping_timer: asyncio.TimerHandle | None = None
        self._linger_timer: asyncio.TimerHandle | None = None
        self._slice_timer: asyncio.Handle | None = None
        self._write_soon: asyncio.Handle | None = None

    # Socket, for the gateway

    def send(self, wire: bytes) -> None:
        """Write a message of the server before what waits; cut the reader where it has no room."""
        if not self._open:
            return
        if not self._full:
            self._write(wire)
        elif self._has_room(len(wire)):
            self._outbox.add_own(wire)

    def pass_on(self, wire: bytes, rank: Rank, sender: str) -> bool:
        """Write a message of a peer with all others of this round of the loop."""
        if not self._open:
            return True
        if self._write_soon is None:
            self._write_soon = self._loop.call_soon(self._write_round)
        return self._outbox.add(wire, rank, sender)

    def show(self, shown: Iterable[tuple[str, Message]], change: Change) -> None:
        """Keep the presence of peers until it can be written."""
        if self._open:
            self._outbox.show(shown, change)

    def write_waiting(self) -> bool:
        """Write what waits of other peers; return whether some waits for its pace alone."""
        outbox = self._outbox
        while self._open and not self._full and outbox.waits:
            pieces = outbox.take(WRITTEN_BYTES, self._loop.time())
            if not pieces:
                return True
            self._write(b"".join(pieces))
        return False

    def close(self, code: int, reason: str) -> None:
        """Start the closing handshake (RFC 6455 §7.1.2); it may take `LINGER_S`."""
        if self._open:
            for wire in self._outbox.take_own():  # it says why
                self._write(wire)
        self._open = False
        if self._conn.state is State.OPEN:
            self._conn.send_close(code, reason)
        self._flush()
        self._linger()

    def abort(self) -> None:
        """Cut the connection."""
        self._transport.abort()

    # Served, for the entrance

    def check(self, now: float) -> None:
        """Do nothing: a WebSocket has its pings."""

    def cut(self) -> None:
        """Cut the connection."""
        self.abort()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take over the transport from uvicorn's HTTP protocol."""
        self._transport = cast("asyncio.Transport", transport)
        raw = transport.get_extra_info("socket")
        if raw is not None:
            raw.setsockopt(sockets.SOL_SOCKET, sockets.SO_SNDBUF, KERNEL_BUFFER_BYTES)
        self._transport.set_write_buffer_limits(high=WRITTEN_BYTES)

    def pause_writing(self) -> None:
        """Let everything wait: the peer reads more slowly than is written."""
        self._full = True

    def resume_writing(self) -> None:
        """Write what waits, the server's own first."""
        self._full = self._stuck = False
        for wire in self._outbox.take_own():
            self._write(wire)
        if self.write_waiting():
            self._gateway.wait_for(self)

    def data_received(self, data: bytes) -> None:
        """Handle received bytes in slices; pause reading while any of them wait."""
        if self._slice_timer is not None:  # TLS may deliver what it had before the pause
            self._backlog += data
        elif len(data) > SLICE_BYTES:
            self._backlog += data
            self._next_slice()
        elif self._feed(data) > SLICE_FRAMES:
            self._pause(FLOOD_PAUSE_S)

    def eof_received(self) -> None:
        """Handle the end of the peer's data: the transport closes itself."""
        self._backlog.clear()
        self._conn.receive_eof()
        self._flush()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the hub and stop every timer."""
        log.debug("socket of session %s lost: %s", self._session, exc or "closed")
        self._closed = True
        self._open = False
        timers = (self._ping_timer, self._linger_timer, self._slice_timer, self._write_soon)
        for timer in timers:
            if timer is not None:
                timer.cancel()
        self._backlog.clear()
        if self._counted:
            self._counted = False
            self._admission.quota.give_back(self._network)
        if self._session is not None:
            said = self._conn.close_rcvd is not None or self._conn.close_sent is not None
            self._gateway.lost(self._session, goodbye=said)
        self._visit.end()

    # Incoming

    def _pause(self, delay_s: float) -> None:
        if self._closed:
            return
        self._transport.pause_reading()
        self._slice_timer = self._loop.call_later(delay_s, self._next_slice)

    def _next_slice(self) -> None:
        self._slice_timer = None
        piece = bytes(self._backlog[:SLICE_BYTES])
        del self._backlog[:SLICE_BYTES]
        frames = self._feed(piece) if piece else 0
        if frames > SLICE_FRAMES:
            self._pause(FLOOD_PAUSE_S)
        elif self._backlog:
            self._pause(0.0)
        elif not self._closed:
            self._transport.resume_reading()

    def _feed(self, data: bytes) -> int:
        """Run the parser; return how many frames it found."""
        if self._conn.handshake_exc is not None:
            return 0  # refused; the rest of what it sends is of no interest
        self._conn.receive_data(data)
        events = self._conn.events_received()
        self._alive = True
        for event in events:
            if isinstance(event, Request):
                self._upgrade(event)
            elif isinstance(event, Frame):
                self._frame(event)
        if isinstance(self._conn.parser_exc, PayloadTooBig) and self._session is not None:
            # The library has queued its close frame; the reason in words is written before it.
            self._gateway.too_large(self._session)
        self._flush()
        if self._conn.state is not State.OPEN:
            self._open = False
            self._linger()
        return len(events)

    def _upgrade(self, request: Request) -> None:
        response = self._check_upgrade(request)
        if response.status_code == HTTPStatus.SWITCHING_PROTOCOLS:
            self._session = self._gateway.open(self, self._network)
            if self._session is None:
                response = self._conn.reject(HTTPStatus.SERVICE_UNAVAILABLE, "no room left\n")
        self._conn.send_response(response)
        if self._session is not None:
            self._open = self._counted = True
            self._admission.quota.take(self._network)
            self._ping_timer = self._loop.call_later(PING_INTERVAL_S, self._keep_alive)
        else:
            log.debug("WebSocket of %s refused with %d", self._network, response.status_code)

    def _check_upgrade(self, request: Request) -> Response:
        headers = request.headers
        refused = self._admission.refuses(
            request.path, headers.get_all("Host"), headers.get_all("Origin"), self._network
        )
        if refused is None:
            return self._conn.accept(request)
        if refused.status in {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE}:
            self._gateway.hub.counters.refused += 1
        return self._conn.reject(refused.status, refused.text)

    def _frame(self, frame: Frame) -> None:
        if self._session is None or not self._open:
            return
        if frame.opcode is Opcode.BINARY:
            self.close(UNSUPPORTED_DATA, "text frames only")
        elif frame.opcode is Opcode.TEXT or frame.opcode is Opcode.CONT:
            self._fragments.append(bytes(frame.data))
            if frame.fin:
                payload = b"".join(self._fragments)
                self._fragments.clear()
                self._message(self._session, payload)
            elif len(self._fragments) >= MAX_FRAGMENTS:
                self.close(POLICY_VIOLATION, "too many fragments")

    def _message(self, session: str, payload: bytes) -> None:
        try:
            text = payload.decode()
        except UnicodeDecodeError:
            self.close(INVALID_DATA, "not UTF-8")  # RFC 6455 §8.1
            return
        self._gateway.received(session, text)

    # Outgoing

    def _flush(self) -> None:
        for piece in self._conn.data_to_send():
            if piece:
                self._write(piece)
            else:
                self._end_of_stream()

    def _write_round(self) -> None:
        self._write_soon = None
        if self.write_waiting():
            self._gateway.wait_for(self)

    def _write(self, data: bytes) -> None:
        if not self._transport.is_closing() and self._has_room(len(data)):
            self._transport.write(data)

    def _has_room(self, size: int) -> bool:
        """Return whether more of the server's own may wait; cut the connection where it may not."""
        waits = self._transport.get_write_buffer_size() + self._outbox.own_bytes
        if waits + size <= self._queue_bytes:
            return True
        self._cut()
        return False

    def _cut(self) -> None:
        if not self._transport.is_closing():
            self._gateway.slow_readers += 1
            log.info("session %s dropped: it does not read", self._session)
        self._transport.abort()

    def _end_of_stream(self) -> None:
        if self._conn.close_rcvd is not None:
            self._transport.close()
        elif self._transport.can_write_eof() and not self._transport.is_closing():
            # The peer may still be sending: closing now would reset the connection before
            # it has read why. What it sends is discarded until it closes too.
            with contextlib.suppress(OSError):  # the peer has reset it already
                self._transport.write_eof()
        self._linger()

    def _linger(self) -> None:
        if self._linger_timer is None and not self._closed:
            self._linger_timer = self._loop.call_later(LINGER_S, self.abort)

    def _keep_alive(self) -> None:
        if not self._alive:
            log.info("session %s answers no ping: dropped", self._session)
            self.abort()
            return
        if self._stuck:
            self._cut()
            return
        self._stuck = self._full
        self._alive = False
        if self._conn.state is State.OPEN:
            self._conn.send_ping(b"")
            self._flush()
        self._ping_timer = self._loop.call_later(PING_INTERVAL_S, self._keep_alive)


def socket_class(gateway: Gateway, admission: Admission) -> type[asyncio.Protocol]:
    """Return the class that uvicorn's ``ws`` setting takes."""

    class BoundSocket(SignallingSocket):
        def __init__(self, *, visit: Visit, network: str) -> None:
            super().__init__(gateway, admission, visit, network)

    return BoundSocket
