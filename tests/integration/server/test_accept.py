"""Accepting, and what happens where the system has no descriptor left."""

import asyncio
import errno
import socket
from typing import Any

from icey.refusals import Refusals
from icey.server import accept
from icey.server.accept import Acceptor


class Exhausted:
    """A listening socket of a process that has no descriptor left, for a while."""

    def __init__(self, real):
        self.real = real
        self.tries = 0
        self.exhausted = True

    def __getattr__(self, name):
        return getattr(self.real, name)

    def accept(self):
        if self.exhausted:
            self.tries += 1
            raise OSError(errno.EMFILE, "Too many open files")
        return self.real.accept()


async def test_accepting_rests_without_descriptors_and_starts_again(monkeypatch):
    """Without descriptors accepting pauses, is counted, and goes on once there are some."""
    monkeypatch.setattr(accept, "PAUSE_S", 0.05)
    with socket.socket() as real:
        real.bind(("127.0.0.1", 0))
        listener, refusals, accepted = Exhausted(real), Refusals(), asyncio.Queue()
        listeners: Any = [listener]
        acceptor = Acceptor(listeners, lambda *one: accepted.put_nowait(one), refusals)
        acceptor.start()
        with socket.create_connection(real.getsockname()) as client:
            async with asyncio.timeout(5):
                while listener.tries < 3:
                    await asyncio.sleep(0.01)
            assert refusals.counts["descriptors"] == listener.tries
            assert accepted.empty()
            listener.exhausted = False
            connection, address = await asyncio.wait_for(accepted.get(), 5)
            assert address == client.getsockname()
            connection.close()
        acceptor.close()


async def test_many_are_accepted_in_goes():
    """More connections than one go takes are all accepted."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        accepted = []
        acceptor = Acceptor([listener], lambda one, _: accepted.append(one), Refusals())
        acceptor.start()
        clients = [socket.create_connection(listener.getsockname()) for _ in range(300)]
        async with asyncio.timeout(5):
            while len(accepted) < 300:
                await asyncio.sleep(0.01)
        acceptor.close()
        for one in [*accepted, *clients]:
            one.close()
