"""The check of the TURN server, with a self-test that is played."""

import contextlib
from types import SimpleNamespace

import pytest

from icey.config.model import HttpSettings, Settings, TlsSettings, TurnSettings
from icey.errors import AddressInUseError, EngineError
from icey.preflight import turn
from icey.preflight.finding import render
from icey.preflight.running import Running
from icey.turn import selftest
from icey.turn.credentials import Credential
from icey.turn.selftest import Trial
from icey.turn.service import TurnTarget

LOCAL, WILD = "127.0.0.1", "0.0.0.0"
PRIVATE, PUBLIC = ("192.168.1.5", "127.0.0.1"), ("192.168.1.5", "198.41.0.4")
TARGET = TurnTarget(
    host=LOCAL,
    external_ip="",
    port=3478,
    tls_port=None,
    certificate="",
    addresses=PRIVATE,
    credential=Credential("1700000000", "secret-of-the-probe", 60),
)


def play(monkeypatch, here, outside=()):
    monkeypatch.setattr(selftest, "try_here", lambda _: list(here))
    monkeypatch.setattr(selftest, "try_from_outside", lambda _: list(outside))


def check(host=LOCAL, running=None, **settings):
    finding = turn.check_turn(
        Settings(http=HttpSettings(host=host), turn=TurnSettings(**settings)),
        running or Running(turn=TARGET),
    )
    return finding.result, render(finding.detail, public=True)


GOOD = [Trial("udp", 3478, 0.31), Trial("tcp", 3478, 0.44)]


def test_works(monkeypatch):
    """A check that passes names the transports with their round-trip times."""
    play(monkeypatch, GOOD)
    assert check() == ("pass", "a datagram passed through by UDP 3478 0.31 ms, TCP 3478 0.44 ms")


def test_off():
    """A TURN server that is off is not probed."""
    assert check(enabled=False) == ("pass", "off")


def test_does_not_work(monkeypatch):
    """One transport that fails makes the check fail, with the reason and what to do."""
    play(monkeypatch, [Trial("udp", 3478, problem="no answer within 4 s"), GOOD[1]])
    result, detail = check()
    assert result == "fail"
    assert "UDP 3478: no answer within 4 s" in detail
    assert "TCP" not in detail
    assert "--no-turn" in detail


def test_full(monkeypatch):
    """A server whose allocations are all in use is a warning, not a failure."""
    play(monkeypatch, [Trial("udp", 3478, problem="508", full=True), GOOD[1]])
    result, detail = check()
    assert result == "warn"
    assert "turn.maxAllocations" in detail
    play(monkeypatch, [Trial("udp", 3478, problem="508", full=True), Trial("tcp", 1, problem="x")])
    assert check()[0] == "fail"


def test_shut_from_outside(monkeypatch):
    """Ports that do not answer at the external address are warned of, by their names."""
    shut = [Trial("udp", 3478, problem="no answer"), Trial("tcp", 3478, problem="refused")]
    play(monkeypatch, GOOD, shut)
    target = Running(turn=TurnTarget(**{**vars_of(TARGET), "external_ip": "198.41.0.4"}))
    result, detail = check(external_ip="198.41.0.4", running=target)
    assert result == "warn"
    assert "UDP 3478 and TCP 3478 did not answer at turn.externalIp 198.41.0.4" in detail
    play(monkeypatch, GOOD, [GOOD[0], shut[1]])
    assert ": TCP 3478 did not answer" in f": {check(external_ip='198.41.0.4', running=target)[1]}"
    play(monkeypatch, GOOD, GOOD)
    assert check(external_ip="198.41.0.4", running=target)[0] == "pass"


def vars_of(target):
    return {name: getattr(target, name) for name in target.__dataclass_fields__}


@pytest.mark.parametrize(
    ("host", "external_ip", "addresses", "words"),
    [
        (LOCAL, "", PRIVATE, ""),
        ("192.168.1.5", "", PRIVATE, ""),
        (WILD, "", PUBLIC, ""),
        (WILD, "", PRIVATE, "turn.externalIp is not set"),
        ("::", "", ("fd00::1", "fe80::1"), "turn.externalIp is not set"),
        ("::", "", ("2a00:1450::1",), ""),
        (WILD, "198.41.0.4", PRIVATE, ""),
        (WILD, "10.1.2.3", PRIVATE, "turn.externalIp 10.1.2.3 is not a public address"),
        (WILD, "fd00::5", PUBLIC, "turn.externalIp fd00::5 is not a public address"),
        (LOCAL, "100.64.0.1", PRIVATE, "turn.externalIp 100.64.0.1 is not a public address"),
    ],
)
def test_reachability(host, external_ip, addresses, words):
    """A wildcard bind without a public address, and a private external one, are warned of."""
    said = turn.reachability(host, external_ip, addresses)
    assert words in said
    assert bool(said) == bool(words)


def test_warning_says_that_it_works_here(monkeypatch):
    """What may be in the way of others comes with what was seen on this machine."""
    play(monkeypatch, GOOD)
    result, detail = check(host=WILD)
    assert result == "warn"
    assert "in a container" in detail
    assert "on this machine it works: UDP 3478" in detail


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (AddressInUseError("UDP 3478 is taken", port=3478), "with --turn-port or turn.port"),
        (AddressInUseError("TCP 5349 is taken", port=5349), "with turn.tlsPort"),
        (EngineError("the certificate cannot be used"), "the certificate cannot be used"),
    ],
)
def test_cannot_be_opened(monkeypatch, tmp_path, error, words):
    """A port that is taken fails the check and names the setting; so does any other obstacle."""

    @contextlib.contextmanager
    def refuse(_):
        raise error
        yield

    monkeypatch.setattr(turn, "_for_the_test", refuse)
    settings = Settings(
        turn=TurnSettings(tls_port=5349),
        tls=TlsSettings(cert=tmp_path / "c.pem", key=tmp_path / "k.pem"),
    )
    finding = turn.check_turn(settings, None)
    assert finding.result == "fail"
    assert str(error) in render(finding.detail, public=True)
    assert words in render(finding.detail, public=True)


def test_opened_for_the_test_and_closed(monkeypatch):
    """Before the start a server is opened for the test, and closed also where the test fails."""
    opened = SimpleNamespace(closed=0)

    @contextlib.contextmanager
    def open_one(_):
        try:
            yield TARGET
        finally:
            opened.closed += 1

    monkeypatch.setattr(turn, "_for_the_test", open_one)
    play(monkeypatch, GOOD)
    assert turn.check_turn(Settings(http=HttpSettings(host=LOCAL)), None).result == "pass"
    play(monkeypatch, [Trial("udp", 3478, problem="no")])
    assert turn.check_turn(Settings(http=HttpSettings(host=LOCAL)), None).result == "fail"
    assert opened.closed == 2
