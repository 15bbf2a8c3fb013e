"""One HTTP connection: uvicorn's HTTP/1.1 with time-outs, bounds and a fair share of the loop.

h11 parses; it is given one head of bounded size at a time, each in the pace of its network, and no
body where no route reads one: what announces one there is answered, and the connection closed.
"""

from __future__ import annotations

import json
import logging
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, cast

import h11
from uvicorn.protocols.http.flow_control import CLOSE_HEADER, FlowControl
from uvicorn.protocols.http.h11_impl import H11Protocol

from icey.network import network_of
from icey.server.entrance import HEAD_TIMEOUT_S
from icey.server.heads import (
    MAX_HEAD_BYTES,
    Heads,
    HeadTooLargeError,
    asks_for_health,
    forwarded,
)
from icey.server.pace import payer_of
from icey.server.proxies import is_loopback

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Mapping

    from starlette.types import Message, Receive, Scope, Send
    from uvicorn import Config
    from uvicorn.server import ServerState

    from icey.server.bodies import BodyLimit
    from icey.server.entrance import Visit
    from icey.server.pace import Turn

log = logging.getLogger(__name__)

ABORT = "icey.abort"
"""The ASGI extension by which an answer cuts its connection. ASGI alone can only close it, which
waits for a client that does not read."""

KEEP_ALIVE_S = 15.0
"""How long a connection may wait between two requests."""

LINGER_S = 2.0
"""How long what a client still sends is thrown away after the answer, so that it can read that."""

STALL_S, STALL_BYTES = 20.0, 20 * 1024
"""A client that takes fewer bytes of a response in so long does not read it, and is cut."""

DOZE_S = 5.0
"""A client that takes nothing for so long counts as idle, and makes room for newcomers."""

SLICE_BYTES = 4096
"""Bytes of a body parsed in one go; then everybody else has a turn."""

DISCARD_PAUSE_S = 0.05
"""Between two looks at what is thrown away."""

DISCARD_BYTES = 1 << 20
"""So much is thrown away; then nothing more is read."""


class _GoneError(BaseException):
    """The client has left; no ``Exception``, so that no handler of errors answers it."""


class _Watched:
    """A transport that counts what is written, and leaves closing to the connection."""

    def __init__(self, real: asyncio.Transport, connection: HttpConnection) -> None:
        self.real = real
        self.written = 0
        self._connection = connection

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - the transport's own
        return getattr(self.real, name)

    def write(self, data: bytes) -> None:
        """Write, and count."""
        self.written += len(data)
        self.real.write(data)

    def close(self) -> None:
        """Let the connection decide how."""
        self._connection.leave()


class _Flow(FlowControl):
    """Flow control that reads on only while there is room for it."""

    def __init__(self, transport: asyncio.Transport, heads: Heads) -> None:
        super().__init__(transport)
        self._heads = heads

    def resume_reading(self) -> None:
        """Go on reading, unless a whole head waits already."""
        if len(self._heads) < MAX_HEAD_BYTES:
            super().resume_reading()


class HttpConnection(H11Protocol):
    """One connection, from its first byte to its end or to its upgrade."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        visit: Visit,
        bodies: Mapping[str, BodyLimit],
        refusal_headers: Mapping[str, str],
    ) -> None:
        super().__init__(config, server_state, {})
        # uvicorn decides by whether anybody listens to its logger; it would log the query too.
        self.access_log = False
        self._application = self.app
        self.app = self._run
        self._visit = visit
        self._entrance = visit.entrance
        self._bodies = bodies
        self._refusal_headers = refusal_headers
        self._heads = visit.heads
        self._busy = False  # a request waits for its turn or is answered
        self._turn: Turn | None = None
        self._client_host = visit.host
        self._proto: str | None = None
        self._discarding = False
        self._discarded = 0
        self._body_left: int | None = None  # bytes that may come of a body that a route reads
        self._backlog = bytearray()
        self._slice: asyncio.Handle | None = None
        self._leaving = False
        self._deadline: float | None = None
        self._stall: tuple[float, int] | None = None  # since when, taken by then
        self._taken, self._took_at = 0, 0.0

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the deadline of the first request."""
        self._watched = _Watched(transport, self)
        super().connection_made(cast("asyncio.Transport", self._watched))
        self.flow = _Flow(self._watched.real, self._heads)
        self._visit.served = self
        self._deadline = self.loop.time() + HEAD_TIMEOUT_S
        if len(self._heads):
            self._advance()

    def connection_lost(self, exc: Exception | None) -> None:
        """Give back the place."""
        self._leaving = True
        if self._turn is not None:
            self._turn.cancel()
        if self._slice is not None:
            self._slice.cancel()
        super().connection_lost(exc)
        self._visit.end()

    def data_received(self, data: bytes) -> None:
        """Collect the next head, or a body that a route reads; throw away the rest."""
        if self._leaving or self._discarding:
            self._discard(len(data))
        elif self._body_left is not None:
            self._feed_body(data)
        else:
            fresh = not len(self._heads)
            self._heads.feed(data)
            if self._busy:
                if len(self._heads) >= MAX_HEAD_BYTES:
                    self.flow.pause_reading()
                return
            if fresh:
                self._deadline = self.loop.time() + HEAD_TIMEOUT_S
            self._advance()

    # Served

    def check(self, now: float) -> None:
        """Cut the connection where a time-out is over."""
        waiting = self._watched.real.get_write_buffer_size()
        if waiting and self._keeping_alive:
            self._deadline = now + KEEP_ALIVE_S  # it still reads the last response
        if self._deadline is not None and now > self._deadline:
            if len(self._heads) or self._body_left is not None:
                reason = "a request that does not come to its end"
                self._entrance.refusals.count("slowRequests", self._visit.network, reason)
            self.cut()
            return
        if not waiting:
            self._stall = None
            if self._keeping_alive:
                self._entrance.door.rest(self._visit.place)
            elif self._busy and self._turn is None:
                self._entrance.door.work(self._visit.place)
            if self._leaving and self._deadline is None:
                self._deadline = now + LINGER_S
            return
        self._check_progress(now, self._watched.written - waiting)

    def cut(self) -> None:
        """Cut the connection at once."""
        self._watched.real.abort()

    def leave(self) -> None:
        """Close the connection once its client has what was written."""
        if self._leaving:
            return
        self._leaving = True
        real = self._watched.real
        if (self._discarding or len(self._heads)) and real.can_write_eof():
            # Closing while it still sends would reset the connection before it has read the
            # answer. What it sends is thrown away until it closes too, or `LINGER_S` is over.
            if not real.is_closing():
                try:
                    real.write_eof()
                except OSError:  # the client has reset it already
                    real.abort()
                self.flow.resume_reading()
        else:
            real.close()

    def shutdown(self) -> None:
        """Close the connection, after the response where there is one (uvicorn calls this)."""
        if self._busy and self._turn is None and self.cycle is not None:
            self.cycle.keep_alive = False
        else:
            self.leave()

    @property
    def _keeping_alive(self) -> bool:
        """Whether it waits for a next request of which nothing is there yet."""
        return not (self._busy or self._leaving or len(self._heads))

    def _check_progress(self, now: float, taken: int) -> None:
        """Watch a response that waits for its client."""
        if self._stall is None:
            self._stall, self._taken, self._took_at = (now, taken), taken, now
        since, before = self._stall
        if taken > self._taken:
            self._taken, self._took_at = taken, now
        if now - self._took_at > DOZE_S:
            self._entrance.door.rest(self._visit.place)
        else:
            self._entrance.door.work(self._visit.place)
        if now - since >= STALL_S:
            if taken - before < STALL_BYTES:
                reason = "the rest of a response that it does not read"
                self._entrance.refusals.count("stalledResponses", self._visit.network, reason)
                self.cut()
            self._stall = now, taken

    # Requests

    def _advance(self) -> None:
        """Take the next head, if it is there, and wait for its turn."""
        try:
            head = self._heads.next()
        except HeadTooLargeError:
            reason = "a request with too many or too long headers"
            self._entrance.refusals.count("heads", self._visit.network, reason)
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "headers_too_large")
            return
        if head is None:
            if not self._watched.real.get_write_buffer_size():
                self._entrance.door.rest(self._visit.place)
            return
        self._busy, self._deadline = True, None
        self._see_client(head)
        if self._visit.paid:  # the entrance has waited for the first one's turn
            self._visit.paid = False
            self._start(head)
            return
        payer = payer_of(network_of(self._client_host), health=asks_for_health(head))
        self._turn = self._entrance.pace.take(payer, partial(self._start, head))

    def _see_client(self, head: bytes) -> None:
        """Find out whose request it is: of who connected, or of whom a trusted proxy names."""
        proxies, host = self._entrance.proxies, self._visit.host
        trusted = proxies.trusts(host)
        if not (trusted or is_loopback(host)):
            return
        clients, protos = forwarded(head)
        if trusted:
            self._client_host = proxies.client(host, clients)
            self._proto = protos[-1].lower() if protos else None
        elif clients and not self._entrance.proxy_warned:
            self._entrance.proxy_warned = True
            log.warning(
                "a proxy on this machine sends X-Forwarded-For, but is not trusted, so all of its "
                'clients count as one: set http.trustedProxies to ["%s"]',
                host,
            )

    def _start(self, head: bytes) -> None:
        """Parse a head, and begin to answer."""
        self._turn = None
        if self._leaving or self.transport.is_closing():
            return
        place = self._visit.place
        if place.reserved and not asks_for_health(head):
            self._refuse(HTTPStatus.SERVICE_UNAVAILABLE, "too_many_connections")
            return
        self._entrance.door.work(place)
        self.conn.receive_data(head)
        self.handle_events()
        if self._leaving or not self._busy:  # refused, or upgraded
            return
        if place.reserved:
            self.headers.append(CLOSE_HEADER)  # uvicorn answers it in kind
        if self.conn.their_state is h11.SEND_BODY:
            self._take_body()

    def _take_body(self) -> None:
        """Prepare for a body that a request announces."""
        limit = self._bodies.get(self.scope["path"])
        if limit is not None and self.scope["method"] in limit.methods:
            self._body_left = limit.wire_bytes
            self._deadline = self.loop.time() + limit.seconds
            self._feed_body(self._heads.rest())
            return
        reason = f"the body of a request: nothing reads one at its path ({self.scope['method']!a})"
        self._entrance.refusals.count("bodies", network_of(self._client_host), reason)
        self._discarding = True
        self.headers.append(CLOSE_HEADER)
        # For the application it is a request without one, and nobody is told to go on (100).
        self.cycle.waiting_for_100_continue = False
        self.cycle.more_body = False
        self.cycle.message_event.set()
        self._heads.rest()

    def _feed_body(self, data: bytes) -> None:
        self._backlog += data
        if self._slice is None:
            self._next_slice()

    def _next_slice(self) -> None:
        """Give the parser a slice of a body."""
        self._slice = None
        if self._body_left is None or self._leaving:
            self._backlog.clear()
            return
        piece = bytes(self._backlog[:SLICE_BYTES])
        del self._backlog[:SLICE_BYTES]
        self._body_left -= len(piece)
        if self._body_left < 0:
            reason = "a body that is larger than its route reads"
            self._entrance.refusals.count("bodies", network_of(self._client_host), reason)
            self._body_left, self._discarding = None, True
            if self.cycle.response_started:
                self.leave()
            else:
                self.cycle.disconnected = True
                self.cycle.message_event.set()
                self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "body_too_large")
            return
        if piece:
            self.conn.receive_data(piece)
            self.handle_events()
        if self.conn.their_state is not h11.SEND_BODY:  # it is complete, or broken
            self._body_left, self._deadline = None, None
            self._heads.feed(self.conn.trailing_data[0])
            self._heads.feed(bytes(self._backlog))
            self._backlog.clear()
            self.flow.resume_reading()
        elif self._backlog:
            self.flow.pause_reading()
            self._slice = self.loop.call_later(0.0, self._next_slice)
        else:
            self.flow.resume_reading()

    def on_response_complete(self) -> None:
        """Go on with the next request of the connection (the response calls this)."""
        self.server_state.total_requests += 1
        self._busy = False
        if self._leaving or self.transport.is_closing():
            return
        if self.conn.our_state is not h11.DONE or self.conn.their_state is not h11.DONE:
            self._discarding = True  # the rest of a body that was answered before its end
            self.leave()
            return
        self.conn.start_next_cycle()
        self._deadline = self.loop.time() + (HEAD_TIMEOUT_S if len(self._heads) else KEEP_ALIVE_S)
        self.flow.resume_reading()
        self._advance()

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP request (the parser's caller calls this)."""
        log.debug("%s", msg)
        self._discarding = True
        self._refuse(HTTPStatus.BAD_REQUEST, "bad_request")

    def _refuse(self, status: HTTPStatus, error: str) -> None:
        """Answer without the application, and close."""
        body = json.dumps({"status": "error", "error": error}).encode()
        headers = {
            **self._refusal_headers,
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
            "Cache-Control": "no-store",
            "Connection": "close",
        }
        lines = [f"HTTP/1.1 {status.value} {status.phrase}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        self._busy, self._deadline = False, None
        self.transport.write("\r\n".join([*lines, "", ""]).encode("latin-1") + body)
        self.leave()

    def _discard(self, size: int) -> None:
        self._discarded += size
        self.flow.pause_reading()
        if self._discarded < DISCARD_BYTES and self._slice is None:
            self._slice = self.loop.call_later(DISCARD_PAUSE_S, self._look_again)

    def _look_again(self) -> None:
        self._slice = None
        if not self.transport.is_closing():
            self.flow.resume_reading()

    # The application

    async def _run(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application; stop it where the client has left."""
        cycle = self.cycle
        scope["extensions"] = {**scope.get("extensions", {}), ABORT: self._watched.real.abort}
        if scope["client"] is not None:
            scope["client"] = (self._client_host, scope["client"][1])
        if self._proto in {"http", "https"}:
            scope["scheme"] = self._proto

        async def send_while_there(message: Message) -> None:
            # Without this a file goes on being read for nobody.
            if cycle.disconnected:
                raise _GoneError
            await send(message)

        try:
            await self._application(scope, receive, cast("Send", send_while_there))
        except _GoneError:
            log.debug("the client left before the end of its response")

    # The upgrade

    def _should_upgrade(self) -> bool:
        return not _announces_body(self.headers) and super()._should_upgrade()

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        """Give the connection to a WebSocket."""
        self.connections.discard(self)
        self._busy = False
        output = [event.method, b" ", event.target, b" HTTP/1.1\r\n"]
        for name, value in self.headers:
            output += [name, b": ", value, b"\r\n"]
        output += [b"\r\n", self._heads.rest()]
        protocol = cast("Any", self.ws_protocol_class)(
            visit=self._visit, network=network_of(self._client_host)
        )
        real = self._watched.real
        real.set_protocol(protocol)
        protocol.connection_made(real)
        protocol.data_received(b"".join(output))


def _announces_body(headers: list[tuple[bytes, bytes]]) -> bool:
    return any(
        name == b"transfer-encoding" or (name == b"content-length" and value.strip(b"0"))
        for name, value in headers
    )
