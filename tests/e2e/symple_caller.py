"""A Symple caller of the tests' own, on the websockets library: it shares no code with icey."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from websockets.asyncio.client import connect

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from websockets.asyncio.client import ClientConnection

ANSWER_WITHIN_S = 10


class SympleCaller:
    """One session that calls the server's virtual peer; `server` is that peer's address."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self.server = ""

    async def enter(self, user: str) -> None:
        """Authenticate and find the server."""
        await self.send({"type": "auth", "user": user})
        await self.receive("welcome")
        while not self.server:
            peer = (await self.receive("presence"))["data"]
            if peer.get("type") == "server":
                self.server = f"{peer['user']}|{peer['id']}"

    async def send(self, frame: dict[str, Any]) -> None:
        """Send one frame."""
        await self._socket.send(json.dumps(frame))

    async def call(self, subtype: str, **data: Any) -> None:
        """Send a call message to the server."""
        await self.send({"type": "message", "subtype": subtype, "to": self.server, "data": data})

    async def receive(self, *kinds: str, within_s: float = ANSWER_WITHIN_S) -> dict[str, Any]:
        """Return the next frame of one of these types or subtypes; others are passed over."""
        async with asyncio.timeout(within_s):
            async for text in self._socket:
                frame: dict[str, Any] = json.loads(text)
                kind = frame.get("subtype") or frame["type"]
                if kind in kinds:
                    return frame
                if kind in {"call:reject", "call:hangup", "error"}:
                    message = f"waited for {kinds}, got {frame}"
                    raise AssertionError(message)
        message = f"the server closed the socket while {kinds} was awaited"
        raise AssertionError(message)


@asynccontextmanager
async def symple_caller(url: str, user: str) -> AsyncIterator[SympleCaller]:
    """Connect, authenticate, find the server."""
    async with connect(url.replace("http", "ws", 1), proxy=None) as socket:
        caller = SympleCaller(socket)
        await caller.enter(user)
        yield caller
