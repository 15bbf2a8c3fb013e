"""Ports for the servers that tests and benches start."""

from __future__ import annotations

import os
import random
import socket

FIRST, EACH = 10_000, 2_500
"""Below those that Linux gives to whoever asks for any (32768 and up), so that between choice and
use nobody gets the same one: a part of the range for each worker of pytest-xdist."""

_worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 8
_unused = list(range(FIRST + _worker * EACH, FIRST + (_worker + 1) * EACH))
random.shuffle(_unused)


def free_port() -> int:
    """Return a port that is free on loopback for TCP and UDP, and is not returned again."""
    while True:
        port = _unused.pop()
        try:
            for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                with socket.socket(socket.AF_INET, kind) as probe:
                    probe.bind(("127.0.0.1", port))
        except OSError:
            continue
        return port
