"""What a datagram costs the TURN server, next to coturn under the same load.

Both run as processes of their own, one after the other and three times over; the clients are those
of ``rust/clients/src/turn.rs``. The cost is the whole process's CPU by the datagrams that arrived.
"""

from __future__ import annotations

import base64
import hmac
import json
import socket
import statistics
import subprocess
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bench import Row
from bench.clients import build
from bench.ports import free_port
from bench.server import Server, cpu_seconds

if TYPE_CHECKING:
    from collections.abc import Iterator

CLIENTS = 20
MEASURE_S = 5
WARM_UP_S = 1
"""For caches and buffers."""

ROUNDS = 3
SECRET = "known-to-these-two-servers"
READY_WITHIN_S = 10.0


@dataclass(frozen=True)
class Cost:
    """One server under one kind of load: medians of all rounds."""

    server: str
    packet_us: float
    packets_per_second: float
    lost: int


def rows() -> Iterator[Row]:
    """CPU of a datagram through the TURN server, beside coturn under the same load."""
    for transport, pace in (("udp", "burst"), ("udp", "paced"), ("tcp", "burst")):
        yield Row(
            f"TURN over {transport.upper()}, {pace}: CPU a datagram",
            "",
            "; ".join(
                f"{cost.server} {cost.packet_us:.1f} µs at {cost.packets_per_second:.0f}/s,"
                f" {cost.lost} lost"
                for cost in measure(pace, transport)
            ),
        )


def measure(pace: str, transport: str) -> list[Cost]:
    """Load both servers in turn.

    Args:
        pace: ``burst`` sends a picture's datagrams at once, ``paced`` evenly.
        transport: of the clients, ``udp`` or ``tcp``.
    """
    servers = {"icey": _icey, "coturn": _coturn}
    rounds: dict[str, list[Cost]] = {name: [] for name in servers}
    for _ in range(ROUNDS):
        for name, start in servers.items():
            port = free_port()
            with start(port) as process:
                rounds[name].append(_load(name, process, port, transport, pace))
    return [
        Cost(
            server=name,
            packet_us=statistics.median(cost.packet_us for cost in costs),
            packets_per_second=statistics.median(cost.packets_per_second for cost in costs),
            lost=sum(cost.lost for cost in costs),
        )
        for name, costs in rounds.items()
    ]


@contextmanager
def _icey(port: int) -> Iterator[int]:
    turn = {"port": port, "secret": SECRET, "allowLocalRelay": True, "maxBitrate": 0}
    with Server({"source": "demo:"}, turn=turn) as server:
        yield server.pid


@contextmanager
def _coturn(port: int) -> Iterator[int]:
    """Run Debian's package of that name."""
    command = ["turnserver", "-n", "--no-cli", "--no-tls", "--no-dtls", "--no-stdout-log"]
    command += ["--log-file=/dev/null", "--simple-log", "--pidfile=/dev/null", "--realm=icey"]
    command += ["--allow-loopback-peers", "--use-auth-secret", f"--static-auth-secret={SECRET}"]
    command += ["--listening-ip=127.0.0.1", "--relay-ip=127.0.0.1", f"--listening-port={port}"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + READY_WITHIN_S
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                if time.monotonic() > deadline or process.poll() is not None:
                    raise RuntimeError("coturn does not start") from None
                time.sleep(0.05)
        yield process.pid
    finally:
        process.kill()
        process.wait()


def _load(name: str, server: int, port: int, transport: str, pace: str) -> Cost:
    """Load one server once, and measure its process."""
    user = f"{time.time() + 600:.0f}:bench"
    signature = hmac.digest(SECRET.encode(), user.encode(), "sha1")
    password = base64.b64encode(signature).decode()
    words = ["turn", f"127.0.0.1:{port}", user, password, str(CLIENTS), transport, pace]
    with subprocess.Popen(
        [build(), *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as clients:
        if clients.stdin is None or clients.stdout is None:
            raise RuntimeError("the clients have no standard input or output")
        output = clients.stdout

        def answer() -> dict[str, Any]:
            line = output.readline()
            if not line:
                raise RuntimeError(f"the clients of {name} ended")
            told: dict[str, Any] = json.loads(line)
            return told

        answer()  # all have allocated
        print(WARM_UP_S, file=clients.stdin, flush=True)
        answer()
        cpu, begin = cpu_seconds(server), time.perf_counter()
        print(MEASURE_S, file=clients.stdin, flush=True)
        told = answer()
        cpu, wall = cpu_seconds(server) - cpu, time.perf_counter() - begin
        clients.stdin.close()
    return Cost(
        server=name,
        packet_us=1e6 * cpu / told["arrived"],
        packets_per_second=told["arrived"] / wall,
        lost=told["sent"] - told["arrived"],
    )
