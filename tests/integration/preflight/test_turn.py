"""The check of the TURN server, with a real one."""

import contextlib
import socket
import time

import pytest
from bench.ports import free_port

from icey._core import Engine
from icey.config.model import Settings
from icey.preflight.finding import render
from icey.preflight.running import Running
from icey.preflight.turn import check_turn
from icey.turn.service import TurnService

HERE = "127.0.0.1"


def settings(**turn):
    return Settings.model_validate({"http": {"host": HERE}, "turn": {"port": 0, **turn}})


def check(turn, running=None):
    finding = check_turn(turn, running)
    return finding.result, render(finding.detail, public=True)


def test_before_the_start():
    """A TURN server is opened for the test, used over UDP and TCP, and leaves its port free."""
    port = free_port()
    for _ in range(2):
        began = time.monotonic()
        result, detail = check(settings(port=port))
        assert result == "pass"
        assert f"UDP {port}" in detail
        assert f"TCP {port}" in detail
        assert time.monotonic() - began < 3


def test_running_server():
    """The server that runs is the one that is tried: its counters tell."""
    with (
        contextlib.closing(Engine(host=HERE)) as engine,
        contextlib.closing(TurnService(engine, settings(), host=HERE)) as service,
    ):
        result, detail = check(settings(), Running(turn=service.target()))
        assert result == "pass"
        assert str(service.port) in detail
        assert service.status()["allocations"]["total"] == 4


@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_STREAM])
def test_port_taken(kind):
    """A port that is taken, in UDP or TCP, fails and names the settings."""
    with socket.socket(socket.AF_INET, kind) as holder:
        holder.bind((HERE, 0))
        if kind == socket.SOCK_STREAM:
            holder.listen()
        port = holder.getsockname()[1]
        result, detail = check(settings(port=port))
    assert result == "fail"
    assert str(port) in detail
    assert "--turn-port or turn.port" in detail


def test_external_address_of_others():
    """An external address where nobody answers is warned of; the server can run."""
    result, detail = check(settings(externalIp="127.0.0.3"))
    assert result == "warn"
    assert "did not answer at turn.externalIp 127.0.0.3" in detail
    assert "is not a public address" in detail
