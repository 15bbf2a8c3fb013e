"""The packet engine and the TURN server that a server owns."""

import socket

import pytest
from bench.ports import free_port

from icey.config.model import Settings
from icey.errors import AddressInUseError, EngineError
from icey.server.engine import running_engine


def settings(media=0, **turn):
    """Settings on the loopback, with this port for the media, 0 for a free one."""
    return Settings.model_validate(
        {"http": {"host": "127.0.0.1"}, "webrtc": {"port": media}, "turn": turn}
    )


def assert_free(port):
    """Fail where somebody has this UDP port."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as claim:
        claim.bind(("127.0.0.1", port))


async def test_both_ports_are_freed():
    """Engine and TURN server run until the end, and then leave their ports."""
    async with running_engine(settings(port=0)) as (engine, turn):
        ports = engine.port, turn.port
        for taken in ports:
            with pytest.raises(OSError, match="in use"):
                assert_free(taken)
    for freed in ports:
        assert_free(freed)


async def test_without_turn():
    """There is no TURN server where that is turned off."""
    async with running_engine(settings(enabled=False)) as (engine, turn):
        assert turn is None
        assert engine.port


async def test_turn_that_cannot_be_opened():
    """A TURN server that cannot be opened leaves no engine behind."""
    media = free_port()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(AddressInUseError):
            async with running_engine(settings(media, port=taken.getsockname()[1])):
                pytest.fail("the TURN port is taken")
    assert_free(media)


async def test_a_host_without_an_address():
    """A name that cannot be looked up is refused, with the setting's name."""
    made = Settings.model_validate({"http": {"host": "no-such-host.invalid"}})
    with pytest.raises(EngineError, match=r"http\.host 'no-such-host\.invalid' has no address"):
        async with running_engine(made):
            pytest.fail("the name has no address")
