"""The real command line and server in a process of its own, with sessions that need no engine.

The arguments are those of icey-server. ICEY_TEST_STUCK=1 makes the sessions hang in `close`.
"""

import asyncio
import os
import sys
from typing import Any

import icey.sessions
from icey.cli import run


class Sessions:
    """Accepts nothing, and says on stdout when it is closed."""

    close_seconds = 4.0
    turn = None

    def connect_events(self, publish, sign):
        pass

    def connect(self, send):
        """Take the way to speak, which is never used."""

    async def start(self):
        """Start nothing."""

    def deliver(self, sender, message):
        """Take a message."""

    def caller_left(self, address):
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


if __name__ == "__main__":
    replaced: Any = icey.sessions
    replaced.open_sessions = lambda _settings: Sessions()
    sys.exit(run(sys.argv[1:]))
