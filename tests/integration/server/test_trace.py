"""The log level trace."""

import pytest

from icey.config.model import TRACE
from icey.server import trace


class OverError(Exception):
    """Ends the log."""


async def test_changes_of_the_counters_are_logged(caplog, monkeypatch):
    """What changed since the last look is logged, in one line; where nothing did, no line is."""
    monkeypatch.setattr(trace, "INTERVAL_S", 0)
    states = [
        {"ready": True, "uptimeSec": 1.5, "engine": {"packetsSent": 7, "panics": 0}},
        {"ready": True, "uptimeSec": 2.5, "engine": {"packetsSent": 7, "panics": 0}},
        {"ready": False, "uptimeSec": 3.5, "engine": {"packetsSent": 9, "panics": 1}, "relay": {}},
    ]

    def status():
        if not states:
            raise OverError
        return states.pop(0)

    with caplog.at_level(TRACE, trace.log.name), pytest.raises(OverError):
        await trace.log_counters(status)
    assert caplog.messages == ["engine.packetsSent +7", "engine.packetsSent +2, engine.panics +1"]


async def test_a_running_server_is_traced(make_server, wire, caplog):
    """At the level trace a server logs its own counters."""
    with caplog.at_level(TRACE, trace.log.name):
        async with make_server():
            await wire.eventually(lambda: "sessions.total +7" in " ".join(caplog.messages))


@pytest.mark.parametrize("level", ["DEBUG", "INFO"])
async def test_other_levels_have_none_of_it(caplog, level):
    """At another level nobody asks for the status."""
    with caplog.at_level(level, trace.log.name):
        await trace.log_counters(lambda: pytest.fail("the status was asked for"))
