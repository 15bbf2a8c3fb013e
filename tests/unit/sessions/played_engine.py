"""A packet engine that the test plays, with real events, and the messages that callers send."""

import asyncio
import os
from collections import defaultdict
from types import SimpleNamespace
from typing import Any

from icey._core import EngineStats, PeerReached, PeerStats
from icey.errors import ClosedError
from icey.refusals import Refusals
from icey.sessions.calls import Calls
from icey.sessions.work import Work

ALICE, BOB = "alice|1", "bob|2"
OFFER = {"type": "message", "subtype": "call:offer", "data": {"type": "offer", "sdp": "v=0"}}
INIT = {"type": "message", "subtype": "call:init", "data": {}}
CANDIDATE = {
    "type": "message",
    "subtype": "call:candidate",
    "data": {"candidate": "candidate:1 1 udp 1 127.0.0.1 9 typ host", "sdpMid": "0"},
}


class PlayedPeer:
    """A peer that answers at once, with the options that it was made with."""

    def __init__(
        self,
        number,
        refusal,
        *,
        direction="send",
        deliver="frames",
        simulcast=False,
        estimation="remb",
        max_bitrate=0,
        start_bitrate=None,
    ):
        self.id, self.refusal = number, refusal
        self.direction, self.deliver, self.simulcast = direction, deliver, simulcast
        self.estimation = estimation
        self.max_bitrate, self.start_bitrate = max_bitrate, start_bitrate
        self.offers, self.candidates, self.closed = [], [], False
        self.counted = PeerStats()
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
        return self.counted

    def close(self):
        self.closed = True


class PlayedEngine:
    """An engine whose events the test writes."""

    def __init__(self):
        self.event_fd = os.eventfd(0, os.EFD_NONBLOCK)
        self.peers, self.tracks, self.attached = [], [], defaultdict(set)
        self.refusal, self.port = None, 4501
        self._events = []
        self.newest, self.routes = defaultdict(dict), {}

    def create_peer(self, **options: Any):
        peer: Any = PlayedPeer(len(self.peers) + 1, self.refusal, **options)
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
        return EngineStats(peers=len(self.peers))

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
        os.close(self.event_fd)


class Conversation:
    """The calls of a mode under test, with what they have said to whom.

    Args:
        make_mode: takes an engine and `Work`, and returns the mode.
        turn: the TURN server beside the engine.
    """

    def __init__(self, make_mode, *, turn=None, external_ip="", limits=None):
        engine: Any = PlayedEngine()
        work = Work()
        self.engine, self.mode = engine, make_mode(engine, work)
        self.refusals = Refusals()
        self.calls = Calls(
            engine,
            turn,
            self.mode,
            work,
            refusals=self.refusals,
            external_ip=external_ip,
            limits=limits,
        )
        self.said = []

    async def __aenter__(self):
        self.calls.start(lambda to, message: self.said.append((to, message)))
        return self

    async def __aexit__(self, *_):
        await self.calls.close("end of test")
        assert all(peer.closed for peer in self.engine.peers)
        assert all(track.closed for track in self.engine.tracks)
        self.engine.close()

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

    async def call(self, who, *, network="", reached=True):
        """Call, offer and send a first check; return the peer that the engine made for it."""
        before = len(self.engine.peers)
        self.calls.deliver(who, INIT, network)
        await self.until(lambda: self.heard(who, "call:accept"))
        self.calls.deliver(who, OFFER, network)
        await self.until(lambda: len(self.engine.peers) > before)
        peer = self.engine.peers[-1]
        if reached:
            self.engine.tell(PeerReached(peer=peer.id))
            await self.until(lambda: not self.engine.waiting)
        return peer
