"""The cached report."""

import asyncio
import threading
from typing import Any

import pytest

from icey.server.readiness import TTL_S, Readiness

FIRST: Any = "first"


class Checks:
    """Counts its runs, and lets the test decide when one ends."""

    def __init__(self):
        self.runs = 0
        self.gate = threading.Event()
        self.gate.set()
        self.error = None

    def __call__(self):
        self.runs += 1
        assert self.gate.wait(5)
        if self.error:
            raise self.error
        return f"report {self.runs}"


async def test_a_fresh_report_is_not_made_again():
    """The report of the start is given while it is fresh."""
    checks = Checks()
    readiness = Readiness(lambda: checks, FIRST, asyncio.get_running_loop().time())
    assert await readiness.current() == "first"
    assert checks.runs == 0


async def test_a_stale_report_is_made_once_for_all_who_ask():
    """Concurrent questions share one run, and one that gives up takes it from nobody."""
    checks = Checks()
    checks.gate.clear()
    readiness = Readiness(lambda: checks, FIRST, asyncio.get_running_loop().time() - TTL_S)
    asked = [asyncio.create_task(readiness.current()) for _ in range(5)]
    await asyncio.sleep(0)
    asked[0].cancel()
    await asyncio.sleep(0)
    checks.gate.set()
    answers = await asyncio.gather(*asked, return_exceptions=True)
    assert isinstance(answers[0], asyncio.CancelledError)
    assert answers[1:] == ["report 1"] * 4
    assert checks.runs == 1
    assert readiness.last == "report 1"


async def test_a_broken_check_does_not_stay_broken():
    """After a run that raised, the next request runs the checks again."""
    checks = Checks()
    readiness = Readiness(lambda: checks, FIRST, asyncio.get_running_loop().time() - TTL_S)
    checks.error = RuntimeError("broken")
    with pytest.raises(RuntimeError, match="broken"):
        await readiness.current()
    assert readiness.last == "first"
    checks.error = None
    assert await readiness.current() == "report 2"
