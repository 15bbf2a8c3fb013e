"""Stream mode: every caller watches the configured source.

The mode checks the source before it admits a caller, opens it in a thread while the engine answers
the offer, and starts the pictures once the caller is connected, never earlier. Where detectors look
at a shared source, it is open from the start of the server to its end: an alarm needs no viewer.
"""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from icey._core import BitrateEstimated, KeyframeRequested
from icey.backoff import Backoff
from icey.errors import SourceError
from icey.media.events import SourceBroken, SourceEnded, SourceLost, SourceRestored
from icey.media.source import parse_source
from icey.sessions.detection import SHARED_STREAM, Detection, stream_of
from icey.sessions.feed import Feed, feed_is_shared
from icey.sessions.mode import CLOSE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from icey._core import Engine, Peer
    from icey.config.model import Settings
    from icey.intelligence.events import Event
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

LINGER_SECONDS = 5.0
"""A shared source stays open that long after its last viewer, so that a reload is instant."""

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
        self._media = settings.media
        self._engine = engine
        self._work = work
        self._publish, self._sign = publish, sign
        self._source = parse_source(settings.media.source)
        self._shared = feed_is_shared(self._source, settings.media)
        # What has no encoder of its own cannot follow an estimate packet by packet, so the pacing
        # that a send-side estimate costs would be paid for nothing.
        self._estimation: Literal["remb", "twcc"] = (
            "remb" if self._shared or settings.media.passthrough_video else "twcc"
        )
        # A shared encoder does not begin anew with every viewer.
        self._start_bitrate = None if self._shared else START_BITRATE
        self._viewers: dict[_Viewer, None] = {}  # in the order of their calls
        self._feeds: dict[Feed, asyncio.Task[None]] = {}
        self._notes: dict[Feed, str] = {}
        self._detection = Detection(settings, work.loop, self._on_detection)
        # Whether the source is open although nobody watches: the detectors do.
        self._standing = self._detection.wanted and self._shared and self._source.live
        self._unavailable = ""  # why a standing feed is not there
        self._backoff = Backoff()
        self._closed = False

    def start(self) -> None:
        """Start the detectors."""
        self._detection.start()
        self._stand()

    async def refusal(self) -> str | None:
        """Refuse while the source cannot be there."""
        try:
            await self._work.in_thread(_look_for_blocking, self._source)
        except SourceError as error:
            return f"source unavailable: {error}"
        return None

    def open(self, call: Call, offer: str) -> _Viewer:  # noqa: ARG002 - any will do
        """Make a viewer; its source begins to open."""
        # A quarter more than the media: headers, resends, and room to see that the path has it.
        most = (self._media.video.bitrate + self._media.audio.bitrate) * 5 // 4
        peer = self._engine.create_peer(
            estimation=self._estimation,
            max_bitrate=most,
            start_bitrate=most if self._start_bitrate is None else self._start_bitrate,
        )
        feed = self._feed(SHARED_STREAM if self._shared else stream_of(call.origin))
        feed.add(peer)
        viewer = _Viewer(self, call, peer, feed, self._feeds[feed])
        self._viewers[viewer] = None
        return viewer

    def tick(self) -> None:
        """Step bitrates up or down."""
        for feed in self._feeds:
            feed.adapt()

    def status(self) -> dict[str, Any]:
        """Return how the source and the detectors fare."""
        detectors = self._detection.warnings
        sources = [*self._notes.values(), *([self._unavailable] if self._unavailable else [])]
        return {
            "state": "degraded" if sources or detectors else "running",
            "warnings": [*sources, *detectors],
            "source": self._source_state(),
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
        viewer.feed.remove(viewer.peer.id)
        if not viewer.feed.viewers:
            self._let_go(viewer.feed)

    def _source_state(self) -> dict[str, Any] | None:
        """How the live source fares, None unless it is open: a camera cannot be opened twice."""
        if not self._source.live or not self._feeds:
            return None
        note = next(iter(self._notes.values()), "")
        viewers = len(self._viewers)
        return {"healthy": not note, "detail": note or f"open, with {viewers} viewer(s)"}

    # -- feeds ---------------------------------------------------------------------------------

    def _feed(self, stream_id: str) -> Feed:
        """Return the shared feed, or a new one, whose source begins to open."""
        if self._shared and self._feeds:
            return next(iter(self._feeds))
        analysis = self._detection.begin(self._source, stream_id)
        feed = Feed(
            self._engine,
            self._source,
            self._media,
            shared=self._shared,
            start_bitrate=self._start_bitrate,
            on_event=self._feed_event_from_thread,
            analysis=analysis,
            clips=self._detection.clips(analysis),
        )
        self._feeds[feed] = asyncio.ensure_future(self._work.in_thread(feed.prepare_blocking))
        self._feeds[feed].add_done_callback(lambda task: self._feed_prepared(feed, task))
        return feed

    def _feed_prepared(self, feed: Feed, task: asyncio.Task[None]) -> None:
        if task.cancelled() or feed not in self._feeds:
            return
        error = task.exception()
        if error is not None:  # each viewer's negotiation sees it and hangs up
            self._unavailable = f"source unavailable: {error}" if self._standing else ""
            self._retire(feed)
        else:
            if self._standing:
                self._unavailable = ""
                self._backoff.succeeded()
                feed.play()
            for viewer in self._viewers_of(feed):
                viewer.play()

    def _stand(self) -> None:
        """Open the source for the detectors, where they look at it without viewers."""
        if self._standing and not self._feeds and not self._closed:
            self._feed(SHARED_STREAM)

    def _let_go(self, feed: Feed) -> None:
        if self._standing:
            return
        if self._shared and not self._closed:
            self._work.loop.call_later(LINGER_SECONDS, self._retire_if_idle, feed)
        else:
            self._retire(feed)

    def _retire_if_idle(self, feed: Feed) -> None:
        if not feed.viewers:
            self._retire(feed)

    def _retire(self, feed: Feed) -> None:
        if self._feeds.pop(feed, None) is None:
            return
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
            mine = self._shared or event.stream_id == stream_of(call.origin)
            if mine and call.is_active:
                data = event.data_for(call.origin)
                call.send({"type": "message", "subtype": event.kind, "data": data})


class _Viewer:
    """A call, and the feed that it watches."""

    def __init__(
        self, mode: StreamMode, call: Call, peer: Peer, feed: Feed, prepared: asyncio.Task[None]
    ) -> None:
        self.call = call
        self.peer = peer
        self.feed = feed
        self._mode = mode
        self._prepared = prepared

    async def answered(self) -> None:
        """Hang up where the source does not open."""
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
        opened = self._prepared.done() and self._prepared.exception() is None
        if opened and self.call.is_active:
            self.feed.start(self.peer.id)

    def handle_event(self, event: MediaEvent) -> None:
        """Pass keyframe requests and estimates on to the encoder."""
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
