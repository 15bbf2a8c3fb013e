"""The way of a connection from `accept` to its protocol, TLS included.

An accepted socket costs a descriptor and little else until there is the first byte of a TLS
handshake, or the whole head of a request, and until it is the turn of its network: only then does
it get a transport and a protocol. Handshakes are few at a time.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket as sockets
from asyncio import sslproto
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Protocol

from icey.network import network_of
from icey.quota import Quota
from icey.server.door import Door, Place
from icey.server.heads import MAX_HEAD_BYTES, Heads
from icey.server.pace import payer_of

if TYPE_CHECKING:
    import socket
    import ssl
    from collections.abc import Callable

    from icey.refusals import Refusals
    from icey.server.pace import Pace, Turn
    from icey.server.proxies import TrustedProxies

log = logging.getLogger(__name__)

SILENT_TIMEOUT_S = 10.0
"""From accept to the first byte, and from there to the end of a TLS handshake."""

HEAD_TIMEOUT_S = 15.0
"""From the first byte of a request's head to its end."""

SHUTDOWN_TIMEOUT_S = 2.0
"""How long a client may take for the end of TLS."""

HANDSHAKES, HANDSHAKES_EACH = 512, 64
"""TLS handshakes at a time, in all and of one network; beyond them the longest one is cut."""

HANDSHAKE_COST = 4.0
"""What a TLS handshake costs of a network's pace, in requests: some 1 ms of CPU."""

TLS_BUFFER_BYTES = 32 * 1024
"""What asyncio reads of a TLS connection at once. It keeps a buffer of this size for each
connection, 256 KiB by default: 2000 viewers had 500 MB of them. A TLS record has 16 KiB."""

UNSENT_BYTES = 128 * 1024
"""What the kernel takes of a response ahead of what it has sent, so that a client which does not
read is seen early."""


_network_of = lru_cache(maxsize=4096)(network_of)
"""A flood of connections asks for the same few again and again."""


class Served(Protocol):
    """The protocol of a connection, as the entrance uses it."""

    def check(self, now: float) -> None:
        """Cut the connection where a time-out is over; called each second."""

    def cut(self) -> None:
        """Cut the connection at once."""


class Visit:
    """One connection, from accept to its end.

    Attributes:
        host: the address of the other end.
        network: whom it counts for, unless it is a trusted proxy's.
        place: its place at the door.
        heads: what it has sent, without TLS.
        paid: whether its first request has had its turn already.
        served: its protocol, once there is one.
    """

    def __init__(self, entrance: Entrance, connection: socket.socket, host: str) -> None:
        self.entrance = entrance
        self.host = host
        self.network = _network_of(host)
        self.place: Place
        self.heads = Heads()
        self.paid = False
        self.served: Served | None = None
        self._socket: socket.socket | None = connection
        self._task: asyncio.Task[None] | None = None
        self._turn: Turn | None = None
        self._deadline = 0.0
        self._watched = False
        self._handshake: Place | None = None

    def begin(self, now: float) -> None:
        """Wait for the first byte."""
        self._deadline = now + SILENT_TIMEOUT_S
        if self._socket is not None:
            self._watched = True
            asyncio.get_running_loop().add_reader(self._socket.fileno(), self._readable)

    def check(self, now: float) -> None:
        """Cut the connection where a time-out is over."""
        if self.served is not None:
            self.served.check(now)
        elif now > self._deadline:
            reason = "a connection that says nothing, or not all of its first request or handshake"
            self.entrance.refusals.count("silentConnections", self.network, reason)
            self.cut()

    def cut(self) -> None:
        """Cut the connection at once."""
        if self.served is not None:
            self.served.cut()
            return
        if self._turn is not None:
            self._turn.cancel()
        if self._task is not None:
            self._task.cancel()
        else:
            self._close()
        self.end()

    def end(self) -> None:
        """Give back the place; the connection is closed or about to be. Idempotent."""
        self._end_handshake()
        self.entrance.visits.discard(self)
        self.entrance.door.leave(self.place)

    def _close(self) -> None:
        self._unwatch()
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _unwatch(self) -> None:
        if self._watched and self._socket is not None:
            asyncio.get_running_loop().remove_reader(self._socket.fileno())
        self._watched = False

    def _readable(self) -> None:
        if self._socket is None:
            return
        tls = self.entrance.tls is not None
        try:
            data = self._socket.recv(*((1, sockets.MSG_PEEK) if tls else (MAX_HEAD_BYTES,)))
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        if not data:  # it left, or was reset
            self._close()
            self.end()
        elif tls:
            self._unwatch()
            self._wait_for_turn(HANDSHAKE_COST)
        else:
            if not len(self.heads):
                self._deadline = asyncio.get_running_loop().time() + HEAD_TIMEOUT_S
            self.heads.feed(data)
            if self.heads.whole():
                self._unwatch()
                self._wait_for_turn(1.0)

    def _wait_for_turn(self, cost: float) -> None:
        if self.place.proxy:  # its clients pay, each for its own
            self._start()
            return
        self.paid = self.entrance.tls is None
        payer = payer_of(self.network, health=self.heads.ask_for_health())
        self._turn = self.entrance.pace.take(payer, self._start, cost)

    def _start(self) -> None:
        self._turn = None
        if self._socket is None:
            return
        loop = asyncio.get_running_loop()
        self._deadline = loop.time() + SILENT_TIMEOUT_S + 1.0  # the handshake has its own
        if self.paid:
            self.entrance.door.work(self.place)
        if self.entrance.tls is not None:
            self._handshake, _ = self.entrance.handshakes.enter(
                self.network, self.cut, proxy=self.place.proxy
            )
        self._task = loop.create_task(self._connect(loop, self._socket))

    async def _connect(self, loop: asyncio.AbstractEventLoop, connection: socket.socket) -> None:
        tls = self.entrance.tls
        options: dict[str, Any] = {}
        if tls is not None:
            options = {
                "ssl": tls,
                "ssl_handshake_timeout": SILENT_TIMEOUT_S,
                "ssl_shutdown_timeout": SHUTDOWN_TIMEOUT_S,
            }
        try:
            if hasattr(sockets, "TCP_NOTSENT_LOWAT"):
                with contextlib.suppress(OSError):
                    option = sockets.TCP_NOTSENT_LOWAT
                    connection.setsockopt(sockets.IPPROTO_TCP, option, UNSENT_BYTES)
            # From here on the transport owns the socket, and closes it.
            await loop.connect_accepted_socket(self._protocol, connection, **options)
        except OSError as error:  # TLS's faults and time-outs among them
            log.debug("no connection with %s: %s", self.host, error)
            self.end()
        finally:
            self._socket = self._task = None
            self._end_handshake()

    def _protocol(self) -> asyncio.Protocol:
        return self.entrance.protocol(self)

    def _end_handshake(self) -> None:
        if self._handshake is not None:
            self.entrance.handshakes.leave(self._handshake)
            self._handshake = None


class Entrance:
    """Lets accepted connections in. Runs on the event loop.

    Args:
        door: who may stay.
        pace: the requests of each network.
        proxies: whose ``X-Forwarded-For`` is believed.
        refusals: counts what is refused.
        tls: the certificate's context; None is plain HTTP.
        protocol: makes the protocol of a visit.
    """

    def __init__(
        self,
        door: Door,
        pace: Pace,
        proxies: TrustedProxies,
        refusals: Refusals,
        *,
        tls: ssl.SSLContext | None,
        protocol: Callable[[Visit], asyncio.Protocol],
    ) -> None:
        self.door = door
        self.pace = pace
        self.proxies = proxies
        self.refusals = refusals
        self.tls = tls
        self.protocol = protocol
        self.handshakes = Door(Quota(HANDSHAKES, HANDSHAKES_EACH))
        self.visits: set[Visit] = set()
        self.proxy_warned = False
        """Whether the operator was told of a proxy that is not trusted."""
        if tls is not None:
            sslproto.SSLProtocol.max_size = TLS_BUFFER_BYTES

    def take(self, connection: socket.socket, address: Any) -> None:  # noqa: ANN401 - of accept
        """Let a connection in, or close it."""
        visit = Visit(self, connection, address[0])
        place, bound = self.door.enter(
            visit.network, visit.cut, proxy=self.proxies.trusts(visit.host)
        )
        if bound is not None:
            name = "connectionsPerAddress" if bound == "each" else "connections"
            reason = f"a connection: all of limits.{name} are in use"
            self.refusals.count(name, visit.network, reason)
        if place is None:
            connection.close()
            return
        visit.place = place
        self.visits.add(visit)
        visit.begin(asyncio.get_running_loop().time())

    def check(self) -> None:
        """Cut the connections whose time-outs are over; called each second."""
        now = asyncio.get_running_loop().time()
        for visit in tuple(self.visits):
            try:
                visit.check(now)
            except Exception:
                log.exception("a connection is cut, as it cannot be looked after")
                visit.cut()

    def close(self) -> None:
        """Cut all connections that have no protocol yet."""
        for visit in tuple(self.visits):
            if visit.served is None:
                visit.cut()

    def status(self) -> dict[str, int]:
        """Count connections, and those cut for a newcomer, as ``/api/status`` shows them."""
        return {
            "connections": self.door.taken,
            "idle": self.door.idle,
            "idleCut": self.door.cut,
        }
