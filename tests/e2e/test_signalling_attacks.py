"""Strangers at the signalling of a whole icey-server do not hurt those who watch and publish."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from playwright.async_api import expect

from e2e.aiortc_publisher import aiortc_publisher
from e2e.aiortc_viewer import Reception, aiortc_viewer, signed
from e2e.server_process import running_server
from e2e.symple_caller import SympleCaller, symple_caller
from e2e.viewer import Viewer
from e2e.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from e2e.server_process import ServerProcess

ATTACKER = Path(__file__).with_name("signalling_attacker.py")
NO_BOUND_BY_ADDRESS = {
    "limits": {"socketsPerAddress": 0, "connectionsPerAddress": 0, "requestsPerAddress": 0}
}
SLOW_BYTES = 250_000
"""A line of 2 Mb/s, bytes a second."""


@asynccontextmanager
async def attack(server: ServerProcess, *arguments: str) -> AsyncIterator[None]:
    """Run the attacker, from when everybody of it has entered to the end of the block."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        ATTACKER,
        server.url.rpartition(":")[2],
        *arguments,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        assert await asyncio.wait_for(process.stdout.readline(), 60) == b"ready\n"
        yield
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


class SlowPage:
    """A page on a slow line: it reads no faster, answers every probe, and counts what it reads."""

    def __init__(self, caller: SympleCaller) -> None:
        self._socket = caller._socket
        self.replies: asyncio.Queue[str] = asyncio.Queue()
        self.probed = 0
        self.read = 0

    async def run(self) -> None:
        """Read until the socket is closed, which is an error here."""
        begun = time.monotonic()
        async for text in self._socket:
            self.read += len(text)
            message = json.loads(text)
            if message.get("probe"):
                self.probed += 1
                answer = {"type": "presence", "to": message["from"].partition("|")[2], "data": {}}
                await self._socket.send(json.dumps(answer))
            elif message["type"] not in {"event", "presence"}:
                self.replies.put_nowait(message.get("subtype") or message["type"])
            behind = begun + self.read / SLOW_BYTES - time.monotonic()
            if behind > 0.01:
                await asyncio.sleep(behind)
        raise AssertionError("the page was cut off")

    async def ask(self, message: dict[str, Any], reply: str) -> float:
        """Send a message; return the seconds until the server has answered it."""
        begun = time.monotonic()
        await self._socket.send(json.dumps(message))
        assert await asyncio.wait_for(self.replies.get(), 5) == reply
        return time.monotonic() - begun


@pytest.mark.alone
async def test_a_flood_cuts_nobody(tmp_path):
    """Through broadcasts and probes a slow page stays, calls at once, and pictures go on."""
    async with (
        running_server(tmp_path, "--source", "demo:", settings=NO_BOUND_BY_ADDRESS) as server,
        aiortc_viewer(server.url) as viewer,
        symple_caller(server.url, "slow") as caller,
        attack(server, "8"),
    ):
        page = SlowPage(caller)
        reading = asyncio.create_task(page.run())
        since = asyncio.get_running_loop().time()
        took = []
        for n in range(10):
            took.append(await page.ask({"type": "join", "room": f"r{n}"}, "join:ok"))
            await asyncio.sleep(0.4)
        init = {"type": "message", "subtype": "call:init", "to": caller.server, "data": {}}
        took.append(await page.ask(init, "call:accept"))
        seconds = asyncio.get_running_loop().time() - since
        assert not reading.done()
        reading.cancel()
        cut(caller)
        arrived = [p for p in viewer.video.packets if p.arrival > since]
        silence = asyncio.get_running_loop().time() - arrived[-1].arrival
        due = signed(arrived[-1].timestamp - arrived[0].timestamp) / (90_000 / 30) + 1
        came = len({p.timestamp for p in arrived})
        signalling = (await server.get("/api/status"))["signalling"]
        print(f"answers after {max(took):.2f} s, {came} of {due:.0f} pictures")  # noqa: T201
        print(f"{page.read} bytes in {seconds:.1f} s, {page.probed} probes, {signalling}")  # noqa: T201
        assert max(took) < 1
        assert page.read < 32_768 * (seconds + 4) + 100_000
        assert page.probed <= 10 + seconds + 1
        assert came >= due * 29 / 30
        assert silence < 0.5
        assert signalling["slowReaders"] == 0
        assert signalling["overBudget"] > 0
        assert (await server.get("/api/status"))["refused"]["senderBytes"] > 0


@pytest.mark.alone
async def test_a_crowd_keeps_nobody_out(tmp_path):
    """A room's worth of peers with large extras, and as many more, cost seconds, and no call."""
    async with running_server(
        tmp_path, "--source", "demo:", settings=NO_BOUND_BY_ADDRESS
    ) as server:
        before = sum(server.thread_times().values())
        async with attack(server, "20", "--crowd", "1000"):
            begun = time.monotonic()
            async with symple_caller(server.url, "newcomer") as caller:
                await caller.call("call:init")
                await caller.receive("call:accept")
                took = time.monotonic() - begun
            cost = sum(server.thread_times().values()) - before
            status = await server.get("/api/status")
        print(f"called after {took:.2f} s, the crowd cost {cost:.1f} s of CPU")  # noqa: T201
        assert took < 1
        assert cost < 6
        assert status["refused"]["roomPeers"] >= 500
        assert status["signalling"]["slowReaders"] == 0


@asynccontextmanager
async def watching(url: str) -> AsyncIterator[tuple[RTCPeerConnection, SympleCaller, Reception]]:
    """A call whose socket the test cuts."""
    connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    async with symple_caller(url, "alice") as caller:
        await caller.call("call:init")
        await caller.receive("call:accept")
        try:
            video = Reception(connection.addTransceiver("video", "recvonly").receiver, 90_000)
            video.attach()
            await connection.setLocalDescription(await connection.createOffer())
            await caller.call("call:offer", type="offer", sdp=connection.localDescription.sdp)
            sdp = (await caller.receive("call:answer"))["data"]["sdp"]
            await connection.setRemoteDescription(RTCSessionDescription(sdp, "answer"))
            await until(lambda: video.packets, "video arrives")
            yield connection, caller, video
        finally:
            await connection.close()


@asynccontextmanager
async def forwarder(port: int) -> AsyncIterator[Forwarder]:
    """Stand between browsers and a server's TCP port."""
    between = Forwarder(port)
    listener = await asyncio.start_server(between.accept, "127.0.0.1", 0)
    between.url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}/"
    async with listener:
        yield between
        between.cut()


class Forwarder:
    """TCP connections of its own to a server, which a test can cut without a goodbye."""

    def __init__(self, port: int) -> None:
        self.url = ""
        self._port = port
        self._writers: set[asyncio.StreamWriter] = set()

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass bytes on both ways until either side ends."""
        onward, back = await asyncio.open_connection("127.0.0.1", self._port)
        self._writers |= {writer, back}
        await asyncio.gather(self._pass(reader, back), self._pass(onward, writer))
        self._writers -= {writer, back}

    def cut(self) -> None:
        """Cut all that are open."""
        for writer in self._writers:
            writer.transport.abort()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(1 << 16):
                writer.write(data)
        writer.close()


def cut(caller: SympleCaller) -> None:
    """Break its socket without a goodbye."""
    caller._socket.transport.abort()


async def test_pictures_go_on_without_the_socket(tmp_path):
    """A lost socket leaves the call; its caller takes it up by another, and a goodbye ends it."""
    async with (
        running_server(tmp_path, "--source", "demo:") as server,
        watching(server.url) as (connection, lost, video),
    ):
        cut(lost)
        await until(lambda: "without its caller's socket" in server.output, "the loss is noticed")
        arrived = len(video.packets)
        await until(lambda: len(video.packets) > arrived + 60, "pictures go on")
        assert await server.active_sessions() == 1
        async with symple_caller(server.url, "alice") as caller:
            sdp = connection.localDescription.sdp
            await caller.call("call:offer", type="offer", sdp=sdp, resume=True)
            assert "m=video" in (await caller.receive("call:answer"))["data"]["sdp"]
            arrived = len(video.packets)
            await until(lambda: len(video.packets) > arrived + 30, "pictures go on")
            assert (await server.get("/api/status"))["sessions"] == {"active": 1, "total": 1}
            await caller.send({"type": "close"})
            await server.sessions_become(0)


async def test_the_page_takes_its_call_up_again(demo, context):
    """A page whose socket broke shows the same call's pictures on and on; a goodbye ends it."""
    async with forwarder(int(demo.url.rpartition(":")[2])) as between:
        viewer = await Viewer.open(context, between.url)
        await viewer.watch()
        before = await viewer.page.evaluate_handle("icey.peerConnection")
        between.cut()
        await until(lambda: "without its caller's socket" in demo.output, "the loss is noticed")
        await expect(viewer.page.locator("#connection")).to_have_text("Connected", timeout=15_000)
        await viewer.playing()
        assert await viewer.page.evaluate("before => before === icey.peerConnection", before)
        assert (await demo.get("/api/status"))["sessions"] == {"active": 1, "total": 1}
        await viewer.page.close()
        await demo.sessions_become(0)


async def test_a_recording_goes_on_without_the_socket(tmp_path):
    """A recording survives the loss of its socket, and ends once its media fall silent."""
    settings = {"media": {"mode": "record", "recordDir": str(tmp_path / "recordings")}}
    async with running_server(tmp_path, settings=settings) as server:

        async def recorded() -> float:
            active = (await server.get("/api/status"))["record"]["active"]
            return float(active[0]["seconds"]) if active else 0.0

        async with aiortc_publisher(server.url, "alice") as publisher:
            await until(recorded, "it is recorded")
            cut(publisher.caller)
            await until(lambda: "without its caller's" in server.output, "the loss is noticed")
            before = await recorded()

            async def goes_on() -> bool:
                return await recorded() > before + 2.5

            await until(goes_on, "the recording goes on")
        await server.sessions_become(0, deadline_s=8)
        await until(lambda: list((tmp_path / "recordings").glob("alice-*.mp4")), "the file")
