"""Relay mode: one browser is the source, all others watch it, and nothing is decoded.

The engine forwards packets from the source's streams to tracks, and from these to every viewer; no
packet comes here. Here is decided who is the source, who watches, and which simulcast layer each
viewer gets.

* Whoever offers to send is a candidate; the first whose media come is the source. Another one
  that offers to send while there is a source is refused, or watches if its offer can receive.
* Whoever only receives is a viewer, with or without a source, and is never made one.
* When the source leaves, viewers stay, on the same call and on the same tracks, and go on with
  the next source.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from icey.errors import ClosedError, OfferError
from icey.sessions.directions import directions_of
from icey.sessions.layers import LayerChoice
from icey.sessions.switchboard import Party, Switchboard

if TYPE_CHECKING:
    from icey._core import Peer, PeerStats, Track
    from icey.config.model import Settings

__all__ = ["RelaySessions"]

log = logging.getLogger(__name__)

TAKEN = "relay already has a source"

LAYERS = 3
"""Simulcast layers at the most: the page offers three."""

PROBE_BITRATE, PROBE_MARGIN = 3_000_000, 1.35
"""What a viewer's path is probed for at its start, in bit/s: so much at the least, and that much
more than the source sends. The page's largest layer has 2 Mb/s; it may not be there yet."""

MEASURE_SECONDS = 2.0
"""How often the viewers' paths are measured, for the status."""


@dataclass(frozen=True, slots=True)
class _Measured:
    """What was last measured of a viewer's path."""

    stats: PeerStats
    rate: int


class _Member(Party):
    """A call: a source, one that would be, or a viewer."""

    def __init__(
        self, call: str, caller: str, peer: Peer, role: Literal["candidate", "viewer"]
    ) -> None:
        super().__init__(call, caller, peer)
        self.role: Literal["candidate", "source", "viewer"] = role
        self.choice = LayerChoice()
        self.attached = 0
        self.path: int | None = None
        self.is_connected = False
        self.measured: _Measured | None = None
        self.bytes_before = 0


class RelaySessions(Switchboard[_Member]):
    """The calls of relay mode.

    Raises:
        AddressInUseError: ``webrtc.port`` is taken.
        EngineError: an address cannot be used.
    """

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._settings = settings.media.relay
        self._audio: Track = self._engine.create_track("audio")
        self._video: list[Track] = [self._engine.create_track("video") for _ in range(LAYERS)]
        self._source: _Member | None = None
        self._measuring = False
        self._measured_at = 0.0

    def status(self) -> dict[str, Any]:
        """Tell who is the source, and how each viewer fares."""
        source = self._source
        viewers = self._viewers()
        return super().status() | {
            "relay": {
                "source": None
                if source is None
                else {
                    "peer": _name(source),
                    "layers": [
                        {"bitrate": track.bitrate, "frames": track.frames} for track in self._tracks
                    ],
                },
                "viewers": [self._viewer_json(viewer) for viewer in viewers],
                "maxViewers": self._settings.max_viewers,
            }
        }

    # -- calls ------------------------------------------------------------------------------

    def open_party(self, call: str, caller: str, offer: str) -> _Member:
        """Make a candidate's peer that receives, or a viewer's that sends.

        Raises:
            OfferError: there is a source already, there are viewers enough, or the offer wants
                neither.
        """
        wanted = directions_of(offer)
        if wanted.sends and self._source is None:
            peer = self._engine.create_peer(
                direction="receive",
                deliver="packets",
                simulcast=self._settings.simulcast,
                max_bitrate=self._settings.max_bitrate,
            )
            return _Member(call, caller, peer, "candidate")
        if not wanted.receives:
            raise OfferError(
                TAKEN if wanted.sends else "media: the offer neither sends nor receives"
            )
        most = self._settings.max_viewers
        if most and len(self._viewers()) >= most:
            raise OfferError(
                f"relay has no free viewer slot: {most} taken (media.relay.maxViewers)"
            )
        viewer = _Member(call, caller, self._engine.create_peer(direction="send"), "viewer")
        self._engine.attach(viewer.peer, self._audio)
        self._engine.attach(viewer.peer, self._video[0])
        return viewer

    def connected(self, party: _Member) -> None:
        """Probe a viewer's path, and tell it to wait where there is nothing to see yet."""
        party.is_connected = True
        if party.role != "viewer":
            return
        if self._settings.simulcast and (self._source is None or len(self._tracks) > 1):
            self._probe(party)
        if self._source is None:
            self._tell(party, "relay:waiting")

    def media_started(self, party: _Member, kind: str, layer: str) -> None:
        """The first media of a candidate make it the source, or come too late."""
        log.debug("%s sends %s %s", _name(party), kind, layer)
        if party.role != "candidate":
            return
        if self._source is None:
            self._elect(party)
        else:
            self._hang_up(party, TAKEN)

    def released(self, party: _Member, reason: str) -> None:  # noqa: ARG002 - all are alike
        """Close the peer; without a source, its viewers wait for the next."""
        party.peer.close()
        if party is not self._source:
            return
        log.info("the relay has no source any more")
        self._source = None
        for viewer in self._viewers():
            self._tell(viewer, "relay:ended")

    def estimated(self, party: _Member, bitrate: int) -> None:
        """What the path to a viewer carries decides on its layer."""
        party.path = bitrate
        self._choose(party)

    def congested(self, party: _Member, *, now: bool) -> None:
        """A viewer's packets are dropped, or go on again: it alone is told."""
        self._tell(party, "relay:congested", {"congested": now})
        if now:
            party.choice.congested(self._now())
            self._choose(party)

    def ticked(self) -> None:
        """Let viewers climb, and measure their paths now and then."""
        for viewer in self._viewers():
            self._choose(viewer)
        if not self._measuring and self._now() - self._measured_at >= MEASURE_SECONDS:
            self._measuring = True
            self._spawn(self._measure())

    def closing(self) -> None:
        """Close the tracks."""
        for track in (self._audio, *self._video):
            track.close()

    # -- source and viewers -------------------------------------------------------------------

    def _elect(self, party: _Member) -> None:
        party.role = "source"
        self._source = party
        layers = party.peer.layers[:LAYERS]
        log.info("%s is the source, with %d layer(s)", _name(party), max(1, len(layers)))
        self._engine.route(party.peer, self._audio)
        for track, layer in zip(self._video, layers or ("",), strict=False):
            self._engine.route(party.peer, track, layer)
        for other in list(self._parties.values()):
            if other.role == "candidate":
                self._hang_up(other, TAKEN)
        for viewer in self._viewers():
            viewer.choice, viewer.attached = LayerChoice(), 0
            self._engine.attach(viewer.peer, self._video[0])
            if viewer.is_connected and len(layers) > 1:
                self._probe(viewer)
            self._tell(viewer, "relay:live")

    @property
    def _tracks(self) -> list[Track]:
        """The video tracks that the source feeds, lowest layer first."""
        if self._source is None:
            return []
        return self._video[: max(1, len(self._source.peer.layers))]

    def _viewers(self) -> list[_Member]:
        return [member for member in self._parties.values() if member.role == "viewer"]

    def _probe(self, viewer: _Member) -> None:
        most = max((track.bitrate for track in self._tracks), default=0)
        viewer.peer.probe(max(PROBE_BITRATE, round(most * PROBE_MARGIN)))

    def _choose(self, viewer: _Member) -> None:
        tracks = self._tracks
        if viewer.role != "viewer" or not viewer.is_connected or len(tracks) < 2:
            return
        layer = viewer.choice.choose([t.bitrate for t in tracks], viewer.path, self._now())
        if layer != viewer.attached:
            log.debug("%s goes from layer %d to %d", _name(viewer), viewer.attached, layer)
            viewer.attached = layer
            self._engine.attach(viewer.peer, tracks[layer])

    async def _measure(self) -> None:
        try:
            viewers = self._viewers()
            stats = await self._in_thread(_stats_blocking, [viewer.peer for viewer in viewers])
            since = max(self._now() - self._measured_at, 0.001)
            for viewer, measured in zip(viewers, stats, strict=True):
                if measured is not None:
                    sent = measured.bytes_sent - viewer.bytes_before
                    viewer.bytes_before = measured.bytes_sent
                    viewer.measured = _Measured(measured, round(sent * 8 / since))
        finally:
            self._measuring = False
            self._measured_at = self._now()

    def _viewer_json(self, viewer: _Member) -> dict[str, Any]:
        measured = viewer.measured
        return {
            "peer": _name(viewer),
            "connected": viewer.is_connected,
            "layer": viewer.choice.layer,
            "estimate": viewer.path,
            "bitrate": None if measured is None else measured.rate,
            "loss": None if measured is None else measured.stats.loss,
            "rttMs": None if measured is None else measured.stats.rtt_ms,
        }

    def _tell(self, party: _Member, name: str, data: dict[str, Any] | None = None) -> None:
        message: dict[str, Any] = {"type": "event", "name": name}
        if data is not None:
            message["data"] = data
        self._say(party.caller, message)


def _name(party: _Member) -> str:
    return party.caller.partition("|")[0]


def _stats_blocking(peers: list[Peer]) -> list[PeerStats | None]:
    found: list[PeerStats | None] = []
    for peer in peers:
        try:
            found.append(peer.stats())
        except ClosedError:  # left meanwhile
            found.append(None)
    return found
