"""A feed: one opened source, its encoders, and the viewers that hang on them.

A file gives each viewer a feed of his own; a live source has one for all (see
`feed_is_shared`). The feed owns a `Pipeline` (threads) and the engine's tracks, and knows
nothing of signalling. Everything here runs on the event loop except what is named ``_blocking``.
"""

from __future__ import annotations

import logging
import time
import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING

from icey.media.pipeline import Pipeline
from icey.media.punctuality import Punctuality
from icey.sessions.adaptation import LanePlan
from icey.sessions.filming import Filming

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from icey._core import Engine, Peer, Track
    from icey.config.model import MediaSettings
    from icey.intelligence.analysis import Analysis
    from icey.intelligence.clip import Clips
    from icey.media.encoders import Encoders, Slot
    from icey.media.events import PipelineEvent
    from icey.media.lane import Lane, Sink
    from icey.media.source import Source

log = logging.getLogger(__name__)

SHARED_LANES = 3
"""Encoders of a shared feed at most: each costs about a tenth of a core at 720p30. The second and
third run where the server has room for them (``media.maxEncoders``)."""

AUDIO_WINDOW_SECONDS = 1.0
"""Over how long the bitrate of the audio is measured."""


def feed_is_shared(source: Source, media: MediaSettings) -> bool:
    """Say whether all viewers share one pipeline (``media.pipeline``).

    ``auto`` shares what is live: a camera can be opened only once, and there is one "now" to show.
    """
    if media.pipeline == "auto":
        return source.live
    return media.pipeline == "shared"


@dataclass
class _Encoder:
    """The tracks of a lane, and the lane itself once somebody hangs on it who is connected.

    Each has an audio track, so that lanes come and go freely.
    """

    video: Track
    audio: Track
    lane: Lane | None = None

    def close(self) -> None:
        if self.lane is not None:
            self.lane.close()
        self.video.close()
        self.audio.close()


class Feed:
    """One source on the way to its viewers.

    Args:
        engine: where the tracks live.
        source: what to open.
        media: size, rate and bitrate to encode at.
        shared: whether viewers may hang on different lanes.
        on_event: takes what happens to the source, on media threads; must not block.
        start_bitrate: what a viewer's path is taken to carry before its first estimate, bit/s;
            None: everything.
        analysis: the detectors that look at it, which end with it.
        clips: of what the detectors find.
        encoders: those of the server, which bound the lanes of a shared feed; None is no bound.
        slots: what was taken of them for it; given back when it stops.
    """

    def __init__(
        self,
        engine: Engine,
        source: Source,
        media: MediaSettings,
        *,
        shared: bool,
        on_event: Callable[[Feed, PipelineEvent], None],
        start_bitrate: int | None = None,
        analysis: Analysis | None = None,
        clips: Clips | None = None,
        encoders: Encoders | None = None,
        slots: Iterable[Slot] = (),
    ) -> None:
        self.shared = shared
        self.analysis = analysis
        self._engine = engine
        self._media = media
        self._all_encoders, self._slots = encoders, list(slots)
        self._punctuality = Punctuality()
        # Weakly, as the pipeline holds tens of megabytes: it goes with the last reference to the
        # feed, not whenever the collector of cycles comes by.
        me = weakref.ref(self)

        def tell(event: PipelineEvent) -> None:
            feed = me()
            if feed is not None:
                on_event(feed, event)

        self._plan = LanePlan(
            maximum=media.video.bitrate,
            audio=media.audio.bitrate,
            lanes=SHARED_LANES if shared else 1,
            start=start_bitrate,
        )
        self._pipeline = Pipeline(
            source,
            media,
            on_event=tell,
            start_bitrate=self._plan.start_rate,
            tap=analysis,
        )
        self._filming = (
            None if clips is None else Filming(clips, self._pipeline, media.video.bitrate)
        )
        self._encoders: dict[int, _Encoder] = {}
        self._viewers: dict[int, Peer] = {}
        self._heard_lane: Lane | None = None
        self._heard_bytes, self._heard_since = 0, 0.0
        self._started = False
        self._stopped = False

    @property
    def viewers(self) -> frozenset[int]:
        """The ids of the peers that watch."""
        return frozenset(self._viewers)

    @property
    def late_pictures(self) -> int:
        """Pictures that came too late, since its start (`Pipeline.punctuality`)."""
        return self._pipeline.punctuality()[1]

    @property
    def losses(self) -> tuple[int, int]:
        """Frames that found no room, and that a loss made useless (`Reader.losses`)."""
        return self._pipeline.losses

    @property
    def late_share(self) -> float:
        """The share of them over the last seconds, where it is behind time; else 0."""
        return self._punctuality.late_share if self._punctuality.is_behind else 0.0

    def prepared(self) -> None:
        """Note that the source is open: what it passes through needs no encoder."""
        if self._pipeline.passes_through:
            self._give_back_slots()

    def prepare_blocking(self) -> None:
        """Open the source and decode its first picture. For a thread, never for the loop.

        Raises:
            SourceError: it cannot be opened.
        """
        self._pipeline.prepare()

    def add(self, peer: Peer) -> None:
        """Attach a peer; media flow to it once it is connected."""
        lane = self._plan.join(peer.id, time.monotonic())
        self._viewers[peer.id] = peer
        self._attach(peer, lane)

    def remove(self, peer_id: int) -> None:
        """Remove a peer; encoders without viewers are closed."""
        if self._viewers.pop(peer_id, None) is not None:
            self._plan.leave(peer_id)
            self._close_idle_encoders()

    def start(self, peer_id: int) -> None:
        """Start the encoder of a connected peer, and the pictures, on a feed that is prepared.

        Its encoder runs only from here on. One that ran earlier, for nobody, would have spent its
        first keyframe, and the next one may not come for 300 ms.
        """
        number = self._plan.lane_of(peer_id)
        if number is None or self._stopped:
            return
        self._open_lane(number)
        self.play()

    def play(self) -> None:
        """Start the pictures of a feed that is prepared, with viewers or without."""
        if not self._started and not self._stopped:
            self._started = True
            self._film()
            self._pipeline.start()

    def request_keyframe(self, track_id: int) -> None:
        """Ask the encoder of this track for a keyframe; other feeds' tracks are ignored."""
        for encoder in self._encoders.values():
            if encoder.video.id == track_id and encoder.lane is not None:
                encoder.lane.request_keyframe()

    def estimate(self, peer_id: int, bitrate: int) -> None:
        """Note what the path to this peer carries, bit/s, and adapt at once."""
        self._plan.estimate(peer_id, bitrate)
        self.adapt()

    def adapt(self) -> None:
        """Move viewers between lanes and set the encoders' bitrates; for a few calls a second."""
        now = time.monotonic()
        self._measure_audio(now)
        self._punctuality.note(*self._pipeline.punctuality(), now)
        if self.shared and self._all_encoders is not None:
            free = self._all_encoders.is_free("")
            self._plan.limit = min(SHARED_LANES, max(1, len(self._plan.lanes)) + free)
        for move in self._plan.plan(now):
            log.info(
                "viewer %d moves to lane %d: its path is not the others'", move.viewer, move.lane
            )
            self._attach(self._viewers[move.viewer], move.lane)
            self._open_lane(move.lane)
        self._close_idle_encoders()
        self._count_lanes()
        for number, rate in self._plan.rates(now).items():
            lane = self._encoders[number].lane
            if lane is not None:
                lane.set_bitrate(rate)
        self._film()

    def stop(self) -> None:
        """End the pictures and free the tracks. Returns at once; `join_blocking` waits."""
        if not self._stopped:
            self._stopped = True
            self._pipeline.stop()
            self._give_back_slots()
            if self.analysis is not None:
                self.analysis.stop()
            if self._filming is not None:
                self._filming.close()
            for encoder in self._encoders.values():
                encoder.close()
            self._encoders.clear()
            self._viewers.clear()

    def join_blocking(self, timeout_s: float) -> bool:
        """Wait for the media threads, at most so long; for a thread, never for the loop."""
        ended = self._pipeline.join(timeout_s)
        if self.analysis is not None:
            self.analysis.join()
        if self._filming is not None:
            ended = self._filming.join_blocking(timeout_s) and ended
        return ended

    def _measure_audio(self, now: float) -> None:
        """Take the bitrate that the audio has, not the one that it may have, out of the estimates.

        Browsers let their estimate rise to half more than what they receive. With 128 kb/s taken
        off for a voice of 40, a rate that fell to the floor would never come up again.
        """
        lane = next((e.lane for e in self._encoders.values() if e.lane is not None), None)
        if lane is not self._heard_lane:
            self._heard_lane, self._heard_since = lane, now
            self._heard_bytes = 0 if lane is None else lane.sound_bytes
        if lane is None or now - self._heard_since < AUDIO_WINDOW_SECONDS:
            return
        sent = lane.sound_bytes
        self._plan.audio = round((sent - self._heard_bytes) * 8 / (now - self._heard_since))
        self._heard_bytes, self._heard_since = sent, now

    def _count_lanes(self) -> None:
        """Hold as many slots as lanes; a feed that passes its source through holds none."""
        if not self._slots or not self.shared or self._all_encoders is None:
            return
        wanted = max(1, len(self._plan.lanes))
        while len(self._slots) > wanted:
            self._slots.pop().release()
        while len(self._slots) < wanted:
            self._slots.append(self._all_encoders.insist(""))

    def _give_back_slots(self) -> None:
        for slot in self._slots:
            slot.release()
        self._slots.clear()

    def _attach(self, peer: Peer, number: int) -> None:
        encoder = self._encoders.get(number)
        if encoder is None:
            encoder = self._encoders[number] = _Encoder(
                self._engine.create_track("video"), self._engine.create_track("audio")
            )
        self._engine.attach(peer, encoder.audio)
        self._engine.attach(peer, encoder.video)

    def _open_lane(self, number: int) -> None:
        encoder = self._encoders[number]
        if encoder.lane is None:
            rate = self._plan.rates(time.monotonic())[number]
            video = encoder.video  # alone: a lane that leads back to itself outlives its feed
            sinks: tuple[Sink, Sink] = video, encoder.audio
            if self._filming is not None:
                sinks = self._filming.tee(number, *sinks)
            encoder.lane = self._pipeline.add_lane(
                video=sinks[0],
                audio=sinks[1],
                bitrate=rate,
                backlog_ms=lambda: video.backlog_ms,
            )
            self._film()

    def _close_idle_encoders(self) -> None:
        idle = [self._encoders.pop(n) for n in self._encoders.keys() - self._plan.lanes]
        self._film()  # the clips go over to what stays before the rest is closed
        for encoder in idle:
            encoder.close()

    def _film(self) -> None:
        """Let the clips follow the lanes that run now."""
        if self._filming is not None and self._started and not self._stopped:
            lanes = {n: e.lane for n, e in self._encoders.items() if e.lane is not None}
            self._filming.follow(lanes)
