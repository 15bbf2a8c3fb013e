"""The pace of each network."""

import asyncio
from functools import partial

from icey.server.pace import BURST_S, Pace, payer_of


async def test_the_rest_waits_in_turn():
    """A burst goes at once, the rest in order at the pace; another network does not wait."""
    pace, gone, loop = Pace(100), [], asyncio.get_running_loop()
    began = loop.time()
    done = asyncio.Event()
    burst = int(100 * BURST_S)
    for number in range(burst + 10):
        pace.take("net", partial(gone.append, number))
    assert gone == list(range(burst))
    pace.take("other", lambda: gone.append("other"))
    assert gone[-1] == "other"
    pace.take("net", done.set)
    await asyncio.wait_for(done.wait(), 5)
    assert gone[burst + 1 :] == list(range(burst, burst + 10))
    assert loop.time() - began >= 0.1


async def test_who_left_the_line_is_passed_over():
    """A turn that was given up is not taken, and costs nobody time."""
    pace, gone = Pace(10), []
    done = asyncio.Event()
    for _ in range(20):
        pace.take("net", lambda: None)
    turns = [pace.take("net", lambda: gone.append("cancelled")) for _ in range(100)]
    for turn in turns:
        turn.cancel()
    pace.take("net", done.set)
    await asyncio.wait_for(done.wait(), 1)
    assert gone == []


async def test_no_bound():
    """A rate of 0 lets everything through."""
    pace, gone = Pace(0), []
    for number in range(10_000):
        assert pace.take("net", partial(gone.append, number)) is None
    assert len(gone) == 10_000


def test_health_has_a_line_of_its_own():
    """Who has used up its pace still learns whether the server lives."""
    assert payer_of("net", health=True) != payer_of("net", health=False)
