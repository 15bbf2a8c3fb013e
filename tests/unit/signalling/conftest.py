"""A hub with clients, for the tests of the hub."""

import json
from itertools import count

import pytest

from icey.signalling.hub import Close, Deliver, Hub, Left, ToServer
from icey.signalling.limits import Limits
from icey.signalling.peers import ServerPeer


class World:
    """A hub, its clients and what each of them was sent."""

    def __init__(self, *, token="", **limits):
        numbers = count(1)
        self.hub = Hub(
            ServerPeer("stream"),
            check_token=lambda offered, _network: not token or offered == token,
            limits=Limits(**limits),
            new_id=lambda: f"id{next(numbers)}",
        )
        self.now = 0.0
        self.inbox = {}
        self.closed = {}
        self.to_server = []
        self.left = []

    def open(self):
        session = self.hub.open(self.now)
        self.inbox[session] = []
        return session

    def say(self, session, frame):
        text = frame if isinstance(frame, str) else json.dumps(frame)
        self.perform(self.hub.receive(session, text, self.now))

    def perform(self, actions):
        for action in actions:
            match action:
                case Deliver(to, frame):
                    for session in to:
                        assert session not in self.closed, "a closed session is sent nothing"
                        self.inbox[session].append(json.loads(frame.text))
                case ToServer(sender, message, _):
                    self.to_server.append((sender, message))
                case Left(address):
                    self.left.append(address)
                case Close(session, code, _):
                    self.closed[session] = code

    def join(self, user, **fields):
        session = self.open()
        self.say(session, {"type": "auth", "user": user, **fields})
        return session

    def take(self, session):
        frames, self.inbox[session] = self.inbox[session], []
        return frames

    def quiet(self):
        for session in self.inbox:
            self.take(session)


@pytest.fixture
def world():
    return World()


@pytest.fixture
def make_world():
    """Makes a world with a token and limits of its own."""
    return World
