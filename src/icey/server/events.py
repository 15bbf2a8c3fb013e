"""``GET /api/events``: the events of the detectors, for other programs, as Server-Sent Events.

https://html.spec.whatwg.org/multipage/server-sent-events.html

An event is made into bytes once. Each reader has a queue of at most `QUEUE_BYTES`; one that does
not read as fast as events come is cut off, and counted, so that nobody waits for it. A reader that
comes back says by ``Last-Event-ID`` what it had, and gets what it missed of the last `RECENT`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections import deque
from typing import TYPE_CHECKING, Any

from starlette.exceptions import HTTPException
from starlette.responses import Response

from icey.network import network_of
from icey.quota import Quota
from icey.refusals import Refusals
from icey.server.connection import ABORT

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from starlette.requests import Request
    from starlette.types import Receive, Scope, Send

    from icey.server.webhook import Webhook

QUEUE_BYTES = 1 << 20
"""What may wait for one reader, bytes; as for a WebSocket."""

RECENT = 100
"""Events that are kept for readers who come back."""

PING_S = 15.0
"""A comment goes out after so long without an event, so that no proxy takes the line for dead."""

LAST_WORDS_S = 1.0
"""How long a reader may take for the end of the stream when the server stops, s."""

EVENT_STREAM = "text/event-stream"

_PING = b": ping\n\n"

_HEADERS = {
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",  # nginx would collect what is to go out at once
}


class EventFeed:
    """Sends events to all readers and to the webhook. Runs on the event loop.

    Args:
        webhook: takes each event too.
        quota: the readers now, and their bounds.
        refusals: counts readers that are refused.
        clock: seconds since 1970; the numbers of events go on from it, so that they rise over
            restarts too.
    """

    def __init__(
        self,
        webhook: Webhook | None = None,
        *,
        quota: Quota | None = None,
        refusals: Refusals | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._webhook = webhook
        self._quota = quota or Quota(0, 0)
        self._refusals = refusals or Refusals()
        self._next = int(clock() * 1000)
        self._recent: deque[tuple[int, bytes]] = deque(maxlen=RECENT)
        self._readers: set[_Reader] = set()
        self._published = self._slow = 0
        self._closed = False

    def publish(self, kind: str, data: Mapping[str, Any]) -> None:
        """Send an event to every reader and to the webhook.

        Args:
            kind: ``icey:vision``, ``icey:speech`` or ``icey:clip``.
            data: as in `docs/protocol.md`; whatever JSON can hold.
        """
        number, self._next = self._next, self._next + 1
        body = json.dumps(data, separators=(",", ":"), allow_nan=False)
        wire = f"id: {number}\nevent: {kind}\ndata: {body}\n\n".encode()
        self._published += 1
        self._recent.append((number, wire))
        for reader in tuple(self._readers):
            if not reader.put(wire):
                self._slow += 1
                self._readers.discard(reader)
        if self._webhook is not None:
            self._webhook.post(number, f'{{"id":{number},"type":"{kind}","data":{body}}}'.encode())

    def status(self) -> dict[str, dict[str, Any]]:
        """Count the readers, the events, and the readers that were too slow."""
        events = {
            "readers": len(self._readers),
            "published": self._published,
            "slowReaders": self._slow,
        }
        webhook = {} if self._webhook is None else {"webhook": self._webhook.status()}
        return {"events": events, **webhook}

    def answer(self, request: Request) -> Response:
        """Return the response to a new reader.

        Raises:
            HTTPException: 503, there are too many, or the server is about to end; 429, there are
                too many of this address.
        """
        if request.method == "HEAD":
            return Response(media_type=EVENT_STREAM, headers=_HEADERS)
        if self._closed:
            raise HTTPException(503)
        network = network_of(request.client.host if request.client else "")
        bound = self._quota.exceeded(network)
        if bound is not None:
            name = "eventReadersPerAddress" if bound == "each" else "eventReaders"
            reason = f"a reader of /api/events: all of limits.{name} are in use"
            self._refusals.count(name, network, reason)
            if bound == "each":
                raise HTTPException(429, headers={"Retry-After": "10"})
            raise HTTPException(503)

        def ended(reader: _Reader) -> None:
            self._readers.discard(reader)
            self._quota.give_back(network)

        self._quota.take(network)
        reader = _Reader(ended)
        last_seen = request.headers.get("last-event-id", "")
        if last_seen.isascii() and last_seen.isdigit():
            for number, wire in self._recent:
                if number > int(last_seen[:20]):
                    reader.put(wire)
        self._readers.add(reader)
        return reader

    def close(self) -> None:
        """End every response; what waits for a reader is still sent, if it reads in time."""
        self._closed = True
        for reader in tuple(self._readers):
            reader.end()


class _Reader(Response):
    """The response to one reader, with the queue of its events."""

    def __init__(self, on_end: Callable[[_Reader], None]) -> None:
        super().__init__(media_type=EVENT_STREAM, headers=_HEADERS)
        del self.headers["content-length"]  # of an empty body
        self._on_end = on_end
        self._queue: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._changed = asyncio.Event()
        self._ended = False
        self._cut = asyncio.Event()

    def put(self, wire: bytes) -> bool:
        """Append an event; return False where too much waits, which ends this reader."""
        if self._waiting_bytes + len(wire) > QUEUE_BYTES:
            self._queue.clear()
            self._cut.set()
            return False
        self._queue.append(wire)
        self._waiting_bytes += len(wire)
        self._changed.set()
        return True

    def end(self) -> None:
        """Send what waits, then end the response."""
        self._ended = True
        self._changed.set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the response until the reader leaves, is too slow, or the server stops."""
        work = [
            asyncio.create_task(self._write(send)),
            asyncio.create_task(_departure(receive)),
            asyncio.create_task(self._cut.wait()),
        ]
        try:
            await asyncio.wait(work, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._on_end(self)
            for task in work:
                task.cancel()
            await asyncio.gather(*work, return_exceptions=True)
        if self._cut.is_set():
            abort = scope.get("extensions", {}).get(ABORT)
            if abort is not None:
                abort()
                await asyncio.sleep(0)  # uvicorn learns of it, and does not take it for a fault

    async def _write(self, send: Send) -> None:
        await send(
            {"type": "http.response.start", "status": 200, "headers": self.raw_headers},
        )
        await _send_part(send, b": icey-server\n\n")  # the headers are out: the stream is open
        while True:
            while self._queue:
                wire = self._queue.popleft()
                await _send_part(send, wire)
                self._waiting_bytes -= len(wire)
            if self._ended:
                break
            self._changed.clear()
            try:
                await asyncio.wait_for(self._changed.wait(), PING_S)
            except TimeoutError:
                await _send_part(send, _PING)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LAST_WORDS_S):
                await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _send_part(send: Send, part: bytes) -> None:
    await send({"type": "http.response.body", "body": part, "more_body": True})


async def _departure(receive: Receive) -> None:
    """Wait until the client disconnects."""
    while (await receive())["type"] != "http.disconnect":
        pass
