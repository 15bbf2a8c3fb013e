"""Start and end of the real process: the ready line, the signals, the exit codes."""

import asyncio
import os
import re
import signal
import socket
import sys
import time
from pathlib import Path

import pytest
import websockets

PROGRAM = Path(__file__).with_name("server_process.py")
READY = re.compile(r"icey-server \S+ stream (http://127\.0\.0\.1:(\d+))\n")


@pytest.fixture
async def launch(tmp_path):
    """Start the program; whatever is left of it is killed at the end."""
    processes = []

    async def start(*arguments, **environment):
        # 4501 and 3478 by default, which another server on this machine may have.
        (tmp_path / "config.json").write_text('{"webrtc": {"port": 0}, "turn": {"port": 0}}')
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            PROGRAM,
            "--source",
            "demo:",
            "--host",
            "127.0.0.1",
            *arguments,
            cwd=tmp_path,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={"PATH": os.environ["PATH"], "ICEY_NO_COLOR": "1", **environment},
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def ready(process):
    """The port that the ready line names."""
    line = (await asyncio.wait_for(process.stdout.readline(), 20)).decode()
    match = READY.fullmatch(line)
    assert match, line
    return int(match[2])


async def ended(process, within_s):
    return await asyncio.wait_for(process.wait(), within_s)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_the_first_signal_ends_everything_in_order(launch, number):
    """The first signal closes the sessions, then the sockets with 1001, and exits 0 at once."""
    process = await launch("--port", "0")
    port = await ready(process)
    async with websockets.connect(f"ws://127.0.0.1:{port}/") as client:
        await client.send('{"type":"auth","user":"alice"}')
        assert "welcome" in await client.recv()
        process.send_signal(number)
        await asyncio.wait_for(client.wait_closed(), 5)
        assert client.close_code == 1001
    assert await ended(process, 5) == 0
    assert await process.stdout.read() == b"sessions closed: server is shutting down\n"
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)


async def test_stuck_clients_do_not_hold_it_up(launch):
    """Half a request, a silent upgrade and a client that reads nothing do not delay the exit."""
    process = await launch("--port", "0")
    port = await ready(process)
    stuck = []
    for request in (
        b"",
        b"GET / HTTP/1.1\r\n",
        (
            b"GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\n"
            b"Connection: Upgrade\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
            b"Sec-WebSocket-Version: 13\r\n\r\n"
        ),
    ):
        client = socket.create_connection(("127.0.0.1", port))
        client.sendall(request)
        stuck.append(client)
    await asyncio.sleep(0)
    started = time.monotonic()
    process.send_signal(signal.SIGTERM)
    assert await ended(process, 8) == 0
    assert time.monotonic() - started < 5
    for client in stuck:
        client.close()


async def test_sessions_that_hang_do_not_hold_it_up(launch):
    """Sessions that hang delay the exit by a few seconds only."""
    process = await launch("--port", "0", ICEY_TEST_STUCK="1")
    await ready(process)
    process.send_signal(signal.SIGTERM)
    assert await ended(process, 8) == 0
    assert b"not closed within" in await process.stderr.read()


async def test_a_second_signal_ends_it_at_once(launch):
    """A second signal ends the process at once, whatever it waits for."""
    process = await launch("--port", "0", ICEY_TEST_STUCK="1")
    await ready(process)
    process.send_signal(signal.SIGTERM)
    assert await process.stdout.readline() == b"sessions closed: server is shutting down\n"
    started = time.monotonic()
    process.send_signal(signal.SIGINT)
    assert await ended(process, 2) == -signal.SIGINT
    assert time.monotonic() - started < 1


async def test_a_port_in_use_is_a_preflight_failure(launch):
    """A port in use exits with 4 and a reason that names the port."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = str(other.getsockname()[1])
        process = await launch("--port", port)
        assert await ended(process, 20) == 4
    complaint = (await process.stderr.read()).decode()
    assert port in complaint
    assert "Traceback" not in complaint
    assert await process.stdout.read() == b""


async def test_a_missing_source_is_a_preflight_failure(launch):
    """A missing source exits with 4 before anything listens."""
    process = await launch("--port", "0", "--source", "missing.mp4")
    assert await ended(process, 20) == 4
    assert "missing.mp4" in (await process.stderr.read()).decode()
