"""A packet engine that is played by the test, and the messages that callers send."""

import asyncio
import os
from collections import defaultdict
from types import SimpleNamespace
from typing import Any

from icey.errors import ClosedError
from icey.sessions import switchboard

ALICE, BOB = "alice|1", "bob|2"
OFFER = {"type": "message", "subtype": "call:offer", "data": {"type": "offer", "sdp": "v=0"}}
INIT = {"type": "message", "subtype": "call:init", "data": {}}
CANDIDATE = {
    "type": "message",
    "subtype": "call:candidate",
    "data": {"candidate": "candidate:1 1 udp 1 127.0.0.1 9 typ host", "sdpMid": "0"},
}


class PlayedPeer:
    """A peer that answers at once."""

    def __init__(self, number):
        self.id = number
        self.offers, self.candidates, self.closed = [], [], False
        self.refusal = None
        self.pairs = []
        self.codecs = ("h264", "opus")
        self.layers = ()
        self.probes = []

    def accept_offer(self, sdp):
        if self.closed:
            raise ClosedError("the peer was closed")
        if self.refusal:
            raise self.refusal
        self.offers.append(sdp)
        return f"answer to {sdp}"

    def add_candidate(self, candidate):
        self.candidates.append(candidate)

    def probe(self, bits_per_second):
        self.probes.append(bits_per_second)

    def stats(self):
        if self.closed:
            raise ClosedError("the peer was closed")
        return SimpleNamespace(bytes_sent=0, loss=None, rtt_ms=None, pairs=self.pairs)

    def close(self):
        self.closed = True


class PlayedEngine:
    """An engine whose events the test writes."""

    def __init__(self, **_):
        self.event_fd = os.eventfd(0, os.EFD_NONBLOCK)
        self.peers, self.tracks, self.attached, self.closed = [], [], defaultdict(set), False
        self.refusal, self.port = None, 4501
        self._events = []
        self.newest, self.routes = defaultdict(dict), {}

    def create_peer(
        self,
        *,
        direction="send",
        deliver="frames",
        simulcast=False,
        estimation="remb",
        max_bitrate=0,
        start_bitrate=None,
    ):
        peer: Any = PlayedPeer(len(self.peers) + 1)
        peer.deliver, peer.simulcast, peer.max_bitrate = deliver, simulcast, max_bitrate
        peer.start_bitrate = start_bitrate
        peer.direction, peer.estimation, peer.refusal = direction, estimation, self.refusal
        self.peers.append(peer)
        return peer

    def create_track(self, kind):
        track = SimpleNamespace(
            id=len(self.tracks) + 100, kind=kind, closed=False, bitrate=0, frames=0, backlog_ms=0
        )
        track.close = lambda: setattr(track, "closed", True)
        self.tracks.append(track)
        return track

    def attach(self, peer, track):
        self.attached[peer.id].add(track.id)
        self.newest[peer.id][track.kind] = track.id

    def route(self, source, track, layer=""):
        self.routes[track.id] = source.id, layer

    def stats(self):
        return SimpleNamespace(
            peers=len(self.peers),
            packets_sent=11,
            bytes_sent=12,
            packets_received=13,
            bytes_received=14,
            packets_dropped=15,
            packets_unknown=16,
            frames_dropped=17,
            panics=0,
        )

    @property
    def waiting(self):
        return bool(self._events)

    def tell(self, *events):
        self._events += events
        os.eventfd_write(self.event_fd, 1)

    def poll_events(self):
        os.eventfd_read(self.event_fd)
        events, self._events = self._events, []
        return events

    def close(self):
        self.closed = True
        os.close(self.event_fd)


class PlayedEvent(SimpleNamespace):
    """Stands in for the engine's events, which only the engine can make."""


class Connected(PlayedEvent):
    pass


class Disconnected(PlayedEvent):
    pairs = ()


class Keyframe(PlayedEvent):
    pass


class Bitrate(PlayedEvent):
    pass


class Started(PlayedEvent):
    pass


class Congested(PlayedEvent):
    pass


def play(monkeypatch):
    """Put the played engine in the place of the real one."""
    monkeypatch.setattr(switchboard, "Engine", PlayedEngine)
    monkeypatch.setattr(switchboard, "open_turn", lambda *_, **__: None)
    monkeypatch.setattr(switchboard, "PeerConnected", Connected)
    monkeypatch.setattr(switchboard, "PeerDisconnected", Disconnected)
    monkeypatch.setattr(switchboard, "KeyframeRequested", Keyframe)
    monkeypatch.setattr(switchboard, "BitrateEstimated", Bitrate)
    monkeypatch.setattr(switchboard, "MediaStarted", Started)
    monkeypatch.setattr(switchboard, "PeerCongested", Congested)


class Conversation:
    """The sessions under test, with what they have said to whom."""

    def __init__(self, sessions):
        self.sessions = sessions
        self.engine = sessions._engine
        self.said = []
        sessions.connect(lambda to, message: self.said.append((to, message)))

    def heard(self, who, subtype):
        """The data of messages of this subtype, or events of this name, to this address."""
        return [
            m.get("data", {})
            for to, m in self.said
            if to == who and subtype in (m.get("subtype"), m.get("name"))
        ]

    async def until(self, condition):
        """Wait for a condition, at most five seconds."""
        async with asyncio.timeout(5):
            while not condition():
                await asyncio.sleep(0.005)

    async def call(self, who):
        """Call and offer; return the peer that the engine made for it."""
        before = len(self.engine.peers)
        self.sessions.deliver(who, INIT)
        await self.until(lambda: self.heard(who, "call:accept"))
        self.sessions.deliver(who, OFFER)
        await self.until(lambda: len(self.engine.peers) > before)
        return self.engine.peers[-1]
