"""A hostile client in a process of its own: ``http_attacker.py KIND ADDRESS PORT COUNT FROM``.

It opens COUNT connections from the loopback address FROM, renews what the server closes (not where
KIND ends in ``-once``), says "ready" once each was begun, and goes on until it is ended.
"""

from __future__ import annotations

import base64
import os
import selectors
import socket
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_HOST = "Host: 127.0.0.1\r\n"
_UPGRADE = (
    f"GET /ws HTTP/1.1\r\n{_HOST}Upgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: "
    f"{base64.b64encode(b'k' * 16).decode()}\r\n\r\n"
)
_MANY_HEADERS = "".join(f"a{n}: b\r\n" for n in range(80))

FIRST = {
    "silent": "",
    "half": f"GET / HTTP/1.1\r\n{_HOST}X-Endless: ",
    "chunks": f"GET / HTTP/1.1\r\n{_HOST}Transfer-Encoding: chunked\r\n\r\n",
    "sockets": _UPGRADE,
    "readers": f"GET /api/events HTTP/1.1\r\n{_HOST}\r\n",
    "pipeline": "",
    "headers": "",
    "unread": "",
}
"""What each kind says first."""

MORE = {
    "chunks": "1\r\nx\r\n" * 10_000,
    "pipeline": f"GET /index.html HTTP/1.1\r\n{_HOST}\r\n" * 500,
    "headers": f"GET /api/nothing HTTP/1.1\r\n{_HOST}{_MANY_HEADERS}\r\n" * 100,
    "unread": f"GET /index.html HTTP/1.1\r\n{_HOST}\r\n" * 500,
}
"""What it goes on with, as fast as it is taken."""

READ_NOTHING = {"unread", "readers", "silent"}


class Attack:
    """Connections of one kind."""

    def __init__(self, kind: str, target: tuple[str, int], source: str) -> None:
        self._kind, _, how = kind.partition("-")
        self._once = how == "once"
        self._target, self._source = target, source
        self._selector = selectors.DefaultSelector()
        self._more = MORE.get(self._kind, "").encode()

    def open(self) -> None:
        """Begin one connection."""
        connection = socket.socket()
        connection.setblocking(False)
        connection.setsockopt(socket.SOL_IP, 24, 1)  # IP_BIND_ADDRESS_NO_PORT: ports are by target
        connection.bind((self._source, 0))
        connection.connect_ex(self._target)
        self._selector.register(
            connection, selectors.EVENT_WRITE, FIRST[self._kind].encode() + self._more
        )

    def run(self) -> None:
        """Serve all connections once; those that ended are begun anew."""
        for key, ready in self._selector.select(0.1):
            try:
                self._serve(key, ready)
            except (BlockingIOError, InterruptedError):
                continue
            except OSError:
                self._renew(key.fileobj)

    def _serve(self, key: selectors.SelectorKey, ready: int) -> None:
        connection = key.fileobj
        assert isinstance(connection, socket.socket)
        if ready & selectors.EVENT_READ and self._kind != "unread" and not connection.recv(1 << 16):
            self._renew(connection)
            return
        if not ready & selectors.EVENT_WRITE:
            return
        if error := connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            raise OSError(error, os.strerror(error))
        rest = key.data[connection.send(key.data) :] if key.data else b""
        rest = rest or self._more
        both = selectors.EVENT_READ | selectors.EVENT_WRITE
        self._selector.modify(connection, both if rest else selectors.EVENT_READ, rest)

    def _renew(self, connection: object) -> None:
        assert isinstance(connection, socket.socket)
        self._selector.unregister(connection)
        connection.close()
        if not self._once:
            self.open()


@contextmanager
def attacking(
    kind: str, port: int, count: int, source: str = "127.0.0.2"
) -> Iterator[subprocess.Popen[str]]:
    """Run an attack until the block is left."""
    command = [
        sys.executable,
        __file__,
        kind,
        "127.0.0.1",
        str(port),
        str(count),
        source,
    ]
    attacker = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert attacker.stdout is not None
        assert attacker.stdout.readline() == "ready\n"
        yield attacker
    finally:
        attacker.kill()
        attacker.wait()


def main() -> None:
    """Attack until killed."""
    kind, address, port, count, source = sys.argv[1:]
    attack = Attack(kind, (address, int(port)), source)
    for number in range(int(count)):
        attack.open()
        if number % 64 == 0:
            attack.run()
    attack.run()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    while True:
        attack.run()


if __name__ == "__main__":
    main()
