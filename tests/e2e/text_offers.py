"""An attacker in a process of its own: sockets that write offers, and send nothing over UDP.

    python text_offers.py URL COUNT < offer.sdp

It prints a line of JSON, ``{"answered": …, "rejected": […]}``, once every offer is answered or
rejected, and keeps the sockets open until it is terminated.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from e2e.symple_caller import symple_caller


async def offer(url: str, number: int, sdp: str, told: asyncio.Queue[str | None]) -> None:
    """Call once, and stay."""
    async with symple_caller(url, f"stranger{number}") as caller:
        try:
            await caller.call("call:init")
            await caller.receive("call:accept")
            await caller.call("call:offer", type="offer", sdp=sdp)
            await caller.receive("call:answer")
        except AssertionError as refusal:
            await told.put(str(refusal))
        else:
            await told.put(None)
        await asyncio.Event().wait()


async def main(url: str, count: int, sdp: str) -> None:
    """Offer so often at once."""
    told: asyncio.Queue[str | None] = asyncio.Queue()
    tasks = [asyncio.create_task(offer(url, number, sdp, told)) for number in range(count)]
    results = [await told.get() for _ in tasks]
    rejected = [result for result in results if result is not None]
    print(json.dumps({"answered": count - len(rejected), "rejected": rejected}), flush=True)  # noqa: T201
    await asyncio.gather(*tasks)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), sys.stdin.read()))
