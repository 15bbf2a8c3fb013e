"""What is alike in every mode, with an engine that the test plays."""

import asyncio
import logging
from types import SimpleNamespace

import pytest

from icey._core import PeerConnected, PeerDisconnected, PeerStats
from icey.sessions import absence, calls
from unit.sessions.played_engine import ALICE, INIT, OFFER, Conversation

PAIRS = ["browser host 192.0.2.7:50022 to 192.0.2.1:4501: 9 checks sent, none answered"]
HANGUP = {
    "type": "message",
    "subtype": "call:hangup",
    "data": {"reason": "no media came through"},
}


class Idle:
    """A call with which nothing is done."""

    def __init__(self, peer, call):
        self.peer, self.call = peer, call

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
        self.session = Idle(self.engine.create_peer(), call)
        return self.session

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


def stats(received):
    return PeerStats(packets_received=received)


async def connected(house, received=0):
    peer = await house.call(ALICE)
    peer.counted = stats(received)
    house.engine.tell(PeerConnected(peer=peer.id))
    await house.until(lambda: not house.engine.waiting)
    return peer


async def test_media_outlive_the_socket(house, monkeypatch):
    """A lost socket leaves a connected call as it is, and its caller may come back to it."""
    monkeypatch.setattr(absence, "CHECK_SECONDS", 0.01)
    peer = await connected(house)
    house.calls.caller_left(ALICE, lost=True)
    assert not peer.closed
    assert house.calls.status()["sessions"] == {"active": 1, "total": 1}
    sdp = "v=0\r\na=ice-pwd:secret\r\n"
    resumed = {**OFFER, "data": {"type": "offer", "sdp": sdp}}
    house.calls.deliver("alice|2", resumed)  # of another password: a new call
    await house.until(lambda: peer.closed)


async def test_a_caller_comes_back_to_its_call(house):
    """The offer of the next socket is answered there by the same peer, and events follow."""
    data = {"type": "offer", "sdp": "v=0\r\na=ice-pwd:secret\r\n"}
    offer = {**OFFER, "data": data}
    house.calls.deliver(ALICE, INIT)
    await house.until(lambda: house.heard(ALICE, "call:accept"))
    house.calls.deliver(ALICE, offer)
    await house.until(lambda: house.heard(ALICE, "call:answer"))
    (peer,) = house.engine.peers
    house.engine.tell(PeerConnected(peer=peer.id))
    await house.until(lambda: not house.engine.waiting)
    house.calls.caller_left(ALICE, lost=True)
    house.calls.deliver("alice|2", {**OFFER, "data": {**data, "resume": True}})
    await house.until(lambda: house.heard("alice|2", "call:answer"))
    assert len(house.engine.peers) == 1
    assert len(peer.offers) == 2
    house.mode.session.call.send_event("hello")
    assert house.heard("alice|2", "hello")
    assert house.mode.session.call.origin == ALICE
    house.calls.caller_left("alice|2")
    assert peer.closed


async def test_a_caller_without_a_socket_that_falls_silent_is_gone(house, monkeypatch):
    """One that sent media and sends none any more is ended before the 30 s are over."""
    monkeypatch.setattr(absence, "CHECK_SECONDS", 0.01)
    monkeypatch.setattr(absence, "SILENCE_SECONDS", 0.2)
    peer = await connected(house, received=5)
    house.calls.caller_left(ALICE, lost=True)
    for received in range(6, 36):
        await asyncio.sleep(0.01)
        peer.counted = stats(received)
    assert not peer.closed
    await house.until(lambda: peer.closed)


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


async def test_failures_in_a_row_are_one_line(house, caplog):
    """Each caller hears why; the log, which strangers could fill, says it once a minute."""
    for _ in range(5):
        peer = await house.call(ALICE)
        house.engine.tell(PeerDisconnected(peer=peer.id, reason="connection failed", pairs=PAIRS))
        await house.until(lambda peer=peer: peer.closed)
    assert len(house.heard(ALICE, "call:hangup")) == 5
    assert len(warnings(caplog)) == 1


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
