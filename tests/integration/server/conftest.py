"""A real server on a free port, with calls that only write down what they are told."""

import asyncio
import contextlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import pytest
import websockets

from icey.config.model import Settings
from icey.refusals import Refusals
from icey.server.app import open_artifacts, open_events, run
from icey.server.auth import AccessToken
from icey.server.hosts import host_names_blocking
from icey.server.listener import bind
from icey.server.readiness import Readiness

SERVER = "icey|server"


class NotedCalls:
    """Stands for the calls: accepts each one at once."""

    close_seconds = 4.0

    def __init__(self):
        self.started = False
        self.delivered = []
        self.left = []
        self.lost = []
        self.closed = []
        self.send = None
        self.hang_on_close = False
        self.turn = None

    def start(self, send):
        self.send, self.started = send, True

    def deliver(self, sender, message, network):
        self.delivered.append((sender, message))
        if message["subtype"] == "call:init":
            self.send(sender, {"type": "message", "subtype": "call:accept", "id": "x", "data": {}})

    def caller_left(self, address, *, lost):
        self.left.append(address)
        if lost:
            self.lost.append(address)

    def status(self):
        return {
            "sessions": {"active": 1, "total": 7},
            "state": "running",
            "warnings": ["from a session"],
        }

    async def close(self, reason):
        self.closed.append(reason)
        for sender in {sender for sender, _ in self.delivered}:
            self.send(
                sender, {"type": "message", "subtype": "call:hangup", "data": {"reason": reason}}
            )
        if self.hang_on_close:
            await asyncio.Event().wait()


@dataclass
class StaticReport:
    """A preflight report whose outcome the test decides."""

    ready: bool = True

    @property
    def status(self):
        return "ok" if self.ready else "error"

    def to_json(self):
        return {
            "product": "icey",
            "ready": self.ready,
            "source": {"value": "demo:", "kind": "demo", "remote": False},
            "checks": [{"name": "config", "result": "pass", "detail": ""}],
            "warnings": ["from a check"],
        }


@dataclass
class Running:
    """A running server as a test uses it."""

    port: int
    sessions: NotedCalls
    report: StaticReport
    stop: asyncio.Event
    task: asyncio.Task
    checks: list = field(default_factory=list)

    @property
    def gateway(self):
        return self.sessions.send.__self__

    @property
    def hub(self):
        return self.gateway.hub

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def connect(self, path="/", **options):
        return websockets.connect(
            f"ws://127.0.0.1:{self.port}{path}",
            **{"max_size": None, "compression": None, **options},
        )

    async def enter(self, user, **fields):
        """Connect and authenticate; the welcome and the snapshot are read."""
        client = await self.connect()
        await say(client, {"type": "auth", "user": user, **fields})
        welcome = await hear(client)
        assert welcome["type"] == "welcome", welcome
        client.peer_id = welcome["peer"]["id"]
        client.address = f"{user}|{client.peer_id}"
        # Joining the own room changes nothing, and its answer follows the snapshot.
        await say(client, {"type": "join", "room": user})
        while (await hear(client))["type"] != "join:ok":
            pass
        return client


async def say(client, frame):
    await client.send(frame if isinstance(frame, str | bytes) else json.dumps(frame))


async def hear(client, within_s=5.0):
    return json.loads(await asyncio.wait_for(client.recv(), within_s))


async def eventually(condition, within_s=5.0):
    """Wait until a condition holds; fail where it does not in time."""
    async with asyncio.timeout(within_s):
        while not condition():
            await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def serving(settings=None, *, root=None, report=None, sessions=None):
    settings = Settings.model_validate(
        {"http": {"host": "127.0.0.1", "port": 0}, "media": {"source": "demo:"}, **(settings or {})}
    )
    sessions = sessions or NotedCalls()
    refusals = Refusals()
    token = AccessToken(settings.auth.token.get_secret_value(), refusals)
    artifacts, events = open_artifacts(settings, token), open_events(settings, refusals)
    sessions.publish, sessions.sign = events.publish, artifacts.link
    report = report or StaticReport()
    listeners = bind("127.0.0.1", 0)
    stop, listening = asyncio.Event(), asyncio.Event()
    checks = []

    def check():
        checks.append(1)
        return report

    task = asyncio.create_task(
        run(
            settings,
            root=root or Path("/nonexistent"),
            listeners=listeners,
            token=token,
            artifacts=artifacts,
            events=events,
            webhook=None,
            calls=sessions,
            readiness=Readiness(lambda: check, report, asyncio.get_running_loop().time() - 1e6),
            refusals=refusals,
            hosts=host_names_blocking(settings),
            stop=stop,
            on_listening=listening.set,
        )
    )
    port = listeners[0].getsockname()[1]
    try:
        await asyncio.wait_for(listening.wait(), 5)
        yield Running(port, sessions, report, stop, task, checks)
    finally:
        stop.set()
        await asyncio.wait_for(task, 15)
        for listener in listeners:
            listener.close()


@pytest.fixture
def make_server():
    """Return what starts a server: an asynchronous context manager that takes settings."""
    return serving


@pytest.fixture
async def server():
    """A server with the settings of a fresh installation."""
    async with serving() as running:
        yield running


@pytest.fixture
def wire():
    """The functions of a client: say, hear, eventually."""
    return SimpleNamespace(say=say, hear=hear, eventually=eventually)
