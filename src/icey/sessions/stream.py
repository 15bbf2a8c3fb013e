"""Stream mode: every caller watches the configured source.

The source is looked at before a caller is let in; it opens in a thread while the offer is
answered; pictures start once the caller is connected, and never earlier. Only where detectors look
at a shared source it is open from the start of the server to its end: an alarm needs no viewer.
"""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from icey.backoff import Backoff
from icey.errors import SourceError
from icey.media.events import SourceBroken, SourceEnded, SourceLost, SourceRestored
from icey.media.source import parse_source
from icey.sessions.detection import SHARED_STREAM, Detection, stream_of
from icey.sessions.feed import Feed, feed_is_shared
from icey.sessions.switchboard import Party, Switchboard

if TYPE_CHECKING:
    from icey._core import Peer
    from icey.config.model import Settings
    from icey.intelligence.events import Event
    from icey.media.events import PipelineEvent
    from icey.media.source import Source

__all__ = ["StreamSessions"]

log = logging.getLogger(__name__)

START_BITRATE = 800_000
"""What a path is taken to carry before the first probes have come back, bit/s.

They ask for three and six times as much and take 0.1 s; until then a viewer on a fast path sees a
slightly soft picture. At the full bitrate a path of 0.5 Mb/s showed its first picture after 4 s,
at this after 1.
"""

LINGER_SECONDS = 5.0
"""A shared source stays open that long after its last viewer, so that a reload is instant."""

JOIN_SECONDS = 10.0
"""How long the threads of a stopped feed may take before the log complains."""


class _Viewer(Party):
    """A call, and the feed that it watches."""

    def __init__(
        self, call: str, caller: str, peer: Peer, feed: Feed, prepared: asyncio.Task[None]
    ) -> None:
        super().__init__(call, caller, peer)
        self.feed = feed
        self.prepared = prepared


class StreamSessions(Switchboard[_Viewer]):
    """The calls of stream mode.

    Raises:
        AddressInUseError: ``webrtc.port`` is taken.
        EngineError: an address cannot be used.
        SourceError: ``media.source`` is not written as a source.
        ConfigError: a configured detector cannot be had.
    """

    def __init__(self, settings: Settings) -> None:
        self._media = settings.media
        self._source = parse_source(settings.media.source)
        self._shared = feed_is_shared(self._source, settings.media)
        # What has no encoder of its own cannot follow an estimate packet by packet, so the pacing
        # that a send-side estimate costs would be paid for nothing.
        self._estimation: Literal["remb", "twcc"] = (
            "remb" if self._shared or settings.media.passthrough_video else "twcc"
        )
        # A shared encoder does not begin anew with every viewer.
        self._start = None if self._shared else START_BITRATE
        self._feeds: dict[Feed, asyncio.Task[None]] = {}
        self._notes: dict[Feed, str] = {}
        self._detection = Detection(settings)
        # Whether the source is open although nobody watches: the detectors do.
        self._standing = self._detection.wanted and self._shared and self._source.live
        self._unavailable = ""  # why a standing feed is not there
        self._backoff = Backoff()
        super().__init__(settings)

    def status(self) -> dict[str, Any]:
        """Tell how many calls there are, and how the source fares."""
        detectors = self._detection.warnings
        sources = [*self._notes.values(), *([self._unavailable] if self._unavailable else [])]
        return super().status() | {
            "state": "degraded" if sources or detectors else "running",
            "warnings": [*sources, *detectors],
            "source": self._source_state(),
            "intelligence": self._detection.status(),
        }

    async def start(self) -> None:
        """Listen to the engine; let the detectors watch."""
        await super().start()
        self._detection.connect(asyncio.get_running_loop(), self._on_detection)
        self._stand()

    def _source_state(self) -> dict[str, Any] | None:
        """How the live source fares, None unless it is open: a camera cannot be opened twice."""
        if not self._source.live or not self._feeds:
            return None
        note = next(iter(self._notes.values()), "")
        viewers = len(self._parties)
        return {"healthy": not note, "detail": note or f"open, with {viewers} viewer(s)"}

    # -- calls ------------------------------------------------------------------------------

    async def refusal(self, caller: str) -> str | None:  # noqa: ARG002 - it is the same for all
        """Refuse while the source cannot be there."""
        try:
            await self._in_thread(_look_for_blocking, self._source)
        except SourceError as error:
            return f"source unavailable: {error}"
        return None

    def open_party(self, call: str, caller: str, offer: str) -> _Viewer:  # noqa: ARG002 - any will do
        """Make a viewer; its source begins to open."""
        # A quarter more than the media: headers, resends, and room to see that the path has it.
        most = (self._media.video.bitrate + self._media.audio.bitrate) * 5 // 4
        peer = self._engine.create_peer(
            estimation=self._estimation,
            max_bitrate=most,
            start_bitrate=most if self._start is None else self._start,
        )
        feed = self._feed(SHARED_STREAM if self._shared else stream_of(caller))
        feed.add(peer)
        return _Viewer(call, caller, peer, feed, self._feeds[feed])

    async def answered(self, party: _Viewer) -> None:
        """Hang up where the source does not open."""
        try:
            await asyncio.shield(party.prepared)  # others may wait for the same source
        except SourceError as error:
            log.warning("call ended: %s", error)
            self._hang_up(party, f"source unavailable: {error}")

    def connected(self, party: _Viewer) -> None:
        """Start the pictures, once the source is open."""
        if party.prepared.done() and party.prepared.exception() is None:
            party.feed.start(party.peer.id)

    def released(self, party: _Viewer, reason: str) -> None:  # noqa: ARG002 - all are alike
        """Close the viewer's peer, and its feed where it was the last one there."""
        party.peer.close()
        party.feed.remove(party.peer.id)
        if not party.feed.viewers:
            self._let_go(party.feed)

    def keyframe_requested(self, party: _Viewer, track: int) -> None:
        """Ask the encoder."""
        party.feed.request_keyframe(track)

    def estimated(self, party: _Viewer, bitrate: int) -> None:
        """Tell the feed, whose encoder follows."""
        party.feed.estimate(party.peer.id, bitrate)

    def ticked(self) -> None:
        """Step bitrates up or down."""
        for feed in self._feeds:
            feed.adapt()

    def closing(self) -> None:
        """Stop every feed, also those that linger."""
        for feed in list(self._feeds):
            self._retire(feed)
        self._detection.close()

    # -- feeds ------------------------------------------------------------------------------

    def _feed(self, stream_id: str) -> Feed:
        """Give the shared feed, or a new one, whose source begins to open."""
        if self._shared and self._feeds:
            return next(iter(self._feeds))
        analysis = self._detection.begin(self._source, stream_id)
        feed = Feed(
            self._engine,
            self._source,
            self._media,
            shared=self._shared,
            start_bitrate=self._start,
            on_event=self._feed_event_from_thread,
            analysis=analysis,
            clips=self._detection.clips(analysis),
        )
        self._feeds[feed] = asyncio.ensure_future(self._in_thread(feed.prepare_blocking))
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
                if self._calls.is_active(viewer.call):
                    feed.start(viewer.peer.id)

    def _stand(self) -> None:
        """Open the source for the detectors, if they are to watch it."""
        if self._standing and not self._feeds and not self._closed:
            self._feed(SHARED_STREAM)

    def _let_go(self, feed: Feed) -> None:
        if self._standing:
            return
        if self._shared and not self._closed and self._loop is not None:
            self._loop.call_later(LINGER_SECONDS, self._retire_if_idle, feed)
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
        self._spawn(self._join(feed))
        if self._standing and not self._closed and self._loop is not None:
            self._loop.call_later(self._backoff.failed(), self._stand)

    async def _join(self, feed: Feed) -> None:
        if not await self._in_thread(feed.join_blocking, JOIN_SECONDS):
            log.error("a media thread did not end within %.0f s", JOIN_SECONDS)
        self._detection.end(feed.analysis)

    def _viewers_of(self, feed: Feed) -> list[_Viewer]:
        return [viewer for viewer in self._parties.values() if viewer.feed is feed]

    def _feed_event_from_thread(self, feed: Feed, event: PipelineEvent) -> None:
        if self._loop is not None and not self._closed:
            self._loop.call_soon_threadsafe(self._on_feed_event, feed, event)

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
            self._hang_up(viewer, reason)

    def _on_detection(self, event: Event) -> None:
        """Tell those who watch the stream, and whoever listens from outside."""
        event = event.with_links(self._sign)
        self._publish(event.kind, event.data)
        if event.kind == "icey:clip":  # peers have its link from the events that it is about
            return
        for viewer in self._parties.values():
            mine = self._shared or event.stream_id == stream_of(viewer.caller)
            if mine and self._calls.is_active(viewer.call):
                message = {
                    "type": "message",
                    "subtype": event.kind,
                    "data": event.data_for(viewer.caller),
                }
                self._say(viewer.caller, message)


def _look_for_blocking(source: Source) -> None:
    """Look whether a file is there, before anybody is let in. For a thread: a disk may be slow."""
    if source.kind == "file" and not Path(source.location).is_file():
        raise SourceError(f"{source.public}: no such file", source=source.public)
