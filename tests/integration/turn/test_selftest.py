"""The self-test, against a TURN server that works and against what is none."""

import contextlib
import dataclasses
import socket

import pytest

from e2e.turn_client import TurnClient
from icey._core import Engine
from icey.config.model import Settings
from icey.turn import selftest
from icey.turn.selftest import try_from_outside, try_here
from icey.turn.service import TurnService

HERE = "127.0.0.1"


@pytest.fixture
def target():
    """A TURN server on loopback, as a self-test sees it."""
    settings = Settings.model_validate({"turn": {"port": 0}})
    with (
        contextlib.closing(Engine(host=HERE)) as engine,
        contextlib.closing(TurnService(engine, settings, host=HERE)) as service,
    ):
        yield service.target()


@pytest.fixture
def shut():
    """A port at which nobody answers, in UDP or TCP."""
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp,
        socket.socket(socket.AF_INET, socket.SOCK_STREAM) as tcp,
    ):
        udp.bind((HERE, 0))
        tcp.bind((HERE, udp.getsockname()[1]))
        yield udp.getsockname()[1]


def test_works(target):
    """UDP and TCP are tried, and a datagram goes through each and back."""
    trials = try_here(target)
    assert [(t.transport, t.port, t.problem) for t in trials] == [
        ("udp", target.port, ""),
        ("tcp", target.port, ""),
    ]
    assert all(0 < trial.round_trip_ms < 1000 for trial in trials)


def test_nobody_there(target, shut, monkeypatch):
    """Where nothing answers, each transport says so; none is shown with its credential."""
    monkeypatch.setattr(selftest, "HERE_TIMEOUT_S", 0.5)
    trials = try_here(dataclasses.replace(target, port=shut))
    assert all(trial.problem and trial.round_trip_ms is None for trial in trials)
    assert target.credential.password not in repr(trials)


def test_refused(target):
    """A server with another secret refuses, and the trial says what it said."""
    wrong = dataclasses.replace(target.credential, password="another")
    trials = try_here(dataclasses.replace(target, credential=wrong))
    assert all("401" in trial.problem for trial in trials)


def test_full():
    """A server without room for one more says so, and the trial knows it for that."""
    settings = Settings.model_validate({"turn": {"port": 0, "maxAllocations": 4}})
    with (
        contextlib.closing(Engine(host=HERE)) as engine,
        contextlib.closing(TurnService(engine, settings, host=HERE)) as service,
        contextlib.ExitStack() as stack,
    ):
        for _ in range(4):
            client = stack.enter_context(TurnClient((HERE, service.port)))
            credential = service.credential()
            assert client.allocate(credential.username, credential.password).code == 0
        assert [trial.full for trial in try_here(service.target())] == [True, True]


def test_from_outside(target, shut, monkeypatch):
    """The external address is tried where there is one."""
    monkeypatch.setattr(selftest, "OUTSIDE_TIMEOUT_S", 0.5)
    assert try_from_outside(target) == []
    looped = dataclasses.replace(target, external_ip=HERE)
    assert [trial.problem for trial in try_from_outside(looped)] == ["", ""]
    closed = dataclasses.replace(looped, port=shut)
    assert all(trial.problem for trial in try_from_outside(closed))
