"""Relay mode: one browser is the source, all others watch it, and nothing is decoded.

The engine forwards packets from the source's streams to tracks, and from these to every viewer; no
packet comes here. The mode elects the source, admits viewers, and chooses each viewer's simulcast
layer.

* Whoever offers to send is a candidate; the first whose media come is the source. Another one
  that offers to send while there is a source is refused, or watches if its offer can receive.
* Whoever only receives is a viewer, with or without a source, and is never made one.
* When the source leaves, viewers stay, on the same call and on the same tracks, and go on with
  the next source. For some seconds (``media.relay.returnSeconds``) that is the one that left and
  nobody else: candidates wait, and are told. It is known again by the secret that its page sends
  (`Call.secret`), and without one by its user name and network.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from icey._core import BitrateEstimated, MediaStarted, PeerCongested, PeerStats
from icey.errors import BusyError, OfferError
from icey.sessions.directions import directions_of
from icey.sessions.layers import LayerChoice
from icey.sessions.mode import CLOSE_SECONDS
from icey.sessions.work import stats_blocking

if TYPE_CHECKING:
    from icey._core import Engine, Peer, Track
    from icey.config.model import RelaySettings
    from icey.sessions.calls import Call
    from icey.sessions.mode import MediaEvent
    from icey.sessions.work import Work

log = logging.getLogger(__name__)

TAKEN = "relay already has a source"

REPLACED = "the broadcast goes on in another call"

LAYERS = 3
"""Simulcast layers at the most: the page offers three."""

PROBE_BITRATE, PROBE_MARGIN = 3_000_000, 1.35
"""The bitrate that a viewer's path is probed for at its start: so many bit/s at the least, and that
much more than the source sends. The page's largest layer has 2 Mb/s; it may not be there yet."""

MEASURE_SECONDS = 2.0
"""How often the viewers' paths are measured, for the status."""


@dataclass(frozen=True, slots=True)
class _Identity:
    """By what a source is known again when it comes back."""

    secret: str
    user: str
    network: str

    @classmethod
    def of(cls, call: Call) -> _Identity:
        return cls(call.secret, call.user, call.network)

    def is_same(self, call: Call) -> bool:
        """Whether this call is the same broadcaster's; a secret, where there was one, decides."""
        if self.secret:
            return call.secret == self.secret
        return (call.user, call.network) == (self.user, self.network)


@dataclass(frozen=True, slots=True)
class _Held:
    """The place of a source that is gone: for whom it is kept, and until when."""

    owner: _Identity
    until: float


class RelayMode:
    """The calls of relay mode.

    Args:
        settings: ``media.relay``.
        engine: where peers and tracks live.
        work: measures the viewers' paths, and closes peers that receive.
    """

    close_seconds = CLOSE_SECONDS

    def __init__(self, settings: RelaySettings, engine: Engine, work: Work) -> None:
        self.work = work
        self._settings = settings
        self._engine = engine
        self._audio: Track = engine.create_track("audio")
        self._video: list[Track] = [engine.create_track("video") for _ in range(LAYERS)]
        self._members: dict[_Member, None] = {}  # in the order of their calls
        self._source: _Member | None = None
        self._held: _Held | None = None
        self._measuring = False
        self._measured_at = 0.0

    def start(self) -> None:
        """Do nothing: without calls nothing goes on."""

    async def refusal(self) -> str | None:
        """Refuse nobody before the offer says what is wanted."""
        return None

    def open(self, call: Call, offer: str) -> _Member:
        """Make a candidate's peer that receives, or a viewer's that sends.

        Raises:
            OfferError: there is a source already, there are viewers enough, or the offer wants
                neither.
        """
        wanted = directions_of(offer)
        if wanted.sends and (self._source is None or self._has_come_back(call)):
            peer = self._engine.create_peer(
                direction="receive",
                deliver="packets",
                simulcast=self._settings.simulcast,
                max_bitrate=self._settings.max_bitrate,
            )
            return self._add(_Member(self, call, peer, "candidate"))
        if not wanted.receives:
            if wanted.sends:
                raise BusyError(TAKEN, bound="relaySource")
            raise OfferError("media: the offer neither sends nor receives")
        most = self._settings.max_viewers
        if most and len(self._viewers()) >= most:
            raise BusyError(
                f"relay has no free viewer slot: {most} taken (media.relay.maxViewers)",
                bound="relayViewers",
            )
        peer = self._engine.create_peer(direction="send")
        self._engine.attach(peer, self._audio)
        self._engine.attach(peer, self._video[0])
        return self._add(_Member(self, call, peer, "viewer"))

    def tick(self) -> None:
        """Choose each viewer's layer, and measure the viewers' paths each `MEASURE_SECONDS`."""
        for viewer in self._viewers():
            self.choose_layer(viewer)
        if self._held is not None and self.now() >= self._held.until:
            self._held = None
            self._elect_next()
        if not self._measuring and self.now() - self._measured_at >= MEASURE_SECONDS:
            self._measuring = True
            self.work.spawn(self._measure())

    def status(self) -> dict[str, Any]:
        """Return who is the source, and how each viewer fares."""
        source = self._source
        return {
            "relay": {
                "source": None
                if source is None
                else {
                    "peer": source.call.user,
                    "layers": [
                        {"bitrate": track.bitrate, "frames": track.frames} for track in self._tracks
                    ],
                },
                "heldSeconds": self._held_seconds(),
                "candidates": sum(member.role == "candidate" for member in self._members),
                "viewers": [viewer.to_json() for viewer in self._viewers()],
                "maxViewers": self._settings.max_viewers,
            }
        }

    def close(self) -> None:
        """Close the tracks."""
        for track in (self._audio, *self._video):
            track.close()

    # -- for a member --------------------------------------------------------------------------

    def now(self) -> float:
        """Seconds, on the event loop's clock."""
        return self.work.loop.time()

    def welcome(self, viewer: _Member) -> None:
        """Probe the path of a connected viewer, and tell it to wait where there is no source."""
        if self._settings.simulcast and (self._source is None or len(self._tracks) > 1):
            self._probe(viewer)
        if self._source is None:
            viewer.call.send_event("relay:waiting")

    def tell_to_wait(self, candidate: _Member) -> None:
        """Tell a connected candidate how long the place is kept for another one, if it is."""
        if self._is_kept_from(candidate):
            candidate.call.send_event("relay:held", {"seconds": self._held_seconds()})

    def elect(self, candidate: _Member) -> None:
        """Make a candidate whose media have come the source, unless there is one.

        Nor while the place is kept for another one. A source that has come back while its old call
        is still there takes that one's place.
        """
        if self._is_kept_from(candidate):
            return
        if self._source is not None:
            if not self._has_come_back(candidate.call):
                candidate.call.hang_up(TAKEN)
                return
            self._source.call.hang_up(REPLACED)
        self._held = None
        candidate.role = "source"
        self._source = candidate
        layers = candidate.peer.layers[:LAYERS]
        log.info("%s is the source, with %d layer(s)", candidate.call.user, max(1, len(layers)))
        self._engine.route(candidate.peer, self._audio)
        for track, layer in zip(self._video, layers or ("",), strict=False):
            self._engine.route(candidate.peer, track, layer)
        candidate.call.send_event("relay:elected")
        for other in list(self._members):
            if other.role == "candidate":
                other.call.hang_up(TAKEN)
        for viewer in self._viewers():
            viewer.choice, viewer.attached = LayerChoice(), 0
            self._engine.attach(viewer.peer, self._video[0])
            if viewer.is_connected and len(layers) > 1:
                self._probe(viewer)
            viewer.call.send_event("relay:live")

    def choose_layer(self, viewer: _Member) -> None:
        """Attach a viewer to the layer that its path carries."""
        tracks = self._tracks
        if viewer.role != "viewer" or not viewer.is_connected or len(tracks) < 2:
            return
        layer = viewer.choice.choose([t.bitrate for t in tracks], viewer.path, self.now())
        if layer != viewer.attached:
            log.debug("%s goes from layer %d to %d", viewer.call.user, viewer.attached, layer)
            viewer.attached = layer
            self._engine.attach(viewer.peer, tracks[layer])

    def remove(self, member: _Member) -> None:
        """Forget a member; without a source, its viewers wait for the next."""
        self._members.pop(member, None)
        if member is not self._source:
            return
        log.info("the relay has no source any more")
        self._source = None
        if self._settings.return_seconds:
            until = self.now() + self._settings.return_seconds
            self._held = _Held(_Identity.of(member.call), until)
        for viewer in self._viewers():
            viewer.call.send_event("relay:ended")

    # -- a source that comes back --------------------------------------------------------------

    def _has_come_back(self, call: Call) -> bool:
        """Whether this is the source's own new call; beside the old one, a secret proves it."""
        source = self._source
        return source is not None and bool(call.secret) and call.secret == source.call.secret

    def _is_kept_from(self, candidate: _Member) -> bool:
        return self._held is not None and not self._held.owner.is_same(candidate.call)

    def _held_seconds(self) -> int:
        return 0 if self._held is None else max(0, math.ceil(self._held.until - self.now()))

    def _elect_next(self) -> None:
        for candidate in list(self._members):
            if candidate.role == "candidate" and candidate.has_media:
                self.elect(candidate)
                return

    # -- source and viewers --------------------------------------------------------------------

    def _add(self, member: _Member) -> _Member:
        self._members[member] = None
        return member

    @property
    def _tracks(self) -> list[Track]:
        """The video tracks that the source feeds, lowest layer first."""
        if self._source is None:
            return []
        return self._video[: max(1, len(self._source.peer.layers))]

    def _viewers(self) -> list[_Member]:
        return [member for member in self._members if member.role == "viewer"]

    def _probe(self, viewer: _Member) -> None:
        most = max((track.bitrate for track in self._tracks), default=0)
        viewer.peer.probe(max(PROBE_BITRATE, round(most * PROBE_MARGIN)))

    async def _measure(self) -> None:
        try:
            viewers = self._viewers()
            stats = await self.work.in_thread(lambda: [stats_blocking(v.peer) for v in viewers])
            since = max(self.now() - self._measured_at, 0.001)
            for viewer, measured in zip(viewers, stats, strict=True):
                if measured is not None:
                    sent = measured.bytes_sent - viewer.stats.bytes_sent
                    viewer.stats, viewer.rate = measured, round(sent * 8 / since)
        finally:
            self._measuring = False
            self._measured_at = self.now()


class _Member:
    """A call: a source, one that would be, or a viewer."""

    def __init__(
        self, mode: RelayMode, call: Call, peer: Peer, role: Literal["candidate", "viewer"]
    ) -> None:
        self.call = call
        self.peer = peer
        self.role: Literal["candidate", "source", "viewer"] = role
        self.choice = LayerChoice()
        self.attached = 0
        self.path: int | None = None
        self.is_connected = self.has_media = False
        self.stats = PeerStats()
        self.rate: int | None = None  # bit/s
        self._mode = mode

    async def answered(self) -> None:
        """Wait for the connection."""

    def reached(self) -> None:
        """Wait for the connection."""

    def connected(self) -> None:
        """Let a viewer watch; a candidate has yet to send."""
        self.is_connected = True
        if self.role == "viewer":
            self._mode.welcome(self)
        else:
            self._mode.tell_to_wait(self)

    def handle_event(self, event: MediaEvent) -> None:
        """Elect a candidate that sends; choose a viewer's layer by its path."""
        match event:
            case MediaStarted():
                log.debug("%s sends %s %s", self.call.user, event.kind, event.layer)
                self.has_media = True
                if self.role == "candidate":
                    self._mode.elect(self)
            case BitrateEstimated():
                self.path = event.bitrate
                self._mode.choose_layer(self)
            case PeerCongested():
                self.call.send_event("relay:congested", {"congested": event.congested})
                if event.congested:
                    self.choice.congested(self._mode.now())
                    self._mode.choose_layer(self)

    def close(self) -> None:
        """Close the peer: of one that receives in a thread, as that waits for the engine."""
        if self.role == "viewer":
            self.peer.close()
        else:
            self._mode.work.spawn(self._mode.work.in_thread(self.peer.close))
        self._mode.remove(self)

    def to_json(self) -> dict[str, Any]:
        """Return how a viewer fares, as the API shows it."""
        return {
            "peer": self.call.user,
            "connected": self.is_connected,
            "layer": self.choice.layer,
            "estimate": self.path,
            "bitrate": self.rate,
            "loss": self.stats.loss,
            "rttMs": self.stats.rtt_ms,
        }
