"""What strangers' offers and candidates do to others: nothing."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path

import pytest

from e2e.offering_attacker import CHROMIUM
from e2e.server_process import running_server
from e2e.symple_caller import symple_caller

CANDIDATES_EACH, CALLS = 32, 30
TARGET = "127.9.9.9"


async def attack(server, *arguments):
    """Start the attacker in a process of its own."""
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "e2e.offering_attacker", server.url, *map(str, arguments),
        cwd=Path(__file__).parents[1], stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip


async def call_seconds(url, name):
    """Call as a browser does; return the time from the call to the answer."""
    async with symple_caller(url, name) as caller:
        began = time.perf_counter()
        await caller.call("call:init")
        await caller.receive("call:accept")
        await caller.call("call:offer", type="offer", sdp=CHROMIUM.read_text())
        await caller.receive("call:answer")
        return time.perf_counter() - began


@pytest.mark.alone
async def test_offers_of_strangers_delay_nobody(tmp_path):
    """Offers that are costly or broke str0m are refused in words, and others are answered soon."""
    async with running_server(tmp_path, "--source", "demo:") as server:
        attacker = await attack(server, "offers", 10, 4)
        await asyncio.sleep(1.5)
        took = [await call_seconds(server.url, f"honest{n}") for n in range(3)]
        reasons = json.loads((await attacker.communicate())[0])
        engine = (await server.get("/api/status"))["engine"]
    assert max(took) < 1.0, took
    assert len(reasons) > 60
    told = {reason for reason in reasons if reason.startswith("sdp: ")}
    assert told == {
        "sdp: payload type 96 means different things in one call",
        "sdp: payload type 96 is told twice in a media section",
    }
    assert engine["panics"] == 0


async def test_calls_are_no_reflector(tmp_path):
    """An address that calls name gets 100 checks a minute, and all together one each 5 ms."""
    async with running_server(tmp_path, "--source", "demo:") as server:
        began = time.monotonic()
        attacker = await attack(server, "candidates", CALLS, 5, TARGET)
        reasons = json.loads((await attacker.communicate())[0])
        engine = (await server.get("/api/status"))["engine"]
        seconds = time.monotonic() - began
    answered = reasons.count("")
    assert answered > 0, reasons
    assert engine["packetsSent"] <= 100 + 20 * answered
    assert engine["packetsSent"] <= 200 * seconds
    assert engine["checksRefused"] > 0
