"""Stream mode: every caller watches the configured source.

The mode checks the source before it admits a caller, opens it in a thread once the caller's first
STUN check is answered, beside the DTLS handshake, and starts the pictures once the caller is
connected. Where detectors look at a shared source, it is open from the start of the server to its
end: an alarm needs no viewer.

Encoders are bounded (``media.maxEncoders``). One more viewer of a file shares a feed with all who
come too late for one of their own, where ``media.pipeline`` is ``auto``; else it is refused.
"""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from icey._core import BitrateEstimated, KeyframeRequested
from icey.backoff import Backoff
from icey.errors import BusyError, SourceError
from icey.media.capacity import cores, fitting, measured_cost_blocking, typical_cost
from icey.media.encoders import Encoders
from icey.media.events import SourceBroken, SourceEnded, SourceLost, SourceRestored
from icey.media.source import parse_source
from icey.quota import Quota
from icey.sessions.detection import SHARED_STREAM, Detection, stream_of
from icey.sessions.feed import Feed, feed_is_shared
from icey.sessions.mode import CLOSE_SECONDS
from icey.sessions.openings import Openings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from icey._core import Engine, Peer
    from icey.config.model import Settings
    from icey.intelligence.events import Event
    from icey.media.encoders import Slot
    from icey.media.events import PipelineEvent
    from icey.media.source import Source
    from icey.sessions.calls import Call
    from icey.sessions.mode import MediaEvent
    from icey.sessions.work import Work

log = logging.getLogger(__name__)

START_BITRATE = 800_000
"""The bitrate that a path is taken to carry before the first probes are back, bit/s.

The probes are of three and six times as much and take 0.1 s; until then a viewer on a fast path
sees a slightly soft picture. At the full bitrate a path of 0.5 Mb/s showed its first picture after
4 s, at this after 1.
"""

MOST_OPENINGS = 4
"""Sources that open at a time, and no more than there are cores (two at the least)."""

LINGER_SECONDS = 5.0
"""A shared source stays open that long after its last viewer, so that a reload is instant."""

UNMEASURED = 2.0
"""How many typical ones an encoder is taken to cost until it is measured, in the first second."""

ENCODERS = "encoders"
"""The bound of encoders among the refusals."""

JOIN_SECONDS = 10.0
"""How long the threads of a stopped feed may take before the log complains."""


class StreamMode:
    """The calls of stream mode.

    Args:
        settings: the settings in force.
        engine: where peers and tracks live.
        work: opens sources, and waits for media threads.
        publish: takes a kind (``icey:vision``, …) and its data for other programs.
        sign: makes a path below ``/artifacts/`` a link that opens without the token.

    Raises:
        SourceError: ``media.source`` is not written as a source.
        ConfigError: a configured detector cannot be had.
    """

    close_seconds = CLOSE_SECONDS

    def __init__(
        self,
        settings: Settings,
        engine: Engine,
        work: Work,
        *,
        publish: Callable[[str, Mapping[str, Any]], None],
        sign: Callable[[str], str],
    ) -> None:
        self._media, self._limits = settings.media, settings.limits
        self._engine = engine
        self._work = work
        self._publish, self._sign = publish, sign
        self._source = parse_source(settings.media.source)
        self._shared = feed_is_shared(self._source, settings.media)
        # Whether a viewer may share a feed although those of its source have one of their own.
        self._may_share = settings.media.pipeline == "auto"
        # What has no encoder of its own cannot follow an estimate packet by packet, so the pacing
        # that a send-side estimate costs would be paid for nothing.
        self._estimation: Literal["remb", "twcc"] = (
            "remb" if self._shared or settings.media.passthrough_video else "twcc"
        )
        self._viewers: dict[_Viewer, None] = {}  # in the order of their calls
        self._feeds: dict[Feed, asyncio.Task[None]] = {}
        self._waiting: set[Feed] = set()  # for their turn to open
        self._openings = Openings(min(MOST_OPENINGS, max(2, int(cores()))))
        self._encoders = Encoders(Quota(0, 0))
        self._bound_encoders(UNMEASURED * typical_cost(settings.media.video))
        self._late_before = 0  # pictures of feeds that are over
        self._lost_before = 0, 0  # frames of those
        self._notes: dict[Feed, str] = {}
        self._detection = Detection(settings, work.loop, self._on_detection)
        clips = settings.media.intelligence.vision.clips
        self._each_needs = 2 if self._detection.wanted and clips.enabled else 1  # encoders
        # Whether the source is open although nobody watches: the detectors do.
        self._standing = self._detection.wanted and self._shared and self._source.live
        self._unavailable = ""  # why a standing feed is not there
        self._backoff = Backoff()
        self._closed = False

    def start(self) -> None:
        """Start the detectors, and measure what an encoder costs."""
        self._detection.start()
        if self._media.max_encoders == "auto" and not self._shared:
            self._work.spawn(self._measure_cost())
        self._stand()

    async def refusal(self) -> str | None:
        """Refuse while the source cannot be there."""
        try:
            await self._work.in_thread(_look_for_blocking, self._source)
        except SourceError as error:
            return f"source unavailable: {error}"
        return None

    def open(self, call: Call, offer: str) -> _Viewer:  # noqa: ARG002 - any will do
        """Make a viewer's peer, and nothing else: whoever calls has proved nothing yet.

        Raises:
            BusyError: every viewer needs an encoder, and all are taken.
        """
        shares = self._shared or not self._has_room(call.network)
        if shares and not self._shared and not self._may_share:
            raise BusyError(self._no_encoder(), bound=ENCODERS)
        # A quarter more than the media: headers, resends, and room to see that the path has it.
        most = (self._media.video.bitrate + self._media.audio.bitrate) * 5 // 4
        peer = self._engine.create_peer(
            estimation="remb" if shares else self._estimation,
            max_bitrate=most,
            # A shared encoder does not begin anew with every viewer.
            start_bitrate=most if shares else START_BITRATE,
        )
        viewer = _Viewer(self, call, peer, shares=shares)
        self._viewers[viewer] = None
        return viewer

    def admit(self, viewer: _Viewer) -> None:
        """Give a viewer that is there a feed, whose source begins to open, or refuse it."""
        call = viewer.call
        slots: list[Slot] = []
        if not viewer.shares and self._media.passthrough_video is not True:
            slots = self._take_slots(call.network)
            if not slots and not self._may_share:
                call.refuse(ENCODERS, self._no_encoder())
                return
            viewer.shares = not slots
        if viewer.shares:
            feed = self._shared_feed()
        else:
            feed = self._open_feed(stream_of(call.origin), call.network, slots, shared=False)
        feed.add(viewer.peer)
        viewer.watch(feed, self._feeds[feed])
        self._work.spawn(viewer.wait_for_source())

    def tick(self) -> None:
        """Step bitrates up or down."""
        for feed in self._feeds:
            feed.adapt()

    def status(self) -> dict[str, Any]:
        """Return how the source and the detectors fare."""
        detectors = [*self._punctuality_warnings(), *self._detection.warnings]
        sources = [*self._notes.values(), *([self._unavailable] if self._unavailable else [])]
        dropped, incomplete = _sums([self._lost_before, *(feed.losses for feed in self._feeds)])
        return {
            "state": "degraded" if sources or detectors else "running",
            "warnings": [*sources, *detectors],
            "source": self._source_state(),
            "stream": {"framesDropped": dropped, "framesIncomplete": incomplete},
            "load": {
                "encoders": self._encoders.taken,
                "encodersMost": self._encoders.total,
                "viewersSharing": sum(viewer.shares for viewer in self._viewers),
                "sourcesWaiting": self._openings.waiting,
                "pipelinesBehind": sum(feed.late_share > 0 for feed in self._feeds),
                "latePictures": self._late_before + sum(f.late_pictures for f in self._feeds),
            },
            "intelligence": self._detection.status(),
        }

    def close(self) -> None:
        """Stop every feed, also those that linger."""
        self._closed = True
        for feed in list(self._feeds):
            self._retire(feed)
        self._detection.close()

    def remove(self, viewer: _Viewer) -> None:
        """Forget a viewer, and close its feed where it was the last one there."""
        self._viewers.pop(viewer, None)
        feed = viewer.feed
        if feed is not None:
            feed.remove(viewer.peer.id)
            if not feed.viewers:
                self._let_go(feed)

    def _source_state(self) -> dict[str, Any] | None:
        """How the live source fares, None unless it is open: a camera cannot be opened twice."""
        if not self._source.live or not self._feeds:
            return None
        note = next(iter(self._notes.values()), "")
        viewers = len(self._viewers)
        return {"healthy": not note, "detail": note or f"open, with {viewers} viewer(s)"}

    # -- encoders ------------------------------------------------------------------------------

    def _bound_encoders(self, cost: float) -> None:
        """Bound them by the settings, or by what one costs, in cores."""
        most = self._media.max_encoders
        if most == "auto":
            most = fitting(cost, cores())
            each = self._limits.encoders_per_address or most - most // 4
        else:
            each = self._limits.encoders_per_address
        self._encoders.limit(most, each)

    async def _measure_cost(self) -> None:
        cost = await self._work.in_thread(measured_cost_blocking, self._media.video)
        self._bound_encoders(cost)
        log.info(
            "%d encoders of %.2f cores fit on this machine (media.maxEncoders)",
            self._encoders.total,
            cost,
        )

    @property
    def _keep(self) -> int:
        """Slots that viewers leave to the feed that late ones share, while there is none."""
        return int(self._may_share and not any(feed.shared for feed in self._feeds))

    def _has_room(self, network: str) -> bool:
        """Whether one more viewer may have a feed of its own."""
        if self._media.passthrough_video is True:
            return True
        return not self._is_pressed() and self._encoders.is_free(network, keep=self._keep)

    def _is_pressed(self) -> bool:
        """Whether pipelines are behind time although many slots are free: they cost too much."""
        behind = any(feed.late_share > 0 for feed in self._feeds)
        return behind and self._encoders.taken * 2 >= self._encoders.total > 0

    def _take_slots(self, network: str) -> list[Slot]:
        """Take what one more viewer needs; nothing where that is too much."""
        slots: list[Slot] = []
        while len(slots) < self._each_needs and not self._is_pressed():
            slot = self._encoders.take(network, keep=self._keep)
            if slot is None:
                break
            slots.append(slot)
        if len(slots) == self._each_needs:
            return slots
        for slot in slots:
            slot.release()
        return []

    def _no_encoder(self) -> str:
        if self._is_pressed():
            return "the server is behind time with too many viewers (media.maxEncoders)"
        return f"too many viewers: all {self._encoders.total} encoders run (media.maxEncoders)"

    def _punctuality_warnings(self) -> list[str]:
        shares = [feed.late_share for feed in self._feeds]
        behind = [share for share in shares if share > 0]
        if not behind:
            return []
        said = (
            f"{len(behind)} of {len(shares)} pipelines are behind time: up to {max(behind):.0%} of "
            "their pictures come late. Lower media.maxEncoders, or the size or rate of media.video"
        )
        return [said]

    # -- feeds ---------------------------------------------------------------------------------

    def _shared_feed(self) -> Feed:
        """Return the shared feed; where there is none yet, its source begins to open."""
        feed = next((feed for feed in self._feeds if feed.shared), None)
        if feed is not None:
            return feed
        slots = [self._encoders.insist("")]
        return self._open_feed(SHARED_STREAM, "", slots, shared=True)

    def _open_feed(self, stream_id: str, network: str, slots: list[Slot], *, shared: bool) -> Feed:
        analysis = self._detection.begin(self._source, stream_id)
        feed = Feed(
            self._engine,
            self._source,
            self._media,
            shared=shared,
            encoders=self._encoders,
            slots=slots,
            start_bitrate=None if shared else START_BITRATE,
            on_event=self._feed_event_from_thread,
            analysis=analysis,
            clips=self._detection.clips(analysis),
        )
        self._feeds[feed] = self._work.loop.create_task(self._prepare(feed, network))
        self._feeds[feed].add_done_callback(lambda task: self._feed_prepared(feed, task))
        return feed

    async def _prepare(self, feed: Feed, network: str) -> None:
        self._waiting.add(feed)
        try:
            async with self._openings.turn(network):
                self._waiting.discard(feed)
                await self._work.in_thread(feed.prepare_blocking)
        finally:
            self._waiting.discard(feed)

    def _feed_prepared(self, feed: Feed, task: asyncio.Task[None]) -> None:
        if task.cancelled() or feed not in self._feeds:
            return
        error = task.exception()
        if error is not None:  # each viewer's negotiation sees it and hangs up
            self._unavailable = f"source unavailable: {error}" if self._standing else ""
            self._retire(feed)
        else:
            feed.prepared()
            if self._standing:
                self._unavailable = ""
                self._backoff.succeeded()
                feed.play()
            for viewer in self._viewers_of(feed):
                viewer.play()

    def _stand(self) -> None:
        """Open the source for the detectors, where they look at it without viewers."""
        if self._standing and not self._feeds and not self._closed:
            self._shared_feed()

    def _let_go(self, feed: Feed) -> None:
        if self._standing:
            return
        if feed.shared and not self._closed:
            self._work.loop.call_later(LINGER_SECONDS, self._retire_if_idle, feed)
        else:
            self._retire(feed)

    def _retire_if_idle(self, feed: Feed) -> None:
        if not feed.viewers:
            self._retire(feed)

    def _retire(self, feed: Feed) -> None:
        prepared = self._feeds.pop(feed, None)
        if prepared is None:
            return
        if feed in self._waiting:
            prepared.cancel()
        self._late_before += feed.late_pictures
        self._lost_before = _sums([self._lost_before, feed.losses])
        self._notes.pop(feed, None)
        feed.stop()
        self._work.spawn(self._join(feed))
        if self._standing and not self._closed:
            self._work.loop.call_later(self._backoff.failed(), self._stand)

    async def _join(self, feed: Feed) -> None:
        if not await self._work.in_thread(feed.join_blocking, JOIN_SECONDS):
            log.error("a media thread did not end within %.0f s", JOIN_SECONDS)
        self._detection.end(feed.analysis)

    def _viewers_of(self, feed: Feed) -> list[_Viewer]:
        return [viewer for viewer in self._viewers if viewer.feed is feed]

    def _feed_event_from_thread(self, feed: Feed, event: PipelineEvent) -> None:
        if not self._closed:
            self._work.loop.call_soon_threadsafe(self._on_feed_event, feed, event)

    def _on_feed_event(self, feed: Feed, event: PipelineEvent) -> None:
        if feed not in self._feeds:
            return
        match event:
            case SourceLost(detail, retry_in_s):
                log.warning("source lost: %s; next try in %.0f s", detail, retry_in_s)
                self._notes[feed] = f"source lost: {detail}"
            case SourceRestored():
                log.info("source is back")
                self._notes.pop(feed, None)
            case SourceEnded():
                self._hang_up_all(feed, "source ended")
            case SourceBroken(reason):
                log.warning("source broken: %s", reason)
                self._hang_up_all(feed, f"source unavailable: {reason}")

    def _hang_up_all(self, feed: Feed, reason: str) -> None:
        viewers = self._viewers_of(feed)
        self._retire(feed)
        for viewer in viewers:
            viewer.call.hang_up(reason)

    def _on_detection(self, event: Event) -> None:
        """Send an event to the viewers of its stream, and publish it."""
        event = event.with_links(self._sign)
        self._publish(event.kind, event.data)
        if event.kind == "icey:clip":  # peers have its link from the events that it is about
            return
        for viewer in self._viewers:
            call = viewer.call
            mine = event.stream_id == (SHARED_STREAM if viewer.shares else stream_of(call.origin))
            if mine and call.is_active:
                data = event.data_for(call.origin)
                call.send({"type": "message", "subtype": event.kind, "data": data})


class _Viewer:
    """A call, and the feed that it watches."""

    def __init__(self, mode: StreamMode, call: Call, peer: Peer, *, shares: bool) -> None:
        self.call = call
        self.peer = peer
        self.shares = shares
        self.feed: Feed | None = None
        self._mode = mode
        self._prepared: asyncio.Task[None] | None = None

    async def answered(self) -> None:
        """Wait for the caller's first check."""

    def reached(self) -> None:
        """Let the source open."""
        self._mode.admit(self)

    def watch(self, feed: Feed, prepared: asyncio.Task[None]) -> None:
        """Watch a feed, whose source opens in a task."""
        self.feed, self._prepared = feed, prepared

    async def wait_for_source(self) -> None:
        """Hang up where the source does not open."""
        if self._prepared is None:
            return
        try:
            await asyncio.shield(self._prepared)  # others may wait for the same source
        except SourceError as error:
            log.warning("call ended: %s", error)
            self.call.hang_up(f"source unavailable: {error}")

    def connected(self) -> None:
        """Start the pictures, once the source is open."""
        self.play()

    def play(self) -> None:
        """Start the pictures where the caller is connected and the source is open."""
        if self.feed is None or self._prepared is None or not self._prepared.done():
            return
        if self._prepared.exception() is None and self.call.is_active:
            self.feed.start(self.peer.id)

    def handle_event(self, event: MediaEvent) -> None:
        """Pass keyframe requests and estimates on to the encoder."""
        if self.feed is None:
            return
        match event:
            case KeyframeRequested():
                self.feed.request_keyframe(event.track)
            case BitrateEstimated():
                self.feed.estimate(self.peer.id, event.bitrate)

    def close(self) -> None:
        """Close the peer, which waits for nothing, as it only sends."""
        self.peer.close()
        self._mode.remove(self)


def _look_for_blocking(source: Source) -> None:
    """Check that a source file exists. For a thread: a disk may be slow."""
    if source.kind == "file" and not Path(source.location).is_file():
        raise SourceError(f"{source.public}: no such file", source=source.public)


def _sums(pairs: Iterable[tuple[int, int]]) -> tuple[int, int]:
    first, second = zip(*pairs, strict=True)
    return sum(first), sum(second)
