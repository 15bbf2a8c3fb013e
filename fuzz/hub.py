"""Fuzzes the hub and the calls behind it: any frames, of many peers, in any order.

The input is a list of steps; texts are either raw or put together from the words of the protocol,
so that most get past the parser. What must hold:

- nothing raises;
- no session that is closed is sent anything, and what is sent is JSON;
- when all sessions are closed nothing of them is left.
"""

from __future__ import annotations

import json
import sys

import atheris

with atheris.instrument_imports(include=["icey"]):
    from icey.signalling.actions import Close, Deliver, Left, Show, ToServer
    from icey.signalling.calls import CallTable
    from icey.signalling.hub import Hub
    from icey.signalling.peers import ServerPeer

TYPES = ["auth", "join", "leave", "close", "presence", "message", "command", "event", "welcome", ""]
SUBTYPES = ["call:init", "call:offer", "call:candidate", "call:hangup", "call:accept", "call:x", ""]
KEYS = ["type", "subtype", "user", "name", "token", "to", "from", "data", "room", "rooms", "probe"]
DATA_KEYS = ["sdp", "type", "candidate", "sdpMid", "sdpMLineIndex", "reason", "peerType", "online"]
SERVER = ["icey", "server", "icey|server", "ic\u200bey", "\u0456cey", " Icey "]


class Steps:
    """What one input does."""

    def __init__(self, data: bytes) -> None:
        self.given = atheris.FuzzedDataProvider(data)
        self.hub = Hub(ServerPeer("relay"), check_token=lambda token, _network: token != "wrong")
        self.calls = CallTable()
        self.now = 0.0
        self.open: list[str] = []
        self.closing: set[str] = set()

    def run(self) -> None:
        for _ in range(self.given.ConsumeIntInRange(1, 60)):
            self.step()
        for session in list(self.open):
            self.close(session)
        assert self.hub.sessions == 0
        assert self.hub.peers == 0
        self.now += 1000.0
        self.calls.expire(self.now)
        assert self.calls.active == 0

    def step(self) -> None:
        choice = self.given.ConsumeIntInRange(0, 11)
        if choice == 0 or not self.open:
            network = f"192.0.2.{self.given.ConsumeIntInRange(0, 3)}"
            session = self.hub.open(self.now, network)
            if session is not None:
                self.open.append(session)
        elif choice == 1:
            self.close(self.given.PickValueInList(self.open), lost=self.given.ConsumeBool())
        elif choice == 2:
            self.now += self.given.ConsumeFloatInRange(0.0, 40.0)
            while (due := self.hub.next_deadline()) is not None and due <= self.now:
                self.perform(self.hub.expire(self.now))
            self.calls.expire(self.now)
        elif choice == 3:
            self.perform(self.hub.too_large(self.given.PickValueInList(self.open)))
        else:
            session = self.given.PickValueInList(self.open)
            self.perform(self.hub.receive(session, self.text(), self.now))

    def close(self, session: str, *, lost: bool = False) -> None:
        self.open.remove(session)
        self.closing.discard(session)
        self.perform(self.hub.close(session, lost=lost, now=self.now))

    def perform(self, actions) -> None:
        for action in actions:
            match action:
                case Deliver(to, frame):
                    self.deliver(to, frame)
                case Show(to, shown, _):
                    for _, frame in shown:
                        self.deliver(to, frame)
                case ToServer(sender, message, network):
                    self.calls.receive(sender, message, self.now, network)
                case Left(address, lost):
                    self.calls.caller_left(address, self.now, lost=lost)
                case Close(session, _, _):
                    self.closing.add(session)

    def deliver(self, to, frame) -> None:
        json.loads(frame.text)
        for session in to:
            assert session in self.open
            assert session not in self.closing

    def text(self) -> str:
        if self.given.ConsumeIntInRange(0, 7) == 0:
            return self.given.ConsumeUnicode(200)
        message = {"type": self.given.PickValueInList(TYPES)}
        if message["type"] == "auth":
            message["user"] = self.word()
        for _ in range(self.given.ConsumeIntInRange(0, 5)):
            message[self.given.PickValueInList(KEYS)] = self.value(0)
        return json.dumps(message)

    def word(self):
        choice = self.given.ConsumeIntInRange(0, 3)
        if choice == 0:
            return self.given.PickValueInList(SERVER)
        if choice == 1 and self.open:
            session = self.given.PickValueInList(self.open)
            return self.given.PickValueInList([session, f"a|{session}", f"x|{session}"])
        if choice == 2:
            return self.given.PickValueInList(["a", "b", "public", *SUBTYPES])
        return self.given.ConsumeUnicode(70)

    def value(self, depth: int):
        choice = self.given.ConsumeIntInRange(0, 9)
        if choice <= 4 or depth > 3:
            return self.word()
        if choice == 5:
            return [self.value(depth + 1) for _ in range(self.given.ConsumeIntInRange(0, 3))]
        if choice == 6:
            keys = [self.given.PickValueInList(DATA_KEYS) for _ in range(3)]
            return {key: self.value(depth + 1) for key in keys}
        return self.given.PickValueInList([None, True, False, 0, -1, 2**70, 1.5, "", [], {}])


def one_input(data: bytes) -> None:
    Steps(data).run()


if __name__ == "__main__":
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
