"""What every mode does with a call, with an engine that is played."""

import logging
from types import SimpleNamespace

import pytest

from icey.config.model import Settings
from icey.errors import AddressInUseError, EngineError
from icey.sessions import switchboard
from icey.sessions.switchboard import Party, Switchboard
from unit.sessions.played_engine import ALICE, Connected, Conversation, Disconnected, play

PAIRS = ["browser host 192.0.2.7:50022 to 192.0.2.1:4501: 9 checks sent, none answered"]
HANGUP = {
    "type": "message",
    "subtype": "call:hangup",
    "data": {"reason": "no media came through"},
}


class Calls(Switchboard[Party]):
    """A mode that does nothing with its calls."""

    def open_party(self, call, caller, offer):
        return Party(call, caller, self._engine.create_peer())

    def connected(self, party):
        """It stays as it is."""

    def released(self, party, reason):
        party.peer.close()


@pytest.fixture
async def house(monkeypatch):
    """The mode, running, with TURN on port 3478."""
    play(monkeypatch)
    turn = SimpleNamespace(port=3478, closed=0)
    turn.close = lambda: setattr(turn, "closed", turn.closed + 1)
    monkeypatch.setattr(switchboard, "open_turn", lambda *_, **__: turn)
    sessions = Calls(Settings.model_validate({"turn": {"externalIp": "192.0.2.1"}}))
    await sessions.start()
    yield Conversation(sessions)
    await sessions.close("the test is over")
    assert turn.closed == 1


def warnings(caplog):
    return [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]


async def test_connection_failed(house, caplog):
    """Where ICE failed, the log has the pairs, and log and caller hear what to change."""
    peer = await house.call(ALICE)
    house.engine.tell(Disconnected(peer=peer.id, reason="connection failed", pairs=PAIRS))
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
    monkeypatch.setattr(switchboard, "PATIENCE_SECONDS", 0)
    peer = await house.call(ALICE)
    peer.pairs = PAIRS
    house.sessions.deliver(ALICE, HANGUP)
    await house.until(lambda: peer.closed)
    (line,) = warnings(caplog)
    assert "no media came through. The server saw: browser host 192.0.2.7:50022" in line


async def test_ordinary_ends_are_no_failure(house, monkeypatch, caplog):
    """Neither who was connected nor who hangs up at once is taken for a failure."""
    caplog.set_level(logging.INFO)
    peer = await house.call(ALICE)
    house.sessions.deliver(ALICE, HANGUP)
    await house.until(lambda: peer.closed)
    monkeypatch.setattr(switchboard, "PATIENCE_SECONDS", 0)
    peer = await house.call(ALICE)
    house.engine.tell(Connected(peer=peer.id))
    house.engine.tell(Disconnected(peer=peer.id, reason="connection lost"))
    await house.until(lambda: peer.closed)
    assert warnings(caplog) == []
    assert "call ended: connection lost" in caplog.text


@pytest.mark.parametrize("error", [AddressInUseError("taken"), EngineError("no address")])
async def test_turn_that_cannot_be_opened(monkeypatch, error):
    """A TURN server that cannot be opened leaves no engine behind."""
    play(monkeypatch)
    engines = []

    def refuse(engine, _settings, *, host):
        engines.append((engine, host))
        raise error

    monkeypatch.setattr(switchboard, "open_turn", refuse)
    with pytest.raises(type(error)):
        Calls(Settings.model_validate({"http": {"host": "127.0.0.1"}}))
    ((engine, host),) = engines
    assert engine.closed
    assert host == "127.0.0.1"
