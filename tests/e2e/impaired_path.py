"""A UDP path that loses, delays, reorders and throttles, between a client and the server."""

from __future__ import annotations

import asyncio
import random
import re
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from playwright.async_api import BrowserContext

HEADERS = 28
"""Bytes of IPv4 and UDP headers."""

CANDIDATE = re.compile(r"a=candidate:(\S+) 1 (?:udp|UDP) (\d+) (\S+) (\d+) typ host[^\r\n]*\r\n")


class _Port(asyncio.DatagramProtocol):
    def __init__(self, received: Callable[[bytes, tuple[str, int]], None]) -> None:
        self.transport: asyncio.DatagramTransport | None = None
        self._received = received

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._received(data, addr)


@dataclass
class ImpairedPath:
    """What happens to datagrams, both ways; may be changed at any time.

    Attributes:
        loss: the share that vanishes, 0..1.
        jitter_s: each is held up for a random time of up to this, and so overtaken by others.
        rate: bit/s that the way to the client carries, IP and UDP headers counted; 0 is no limit.
            What does not fit waits in a queue of `queue_s`, and is dropped where that is full.
        dropped, passed: how many.
    """

    loss: float = 0.0
    jitter_s: float = 0.0
    rate: float = 0.0
    queue_s: float = 0.3
    seed: int = 1
    dropped: int = 0
    passed: int = 0
    port: int = 0
    _free_at: float = 0.0
    _server: tuple[str, int] | None = None
    _ways: dict[tuple[str, int], _Port] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self._front = _Port(self._from_client)

    @staticmethod
    def without_candidates(offer: str) -> str:
        """The offer with no way to the client but this one."""
        return CANDIDATE.sub("", offer)

    def through(self, answer: str) -> str:
        """The answer with this path's port in place of the server's."""
        match = CANDIDATE.search(answer)
        assert match, answer
        self._server = match[3], int(match[4])
        ours = f"a=candidate:1 1 udp 2130706431 127.0.0.1 {self.port} typ host\r\n"
        return (
            CANDIDATE.sub("", answer)
            .replace("a=end-of-candidates\r\n", "")
            .replace("a=mid:", f"{ours}a=mid:")
        )

    async def lead(self, context: BrowserContext) -> None:
        """Let the calls of a browser's profile go this way, one at a time."""
        await context.expose_function("throughPath", self.through)
        await context.add_init_script("""
            const set = RTCPeerConnection.prototype.setRemoteDescription;
            RTCPeerConnection.prototype.setRemoteDescription = async function ({ type, sdp }) {
                return set.call(this, { type, sdp: await throughPath(sdp) });
            };
            // There is one way only: neither side learns an address of the other.
            RTCPeerConnection.prototype.addIceCandidate = async () => {};
            Object.defineProperty(RTCPeerConnectionIceEvent.prototype, "candidate", {
                get: () => null,
            });
            const local = Object.getOwnPropertyDescriptor(
                RTCPeerConnection.prototype, "localDescription",
            );
            Object.defineProperty(RTCPeerConnection.prototype, "localDescription", {
                get() {
                    const description = local.get.call(this);
                    if (!description) return description;
                    const { type, sdp } = description;
                    return { type, sdp: sdp.replace(/^a=candidate:.*\\r\\n/gm, "") };
                },
            });
        """)

    def _from_client(self, data: bytes, client: tuple[str, int]) -> None:
        if client in self._ways:
            self._forward(self._ways[client], data, self._server)
        elif self._server is not None:
            way = self._ways[client] = _Port(lambda answer, _: self._back(answer, client))
            loop = asyncio.get_running_loop()
            opened = loop.create_datagram_endpoint(lambda: way, local_addr=("127.0.0.1", 0))
            task = loop.create_task(opened)  # this datagram is lost; ICE asks again
            task.add_done_callback(lambda done: done.result())

    def _back(self, data: bytes, client: tuple[str, int]) -> None:
        wait = self._queue(len(data))
        if wait is None:
            self.dropped += 1
        else:
            self._forward(self._front, data, client, wait)

    def _queue(self, size: int) -> float | None:
        """Seconds until so many bytes are through the bottleneck; None where its queue is full."""
        if not self.rate:
            return 0.0
        now = asyncio.get_running_loop().time()
        begins = max(now, self._free_at)
        if begins - now > self.queue_s:
            return None
        self._free_at = begins + (size + HEADERS) * 8 / self.rate
        return self._free_at - now

    def _forward(
        self, port: _Port, data: bytes, to: tuple[str, int] | None, wait: float = 0.0
    ) -> None:
        if port.transport is None or self._random.random() < self.loss:
            self.dropped += 1
            return
        self.passed += 1
        delay = wait + self._random.random() * self.jitter_s
        asyncio.get_running_loop().call_later(delay, port.transport.sendto, data, to)

    def close(self) -> None:
        """Close every socket."""
        for port in (self._front, *self._ways.values()):
            if port.transport is not None:
                port.transport.close()


@asynccontextmanager
async def impaired_path(
    *, loss: float = 0.0, jitter_s: float = 0.0, rate: float = 0.0
) -> AsyncIterator[ImpairedPath]:
    """Open a path for one client; it ends with the block."""
    path = ImpairedPath(loss=loss, jitter_s=jitter_s, rate=rate)
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(
        lambda: path._front, local_addr=("127.0.0.1", 0)
    )
    path.port = transport.get_extra_info("sockname")[1]
    try:
        yield path
    finally:
        path.close()
