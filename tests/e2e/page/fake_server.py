"""A server that the page under test sees: its files, its API and its signalling, all scripted.

Everything is served through Playwright's routes, so no port is opened. What the page sends is
kept in `frames`; what the server does on each frame is a table that tests change.
"""

from __future__ import annotations

import asyncio
import json
import mimetypes
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from playwright.async_api import Error as PlaywrightError

import icey
from e2e.waiting import until
from icey.server.hardening import content_security_policy

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from playwright.async_api import Page, Request, Route, WebSocketRoute

WEB = Path(icey.__file__).parent / "web"
ORIGIN = "http://localhost"
CALLEE = Path(__file__).with_name("callee.js").read_text()


class FakeServer:
    """Answers like icey-server; `answers` maps a subtype to what is done on it."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.frames: list[dict[str, Any]] = []
        self.requests: list[Request] = []
        self.console: list[str] = []
        self.token = ""
        self.up = True
        self.number = 0
        self.mode = "stream"
        self.recordings: list[dict[str, Any]] = []
        self.turn: dict[str, Any] = {"enabled": False}
        self.viewers = 0
        """How many watch the tab, where it is live."""
        self.files: dict[str, Path] = {}
        """What lies below /artifacts, by path and query."""
        self.socket: WebSocketRoute | None = None
        self.server_peer: dict[str, Any] = {
            "user": "icey", "name": "icey", "type": "server", "online": True,
            "mode": "stream", "capabilities": ["view"],
        }  # fmt: skip
        self.answers: dict[str, Callable[[dict[str, Any]], Awaitable[None]]] = {
            "call:init": self._accept,
            "call:offer": self._answer,
            "call:candidate": self._candidate,
        }
        self._tasks: set[asyncio.Task[None]] = set()

    async def install(self) -> None:
        """Put the routes in place; call before `goto`."""
        # Playwright marks its handlers, and a built-in method cannot be marked.
        self.page.on("request", lambda request: self.requests.append(request))  # noqa: PLW0108
        self.page.on("console", lambda line: self.console.append(f"{line.type}: {line.text}"))
        self.page.on("pageerror", lambda error: self.console.append(f"error: {error}"))
        await self.page.add_init_script(CALLEE)
        await self.page.route(f"{ORIGIN}/**", self._http)
        await self.page.route_web_socket(re.compile(r"/ws$"), self._open)

    async def open_page(self, query: str = "") -> None:
        """Install, and load the page."""
        await self.install()
        await self.page.goto(f"{ORIGIN}/{query}")

    def send(self, frame: dict[str, Any]) -> None:
        """Send one frame to the page."""
        assert self.socket is not None
        self.socket.send(json.dumps(frame))

    def call(self, subtype: str, **data: Any) -> None:
        """Send a call message of the virtual peer."""
        self.send(
            {"type": "message", "subtype": subtype, "from": self.address, "to": "me", "data": data}
        )

    def event(self, name: str, **data: Any) -> None:
        """Send an event of the virtual peer."""
        self.send({"type": "event", "name": name, "from": self.address, "to": "me", "data": data})

    def record(self) -> None:
        """Be a server in record mode; call before the page is opened."""
        self.mode = "record"
        self.server_peer.update(mode="record", capabilities=["publish"])

    def relay(self) -> None:
        """Be a server in relay mode; call before the page is opened."""
        self.mode = "relay"
        self.server_peer.update(mode="relay", capabilities=["publish", "view"])

    @property
    def address(self) -> str:
        """The virtual peer's; its id changes with each start."""
        return f"icey|server-{self.number}"

    async def sent(self, subtype: str, *, count: int = 1, deadline_s: float = 10) -> dict[str, Any]:
        """Wait until the page has sent `count` messages of this subtype; return the last one."""

        def last() -> dict[str, Any] | None:
            found = [frame for frame in self.frames if frame.get("subtype") == subtype]
            return found[-1] if len(found) >= count else None

        frame: dict[str, Any] = await until(last, f"{count} × {subtype}", deadline_s=deadline_s)
        return frame

    async def stop(self, *, reason: str = "") -> None:
        """Go away as a stopped process does: hang up (if a reason is given), close, refuse."""
        self.up = False
        if reason:
            self.call("call:hangup", reason=reason)
        assert self.socket is not None
        await self.socket.close(code=1001)

    def start(self) -> None:
        """Come back as a new process."""
        self.up = True
        self.number += 1

    async def _http(self, route: Route) -> None:
        address = route.request.url.removeprefix(ORIGIN)
        path = address.split("?")[0]
        if path.startswith("/api/"):
            await self._api(route, path)
            return
        if path.startswith("/artifacts/"):
            file = self.files.get(address, WEB / "none")
        else:
            file = WEB / (path.lstrip("/") or "index.html")
        if not file.is_file():
            await route.fulfill(status=404)
            return
        kind = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
        policy = {"Content-Security-Policy": content_security_policy("localhost")}
        await route.fulfill(body=file.read_bytes(), content_type=kind, headers=policy)

    async def _api(self, route: Route, path: str) -> None:
        if not self.up:
            await route.abort("connectionrefused")
        elif path == "/api/health":
            await route.fulfill(json={"status": "ok"})
        elif self.token and (route.request.headers.get("authorization") != f"Bearer {self.token}"):
            await route.fulfill(status=401, json={"status": "error", "error": "unauthorized"})
        elif path == "/api/recordings":
            await route.fulfill(json={"status": "ok", "recordings": self.recordings})
        elif path == "/api/status":
            user = next(frame["user"] for frame in self.frames if frame["type"] == "auth")
            viewers = [{"peer": f"viewer-{at}", "connected": True} for at in range(self.viewers)]
            viewers.append({"peer": "still calling", "connected": False})
            relay = {"source": {"peer": user}, "viewers": viewers}
            await route.fulfill(json={"status": "ok", "relay": relay})
        else:
            await route.fulfill(
                json={
                    "status": "ok",
                    "mode": self.mode,
                    "version": "0",
                    "source": {"value": "demo:", "kind": "demo", "remote": False},
                    "turn": self.turn,
                    "stun": {"urls": []},
                }
            )

    def _open(self, socket: WebSocketRoute) -> None:
        self.socket = socket
        socket.on_message(lambda text: self._receive(socket, str(text)))
        if not self.up:
            self._spawn(socket.close(code=1001))

    def _receive(self, socket: WebSocketRoute, text: str) -> None:
        frame = json.loads(text)
        self.frames.append(frame)
        if not self.up:
            return
        if frame["type"] == "auth":
            self._welcome(socket, frame)
        answer = self.answers.get(str(frame.get("subtype")))
        if answer:
            self._spawn(answer(frame))

    def _welcome(self, socket: WebSocketRoute, frame: dict[str, Any]) -> None:
        if self.token and frame.get("token") != self.token:
            self.send({"type": "error", "status": 401, "message": "wrong token"})
            self._spawn(socket.close(code=1008))
            return
        peer = {"id": "0123456789abcdef", "user": frame["user"], "name": "", "online": True}
        self.send({"type": "welcome", "protocol": "symple/4", "status": 200, "peer": peer})
        data = {**self.server_peer, "id": f"server-{self.number}"}
        self.send({"type": "presence", "from": self.address, "data": data})

    async def _accept(self, frame: dict[str, Any]) -> None:
        await self.page.evaluate("callee.close()")
        self.call("call:accept")

    async def _answer(self, frame: dict[str, Any]) -> None:
        sdp = await self.page.evaluate("sdp => callee.answer(sdp)", frame["data"]["sdp"])
        self.call("call:answer", type="answer", sdp=sdp)

    async def _candidate(self, frame: dict[str, Any]) -> None:
        await self.page.evaluate("candidate => callee.candidate(candidate)", frame["data"])

    def _spawn(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        # The tab may close or reload under an answer that is on its way.
        if not task.cancelled() and isinstance(task.exception(), PlaywrightError):
            self.console.append(f"verbose: {task.exception()}")
