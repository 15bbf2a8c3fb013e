"""Who goes next where many want the same threads."""

import asyncio

import pytest

from icey.errors import OfferError
from icey.sessions.turns import OFFER_BURST, OfferRate, Turns


async def test_the_networks_take_turns():
    """One of each network goes at a time, and a flood of one waits for itself alone."""
    turns, gate, order = Turns(at_a_time=1, waiting_each=100), asyncio.Event(), []

    async def go(network):
        async with turns.turn(network):
            order.append(network)
            await gate.wait()

    tasks = [asyncio.create_task(go("flood")) for _ in range(50)]
    await asyncio.sleep(0)
    tasks.append(asyncio.create_task(go("other")))
    await asyncio.sleep(0)
    assert order == ["flood"]
    gate.set()
    await asyncio.gather(*tasks)
    assert order[:3] == ["flood", "flood", "other"] or order[:2] == ["flood", "other"]
    assert len(order) == 51


async def test_one_network_has_one_under_way():
    """However much room there is, one network has one, and others go beside it."""
    turns, gate, running = Turns(at_a_time=4, waiting_each=100), asyncio.Event(), []

    async def go(network):
        async with turns.turn(network):
            running.append(network)
            await gate.wait()

    tasks = [asyncio.create_task(go(network)) for network in "aaabbc"]
    for _ in range(5):
        await asyncio.sleep(0)
    assert sorted(running) == ["a", "b", "c"]
    gate.set()
    await asyncio.gather(*tasks)
    assert sorted(running) == sorted("aaabbc")


async def test_what_waits_is_bounded_and_may_be_cancelled():
    """One too many is refused with a reason, and one that gave up leaves its place."""
    turns = Turns(at_a_time=1, waiting_each=1)
    async with turns.turn("a"):
        waiting = asyncio.create_task(turns.turn("a").__aenter__())
        await asyncio.sleep(0)
        with pytest.raises(OfferError, match="too many offers") as refused:
            await turns.turn("a").__aenter__()
        assert refused.value.reason.startswith("busy")
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
    async with asyncio.timeout(1):
        await turns.turn("a").__aenter__()


def test_rate_of_offers():
    """A call may offer some times at once, and then once a second."""
    rate = OfferRate()
    assert [rate.take(100.0) for _ in range(OFFER_BURST + 2)] == [True] * OFFER_BURST + [False] * 2
    assert not rate.take(100.9)
    assert rate.take(102.0)
    assert rate.take(1000.0)
