"""What is alike in every mode, with an engine that the test plays."""

import logging
from types import SimpleNamespace

import pytest

from icey._core import PeerConnected, PeerDisconnected, PeerStats
from icey.sessions import calls
from unit.sessions.played_engine import ALICE, Conversation

PAIRS = ["browser host 192.0.2.7:50022 to 192.0.2.1:4501: 9 checks sent, none answered"]
HANGUP = {
    "type": "message",
    "subtype": "call:hangup",
    "data": {"reason": "no media came through"},
}


class Idle:
    """A call with which nothing is done."""

    def __init__(self, peer):
        self.peer = peer

    async def answered(self):
        """It stays as it is."""

    def reached(self):
        """It stays as it is."""

    def connected(self):
        """It stays as it is."""

    def close(self):
        self.peer.close()


class IdleMode:
    """A mode that does nothing with its calls."""

    close_seconds = 4.0

    def __init__(self, engine, work):
        self.engine = engine

    def start(self):
        """Nothing goes on."""

    async def refusal(self):
        return None

    def open(self, call, offer):
        return Idle(self.engine.create_peer())

    def tick(self):
        """Nothing is due."""

    def status(self):
        return {}

    def close(self):
        """Nothing is left."""


@pytest.fixture
async def house():
    """The mode, running, with TURN on port 3478."""
    turn = SimpleNamespace(port=3478)
    async with Conversation(IdleMode, turn=turn, external_ip="192.0.2.1") as running:
        yield running


def warnings(caplog):
    return [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]


async def test_connection_failed(house, caplog):
    """Where ICE failed, the log has the pairs, and log and caller hear what to change."""
    peer = await house.call(ALICE)
    house.engine.tell(PeerDisconnected(peer=peer.id, reason="connection failed", pairs=PAIRS))
    await house.until(lambda: house.heard(ALICE, "call:hangup"))
    reason = house.heard(ALICE, "call:hangup")[0]["reason"]
    assert reason.startswith("connection failed: open UDP port 4501 (webrtc.port)")
    assert "UDP and TCP port 3478 (turn.port)" in reason
    (line,) = warnings(caplog)
    assert "connection failed" in line
    assert PAIRS[0] in line
    assert "turn.externalIp 192.0.2.1" in line


async def test_caller_gives_up(house, monkeypatch, caplog):
    """A caller that hangs up because no media come is logged with the pairs that were tried."""
    monkeypatch.setattr(calls, "PATIENCE_SECONDS", 0)
    peer = await house.call(ALICE)
    peer.counted = PeerStats(pairs=PAIRS)
    house.calls.deliver(ALICE, HANGUP)
    await house.until(lambda: peer.closed)
    (line,) = warnings(caplog)
    assert "no media came through. The server saw: browser host 192.0.2.7:50022" in line


async def test_ordinary_ends_are_no_failure(house, monkeypatch, caplog):
    """Neither who was connected nor who hangs up at once is taken for a failure."""
    caplog.set_level(logging.INFO)
    peer = await house.call(ALICE)
    house.calls.deliver(ALICE, HANGUP)
    await house.until(lambda: peer.closed)
    monkeypatch.setattr(calls, "PATIENCE_SECONDS", 0)
    peer = await house.call(ALICE)
    house.engine.tell(PeerConnected(peer=peer.id))
    house.engine.tell(PeerDisconnected(peer=peer.id, reason="connection lost"))
    await house.until(lambda: peer.closed)
    assert warnings(caplog) == []
    assert "call ended: connection lost" in caplog.text
