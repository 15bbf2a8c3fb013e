"""Accepts TCP connections, a few at a time, and stops for a while where descriptors run out."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket as sockets
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Sequence

    from icey.refusals import Refusals

log = logging.getLogger(__name__)

BACKLOG = 4096
"""Connections that the kernel completes ahead of us."""

RECEIVE_BYTES = 32 * 1024
"""What the kernel takes of a client ahead of us; Linux doubles it. Nobody sends us much."""

BATCH, BREATH_S = 128, 0.002
"""Connections accepted in one go; then everybody else has a turn for so long, seconds."""

PAUSE_S = 0.5
"""How long accepting rests where the system has no descriptor or no memory for another one."""

_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class Acceptor:
    """Accepts on bound sockets until `close`. Runs on the event loop.

    Args:
        listeners: bound, not yet listening; closed by `close`.
        take: takes each connection, non-blocking, and its remote address.
        refusals: counts that there were no descriptors.
    """

    def __init__(
        self,
        listeners: Sequence[socket.socket],
        take: Callable[[socket.socket, Any], None],
        refusals: Refusals,
    ) -> None:
        self._listeners = list(listeners)
        self._take = take
        self._refusals = refusals
        self._pause: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Start to listen and to accept."""
        for listener in self._listeners:
            listener.setblocking(False)
            # Accepted sockets inherit it. Else a client may fill megabytes of the kernel's memory.
            listener.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, RECEIVE_BYTES)
            listener.listen(BACKLOG)
        self._resume()

    def close(self) -> None:
        """Close the listening sockets. Idempotent."""
        if self._pause is not None:
            self._pause.cancel()
        self._stop()
        for listener in self._listeners:
            listener.close()
        self._listeners.clear()

    def _resume(self) -> None:
        self._pause = None
        loop = asyncio.get_running_loop()
        for listener in self._listeners:
            loop.add_reader(listener.fileno(), self._accept, listener)

    def _stop(self) -> None:
        loop = asyncio.get_running_loop()
        for listener in self._listeners:
            loop.remove_reader(listener.fileno())

    def _accept(self, listener: socket.socket) -> None:
        for _ in range(BATCH):
            try:
                connection, address = listener.accept()
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                if error.errno in _EXHAUSTED:
                    self._rest(error)
                    return
                # It was gone before it was accepted (accept(2): ECONNABORTED and the like).
                log.debug("a connection could not be accepted: %s", error)
                continue
            connection.setblocking(False)
            self._take(connection, address)
        self._pause_for(BREATH_S)

    def _rest(self, error: OSError) -> None:
        reason = f"connections, as the system says: {error.strerror}; raise the limit of open files"
        self._refusals.count("descriptors", "", reason)
        self._pause_for(PAUSE_S)

    def _pause_for(self, seconds: float) -> None:
        self._stop()
        if self._pause is not None:
            self._pause.cancel()
        self._pause = asyncio.get_running_loop().call_later(seconds, self._resume)
