"""The real command line and server in a process of its own, with calls that need no engine.

The arguments are those of icey-server. ICEY_TEST_STUCK=1 makes the calls hang in `close`.
"""

import asyncio
import contextlib
import os
import sys
from typing import Any

from icey.cli import run
from icey.server import app


class Calls:
    """Accepts nothing, and says on stdout when it is closed."""

    close_seconds = 4.0
    turn = None

    def start(self, send):
        """Start nothing."""

    def deliver(self, sender, message, network):
        """Take a message."""

    def caller_left(self, address, *, lost=False):
        """Take notice."""

    def status(self):
        """No calls."""
        return {"sessions": {"active": 0, "total": 0}, "state": "running", "warnings": []}

    async def close(self, reason):
        """Say so."""
        sys.stdout.write(f"sessions closed: {reason}\n")
        sys.stdout.flush()
        if os.environ.get("ICEY_TEST_STUCK"):
            await asyncio.Event().wait()


@contextlib.asynccontextmanager
async def open_calls(settings, refusals, *, publish, sign):
    """Stand for what opens an engine."""
    yield Calls()


if __name__ == "__main__":
    replaced: Any = app
    replaced.open_calls = open_calls
    sys.exit(run(sys.argv[1:]))
