"""Sources open few at a time, and networks take turns."""

import asyncio

import pytest

from icey.sessions.openings import Openings


class Door:
    """Sources that open when the test lets them."""

    def __init__(self, most):
        self.openings = Openings(most)
        self.opened = []
        self.gates = {}
        self.tasks = {}

    def come(self, name, network):
        self.gates[name] = asyncio.Event()
        self.tasks[name] = asyncio.create_task(self._open(name, network))

    async def _open(self, name, network):
        async with self.openings.turn(network):
            self.opened.append(name)
            await self.gates[name].wait()

    async def done(self, name):
        self.gates[name].set()
        await self.tasks[name]
        await asyncio.sleep(0)

    async def settle(self):
        await asyncio.sleep(0)


async def test_no_more_than_so_many_open_at_a_time():
    """The third waits until one of the first two is open."""
    door = Door(2)
    for name in "abc":
        door.come(name, name)
    await door.settle()
    assert door.opened == ["a", "b"]
    assert door.openings.waiting == 1
    await door.done("b")
    assert door.opened == ["a", "b", "c"]
    for name in "ac":
        await door.done(name)
    assert door.openings.waiting == 0


async def test_networks_take_turns():
    """One caller of another network waits for one of a crowd, not for all of it."""
    door = Door(1)
    for name in ("x1", "x2", "x3", "x4"):
        door.come(name, "x")
    door.come("y", "y")
    await door.settle()
    for name in ("x1", "x2", "y", "x3", "x4"):
        assert door.opened[-1] == name
        await door.done(name)
    assert door.opened == ["x1", "x2", "y", "x3", "x4"]


@pytest.mark.parametrize("when", ["waiting", "called"])
async def test_who_leaves_keeps_nobody_waiting(when):
    """Whoever is cancelled while it waits, or just as its turn comes, passes the turn on."""
    door = Door(1)
    for name in "abc":
        door.come(name, name)
    await door.settle()
    if when == "waiting":
        door.tasks["b"].cancel()
        await door.settle()
        await door.done("a")
    else:
        door.gates["a"].set()
        await door.settle()  # a's task has passed its turn on, b's has not run
        door.tasks["b"].cancel()
    async with asyncio.timeout(5):
        while "c" not in door.opened:
            await door.settle()
    assert "b" not in door.opened
    await door.done("c")
    door.come("d", "d")
    await door.settle()
    assert door.opened[-1] == "d"
    await door.done("d")
