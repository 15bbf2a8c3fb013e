"""Fuzzes the HTTP layer: any bytes, in any pieces, over real sockets, to a server in this process.

The input is a list of pieces; most are put together from the words of HTTP, of our routes and of
the WebSocket's upgrade. What must hold after each input:

- nothing was logged at ERROR, and the event loop met no exception;
- no answer was a 500;
- the server answers ``GET /api/health``, and its connections are gone.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
from pathlib import Path

import atheris

sys.path[:0] = [str(Path(__file__).parents[1] / part) for part in ("tests", "src", ".")]

with atheris.instrument_imports(include=["icey.server", "icey.signalling", "uvicorn", "h11"]):
    from integration.server.conftest import serving

LINES = [
    b"GET / HTTP/1.1",
    b"GET /api/status HTTP/1.1",
    b"GET /api/events HTTP/1.1",
    b"HEAD / HTTP/1.0",
    b"POST /api/config HTTP/1.1",
    b"GET /ws HTTP/1.1",
    b"GET /artifacts/../x HTTP/1.1",
    b"PRI * HTTP/2.0",
    b"GET /artifacts/a.mp4 HTTP/1.1",
    b"GET http://127.0.0.1/ HTTP/1.1",
    b"OPTIONS * HTTP/1.1",
    b"GET /api/ready?token=a&token=b HTTP/1.1",
    b"\x16\x03\x01\x02\x00\x01",
    b"",
]
HEADERS = [
    b"Host: 127.0.0.1",
    b"Host: localhost",
    b"Host: evil.example",
    b"Host:",
    b"Connection: close",
    b"Connection: Upgrade",
    b"Upgrade: websocket",
    b"Sec-WebSocket-Version: 13",
    b"Expect: 100-continue",
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    b"Transfer-Encoding: chunked",
    b"Content-Length: 5",
    b"Content-Length: 99999999999999999999",
    b"Content-Length: -1",
    b"Authorization: Bearer x",
    b"X-Icey-Token: y",
    b"X-Forwarded-For: 1.2.3.4",
    b"Origin: null",
    b"Origin: http://127.0.0.1",
    b"Range: bytes=0-",
    b"Range: bytes=-0,1-2",
    b"Last-Event-ID: 99",
    b"Cookie: a",
    b" folded",
]
BODIES = [
    b"5\r\nhello\r\n",
    b"0\r\n\r\n",
    b"fffffffffffffffff\r\n",
    b"1;x=y\r\na\r\n",
    b"hello",
    b'\x81\x85\0\0\0\0{"a":',
    b"\x88\x80\0\0\0\0",
    b"\x81\xfe\xff\xff\0\0\0\0",
]
READ_S = 0.05


class Faults(logging.Handler):
    """Keeps what is logged at ERROR."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.found.append(self.format(record))


class World:
    """The event loop with the server in it."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.faults = Faults()
        logging.getLogger().addHandler(self.faults)
        self.loop.set_exception_handler(lambda _, met: self.faults.found.append(str(met)))
        unbounded = {"connectionsPerAddress": 0, "requestsPerAddress": 0, "socketsPerAddress": 0}
        root = Path(__file__).parents[1] / "src/icey/web"
        self._running = serving({"limits": unbounded}, root=root)  # kept, else it ends
        self.server = self.loop.run_until_complete(self._running.__aenter__())

    def run(self, data: bytes) -> None:
        self.loop.run_until_complete(self._one(pieces(data)))
        assert not self.faults.found, self.faults.found

    async def _one(self, parts: list[bytes]) -> None:
        answer = await self._talk(parts)
        assert b"HTTP/1.1 500" not in answer, answer[:300]
        health = await self._talk(
            [b"GET /api/health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"], 5.0
        )
        assert health.startswith(b"HTTP/1.1 200"), health[:300]

    async def _talk(self, parts: list[bytes], within_s: float = READ_S) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.server.port)
        answer = b""
        with contextlib.suppress(ConnectionError, TimeoutError):
            for part in parts:
                writer.write(part)
                await writer.drain()
                await asyncio.sleep(0)
            async with asyncio.timeout(within_s):
                while piece := await reader.read(65_536):
                    answer += piece
        writer.transport.abort()
        return answer


def pieces(data: bytes) -> list[bytes]:
    """Make the pieces that are sent of an input."""
    given = atheris.FuzzedDataProvider(data)
    parts = []
    for _ in range(given.ConsumeIntInRange(1, 6)):
        choice = given.ConsumeIntInRange(0, 5)
        if choice == 0:
            parts.append(given.ConsumeBytes(60))
        elif choice == 1:
            parts.append(given.PickValueInList(BODIES))
        else:
            head = [given.PickValueInList(LINES)]
            count = given.ConsumeIntInRange(0, 7)
            head += [given.PickValueInList(HEADERS) for _ in range(count)]
            if given.ConsumeIntInRange(0, 5) == 0:
                head.append(given.ConsumeBytes(30))
            whole = b"\r\n".join(head) + given.PickValueInList([b"\r\n\r\n", b"\r\n", b"\n\n"])
            cut = given.ConsumeIntInRange(0, len(whole))
            parts += [whole[:cut], whole[cut:]]
    return [part for part in parts if part]


if __name__ == "__main__":
    world = World()
    atheris.Setup(sys.argv, world.run)
    atheris.Fuzz()
