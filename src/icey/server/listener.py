"""The TCP port: binds it, and runs uvicorn's server behind the entrance, without its signals."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
from typing import TYPE_CHECKING, Any

import uvicorn

from icey.errors import AddressInUseError
from icey.preflight import network
from icey.quota import Quota
from icey.server.accept import Acceptor
from icey.server.connection import HttpConnection
from icey.server.door import Door
from icey.server.entrance import Entrance
from icey.server.hardening import content_security_policy, fixed_headers
from icey.server.pace import Pace
from icey.server.process import room_for_connections
from icey.server.proxies import TrustedProxies

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from starlette.types import ASGIApp

    from icey.config.limits import LimitsSettings
    from icey.config.model import Settings
    from icey.refusals import Refusals
    from icey.server.bodies import BodyLimit
    from icey.server.entrance import Visit


class HttpServer(uvicorn.Server):
    """uvicorn's server; `icey.server.app` handles the signals.

    Args:
        app: the application.
        websocket: what `icey.server.websocket.socket_class` returned.
        settings: the settings in force.
        refusals: counts what is refused.
        bodies: which paths read a body, and how much; elsewhere none is read.
    """

    def __init__(
        self,
        app: ASGIApp,
        websocket: type[asyncio.Protocol],
        settings: Settings,
        refusals: Refusals,
        bodies: Mapping[str, BodyLimit] | None = None,
    ) -> None:
        # Below INFO uvicorn logs whole requests, tokens included; at WARNING, each request that
        # it cannot parse, so that anybody could fill the log.
        logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
        tls = settings.tls
        files: dict[str, Any] = {}
        if tls.cert is not None and tls.key is not None:
            files = {"ssl_certfile": os.fspath(tls.cert), "ssl_keyfile": os.fspath(tls.key)}
        super().__init__(
            uvicorn.Config(
                app,
                ws=websocket,
                lifespan="off",
                interface="asgi3",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_graceful_shutdown=1,
                **files,
            )
        )

        self.listening = asyncio.Event()
        """Set once connections are accepted."""
        self.config.load()
        self.entrance = self._make_entrance(settings, refusals, bodies or {})
        self._refusals = refusals
        self._acceptor: Acceptor | None = None
        self._stopping = asyncio.Event()
        self.servers = []

    def _make_entrance(
        self, settings: Settings, refusals: Refusals, bodies: Mapping[str, BodyLimit]
    ) -> Entrance:
        limits = settings.limits
        headers = {
            **fixed_headers(),
            "Content-Security-Policy": content_security_policy(""),
        }

        def protocol(visit: Visit) -> HttpConnection:
            return HttpConnection(self.config, self.server_state, visit, bodies, headers)

        return Entrance(
            Door(_connections(limits)),
            Pace(limits.requests_per_address),
            TrustedProxies(settings.http.trusted_proxies),
            refusals,
            tls=self.config.ssl,
            protocol=protocol,
        )

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to accept connections."""
        await self.on_tick(0)
        listeners: Sequence[socket.socket] = sockets or []
        self._acceptor = Acceptor(listeners, self.entrance.take, self._refusals)
        self._acceptor.start()
        self.started = True
        self.listening.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close all connections, those with a response after its end, if that comes soon."""
        self.stop_accepting()
        self.entrance.close()
        await super().shutdown(sockets)
        self.entrance.close(served=True)

    async def main_loop(self) -> None:
        """Look for what is overdue, and update the ``Date`` of the responses, until `stop`."""
        while not self.should_exit:
            await self.on_tick(0)
            self.entrance.check()
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
        if self._acceptor is not None:
            self._acceptor.close()


def _connections(limits: LimitsSettings) -> Quota:
    """The bounds of connections; one network leaves a quarter to others also where few fit."""
    total = room_for_connections(limits.connections)
    each = limits.connections_per_address
    return Quota(total, min(each, max(1, total * 3 // 4)) if total else each)


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
