"""Binding the port, and connections that send no request."""

import asyncio
import contextlib
import socket

import pytest

from icey.errors import AddressInUseError
from icey.server.listener import bind


@contextlib.contextmanager
def bound(host, port):
    listeners = bind(host, port)
    try:
        yield listeners
    finally:
        for listener in listeners:
            listener.close()


def test_a_free_port_is_the_same_for_every_address():
    """Port 0 takes one free port for all addresses of the host."""
    with bound("localhost", 0) as listeners:
        ports = {listener.getsockname()[1] for listener in listeners}
        assert len(ports) == 1
        assert ports != {0}


def test_a_port_in_use_names_itself():
    """A port in use raises an error that names it, and nothing stays bound."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(AddressInUseError, match=str(port)) as refused:
            bind("127.0.0.1", port)
    assert (refused.value.host, refused.value.port) == ("127.0.0.1", port)


@pytest.mark.parametrize("host", ["192.0.2.1", "no-such-host.invalid"])
def test_a_host_of_another_machine(host):
    """A host of another machine raises a typed error."""
    with pytest.raises(AddressInUseError):
        bind(host, 0)


async def test_a_connection_that_never_asks_is_cut(make_server, monkeypatch):
    """A connection that never completes its first request is cut."""
    monkeypatch.setattr("icey.server.entrance.HEAD_TIMEOUT_S", 0.2)
    monkeypatch.setattr("icey.server.entrance.SILENT_TIMEOUT_S", 0.2)
    async with make_server() as server:
        for begun in (b"", b"GET / HTTP/1.1\r\nHost:"):
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(begun)
            with contextlib.suppress(ConnectionResetError):
                assert await asyncio.wait_for(reader.read(), 5) == b""
            writer.close()


async def test_the_clock_stops_with_the_upgrade(make_server, wire, monkeypatch):
    """The deadline of the first request does not cut a WebSocket."""
    monkeypatch.setattr("icey.server.connection.HEAD_TIMEOUT_S", 0.1)
    monkeypatch.setattr("icey.server.entrance.HEAD_TIMEOUT_S", 0.1)
    async with make_server() as server:
        alice = await server.enter("alice")
        with pytest.raises(TimeoutError):
            await wire.hear(alice, within_s=0.3)
        await wire.say(alice, {"type": "join", "room": "den"})
        assert (await wire.hear(alice))["type"] == "join:ok"
