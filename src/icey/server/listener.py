"""The TCP port: binds it, and runs uvicorn's server on it without uvicorn's signal handling."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
from typing import TYPE_CHECKING, Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from icey.errors import AddressInUseError
from icey.preflight import network

if TYPE_CHECKING:
    from collections.abc import Iterator

    import h11
    from starlette.types import ASGIApp, Receive, Scope, Send

    from icey.config.model import TlsSettings

ABORT = "icey.abort"
"""The ASGI extension by which an answer cuts its connection. ASGI alone can only close it, which
waits for a client that does not read."""

HEAD_TIMEOUT_S = 15.0
"""How long a connection may take for its first request line and headers."""

BACKLOG = 1024

MAX_CONNECTIONS = 4096
"""HTTP connections at a time, WebSockets not among them; a further request gets 503."""


class BoundedHttpProtocol(H11Protocol):
    """uvicorn's HTTP/1.1 with a deadline for the first request, which uvicorn has not."""

    _head_timer: asyncio.TimerHandle | None = None

    def __init__(self, *arguments: Any, **options: Any) -> None:  # noqa: ANN401 - uvicorn's own
        super().__init__(*arguments, **options)
        # uvicorn decides by whether anybody listens to its logger; it would log the query too.
        self.access_log = False
        app = self.app

        async def with_abort(scope: Scope, receive: Receive, send: Send) -> None:
            scope["extensions"] = {**scope.get("extensions", {}), ABORT: self.transport.abort}
            await app(scope, receive, send)

        self.app = with_abort

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the deadline of the first request."""
        super().connection_made(transport)
        self._head_timer = self.loop.call_later(HEAD_TIMEOUT_S, self._head_overdue)

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel the deadline."""
        if self._head_timer is not None:
            self._head_timer.cancel()
        super().connection_lost(exc)

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        """Cancel the deadline: only the WebSocket will see the end of the connection."""
        if self._head_timer is not None:
            self._head_timer.cancel()
        super().handle_websocket_upgrade(event)

    def _head_overdue(self) -> None:
        # After an upgrade the transport belongs to another protocol.
        cycle: object = self.cycle
        if cycle is None and self.transport.get_protocol() is self:
            self.transport.abort()


class HttpServer(uvicorn.Server):
    """uvicorn's server; `icey.server.app` handles the signals."""

    def __init__(self, app: ASGIApp, websocket: type[asyncio.Protocol], tls: TlsSettings) -> None:
        # Below INFO uvicorn logs whole requests, tokens included; at WARNING, each request that
        # it cannot parse, so that anybody could fill the log.
        logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
        files: dict[str, Any] = {}
        if tls.cert is not None and tls.key is not None:
            files = {"ssl_certfile": os.fspath(tls.cert), "ssl_keyfile": os.fspath(tls.key)}
        super().__init__(
            uvicorn.Config(
                app,
                http=BoundedHttpProtocol,
                ws=websocket,
                lifespan="off",
                interface="asgi3",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                backlog=BACKLOG,
                limit_concurrency=MAX_CONNECTIONS,
                timeout_keep_alive=15,
                timeout_graceful_shutdown=1,
                **files,
            )
        )

        self.listening = asyncio.Event()
        """Set once connections are accepted."""
        self._stopping = asyncio.Event()
        self.servers = []

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to accept connections."""
        await super().startup(sockets)
        self.listening.set()

    async def main_loop(self) -> None:
        """Update the ``Date`` of the responses once a second until `stop`."""
        while not self.should_exit:
            await self.on_tick(0)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), 1.0)

    def stop(self) -> None:
        """Make `serve` return."""
        self.should_exit = True
        self._stopping.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Install no signal handler."""
        yield

    def stop_accepting(self) -> None:
        """Close the listening sockets; open connections stay."""
        for server in self.servers:
            server.close()


def bind(host: str, port: int) -> list[socket.socket]:
    """Bind every address of a host, without listening yet.

    Args:
        host: an address or a name.
        port: 0 takes a free one, the same for all addresses.

    Raises:
        AddressInUseError: the port is taken, may not be used, or the host is not of this machine.
    """
    try:
        return network.bind(host, port, socket.SOCK_STREAM)
    except OSError as error:
        reason = error.strerror or str(error)
        raise AddressInUseError(
            f"cannot listen on {host} port {port}: {reason}", host=host, port=port
        ) from error
