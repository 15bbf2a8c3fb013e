"""A stranger with many WebSockets, a process of its own: ``signalling_attacker.py PORT SECONDS``.

With ``--crowd N`` it is N peers with large extras that only enter, else it does at once what was
seen to cut viewers off: large broadcasts, small ones by many, and probes. It says ``ready`` once
everybody has entered. It uses none of icey's code, and no library, so as to cost little.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from typing import Any

UPGRADE = (
    b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


def frame(message: dict[str, Any]) -> bytes:
    """Return a text frame with a mask of zeros (RFC 6455 §5.2)."""
    payload = json.dumps(message).encode()
    size = len(payload)
    length = bytes([0x80 | size]) if size < 126 else b"\xfe" + size.to_bytes(2, "big")
    return b"\x81" + length + bytes(4) + payload


async def enter(port: int, user: str, **data: Any) -> asyncio.StreamWriter:
    """Return a peer that has said who it is and reads whatever comes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(UPGRADE)
    await reader.readuntil(b"\r\n\r\n")
    writer.write(frame({"type": "auth", "user": user, "data": data}))

    async def drain() -> None:
        while await reader.read(1 << 17):
            pass

    READERS.append(asyncio.create_task(drain()))
    return writer


READERS: list[asyncio.Task[None]] = []


async def crowd(port: int, peers: int, seconds: float) -> None:
    """Enter, and stay."""
    entered = [await enter(port, f"crowd{n}", extra="x" * 980) for n in range(peers)]
    ready()
    await asyncio.sleep(seconds)
    for peer in entered:  # kept, as a writer that is forgotten closes
        peer.close()


async def flood(port: int, seconds: float) -> None:
    """Two send 60 kB ten times a second, four probe as often, 40 send 100 small ones at once."""
    broadcasters = [await enter(port, f"big{n}") for n in range(2)]
    probers = [await enter(port, f"probe{n}") for n in range(4)]
    crowd = [await enter(port, f"small{n}") for n in range(40)]
    ready()
    for peer in crowd:
        peer.write(frame({"type": "event"}) * 100)
    large = frame({"type": "event", "body": "x" * 60_000})
    probe = frame({"type": "presence", "probe": True, "data": {}})
    for _ in range(round(seconds * 10)):
        for peer in broadcasters:
            peer.write(large)
        for peer in probers:
            peer.write(probe)
        await asyncio.sleep(0.1)


def ready() -> None:
    """Tell the test."""
    sys.stdout.write("ready\n")
    sys.stdout.flush()


if __name__ == "__main__":
    arguments = argparse.ArgumentParser()
    arguments.add_argument("port", type=int)
    arguments.add_argument("seconds", type=float)
    arguments.add_argument("--crowd", type=int, default=0)
    given = arguments.parse_args()
    if given.crowd:
        asyncio.run(crowd(given.port, given.crowd, given.seconds))
    else:
        asyncio.run(flood(given.port, given.seconds))
