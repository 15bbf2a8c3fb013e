"""Stream mode: every caller watches the configured source.

A call goes through here like this (the call table in `icey.signalling.calls` knows the states)::

    call:init   → Incoming  → the source is looked at → call:accept | call:reject
    call:offer  → Offered   → the engine answers; meanwhile the source opens in a thread
    connected   → activate  → the pictures start (never earlier)
    hang-up, closed socket, lost path, end of source → Ended → everything of the call is freed

All of it runs on the event loop; opening sources, answering offers and waiting for media threads
run in a small pool of threads.
"""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar, TypeVarTuple

from icey._core import (
    BitrateEstimated,
    Engine,
    KeyframeRequested,
    PeerConnected,
    PeerDisconnected,
)
from icey.errors import CandidateError, ClosedError, OfferError, SourceError
from icey.media.events import SourceBroken, SourceEnded, SourceLost, SourceRestored
from icey.media.source import parse_source
from icey.sessions.address import bind_address
from icey.sessions.feed import Feed, feed_is_shared
from icey.signalling.calls import CallTable, CandidateArrived, Ended, Incoming, Offered, Send

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Mapping

    from icey._core import Event, Peer
    from icey.config.model import Settings
    from icey.media.events import PipelineEvent
    from icey.media.source import Source
    from icey.signalling.calls import CallAction

__all__ = ["StreamSessions"]

log = logging.getLogger(__name__)

Result = TypeVar("Result")
Arguments = TypeVarTuple("Arguments")

TICK_SECONDS = 0.25
"""How often calls are checked for their deadlines and bitrates are stepped up."""

LINGER_SECONDS = 5.0
"""A shared source stays open that long after its last viewer, so that a reload is instant."""

JOIN_SECONDS = 10.0
"""How long the threads of a stopped feed may take before the log complains."""


class _Viewer:
    """One call that got as far as an offer: its peer, and the feed it watches."""

    def __init__(self, call: str, peer: Peer, feed: Feed, prepared: asyncio.Task[None]) -> None:
        self.call = call
        self.peer = peer
        self.feed = feed
        self.prepared = prepared
        self.negotiation = asyncio.Lock()  # offers of one call are answered one after the other


class StreamSessions:
    """The calls of stream mode; implements `icey.sessions.session.SessionService`.

    Raises:
        AddressInUseError: ``webrtc.port`` is taken.
        EngineError: an address cannot be used.
        SourceError: ``media.source`` is not written as a source.
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
        external = [settings.turn.external_ip] if settings.turn.external_ip else []
        self._engine = Engine(
            host=bind_address(settings.http.host),
            port=settings.webrtc.port,
            additional_hosts=[*external, *settings.webrtc.additional_hosts],
        )
        self._calls = CallTable()
        self._viewers: dict[str, _Viewer] = {}
        self._by_peer: dict[int, _Viewer] = {}
        self._feeds: dict[Feed, asyncio.Task[None]] = {}
        self._notes: dict[Feed, str] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._pool = ThreadPoolExecutor(max_workers=8, thread_name_prefix="icey-open")
        self._send: Callable[[str, dict[str, Any]], None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tick: asyncio.TimerHandle | None = None
        self._closed = False

    # -- SessionService ---------------------------------------------------------------------

    def connect(self, send: Callable[[str, dict[str, Any]], None]) -> None:
        """Take the way by which the virtual peer speaks."""
        self._send = send

    async def start(self) -> None:
        """Listen to the engine."""
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._engine.event_fd, self._drain_engine)
        self._tick = self._loop.call_later(TICK_SECONDS, self._on_tick)

    def deliver(self, sender: str, message: Mapping[str, Any]) -> None:
        """Take a message for the virtual peer."""
        if not self._closed:
            self._perform(self._calls.receive(sender, message, self._now()))

    def caller_left(self, address: str) -> None:
        """End the call of a peer whose WebSocket is closed."""
        self._perform(self._calls.caller_left(address))

    def status(self) -> dict[str, Any]:
        """Tell how many calls there are, and how the source fares."""
        return {
            "sessions": {"active": self._calls.active, "total": self._calls.total},
            "state": "degraded" if self._notes else "running",
            "warnings": list(self._notes.values()),
            "source": self._source_state(),
            "webrtcPort": self._engine.port,
        }

    def _source_state(self) -> dict[str, Any] | None:
        """How the live source fares, None unless it is open: a camera cannot be opened twice."""
        if not self._source.live or not self._feeds:
            return None
        note = next(iter(self._notes.values()), "")
        viewers = len(self._viewers)
        return {"healthy": not note, "detail": note or f"open, with {viewers} viewer(s)"}

    async def close(self, reason: str) -> None:
        """Hang up every call, stop every feed and free the port."""
        if self._closed:
            return
        self._closed = True
        if self._tick is not None:
            self._tick.cancel()
        for call in self._calls.open_calls():
            self._perform(self._calls.hangup(call, reason))
        for feed in list(self._feeds):
            self._retire(feed)
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=JOIN_SECONDS)
        if self._loop is not None:
            self._loop.remove_reader(self._engine.event_fd)
        self._engine.close()
        self._pool.shutdown(wait=False, cancel_futures=True)

    # -- calls ------------------------------------------------------------------------------

    def _perform(self, actions: Iterable[CallAction]) -> None:
        for action in actions:
            match action:
                case Send(to, message):
                    if self._send is not None:
                        self._send(to, message)
                case Incoming(call, _caller):
                    self._spawn(self._admit(call), call)
                case Offered(call, sdp):
                    # The peer exists from here on: candidates follow in the same breath.
                    viewer = self._viewers.get(call) or self._open_viewer(call)
                    self._spawn(self._negotiate(viewer, sdp), call)
                case CandidateArrived(call_id=call, candidate=candidate):
                    self._add_candidate(call, candidate)
                case Ended(call, reason):
                    self._release(call, reason)

    async def _admit(self, call: str) -> None:
        try:
            await self._in_thread(_look_for_blocking, self._source)
        except SourceError as error:
            log.warning("call refused: %s", error)
            self._perform(self._calls.reject(call, f"source unavailable: {error}"))
        else:
            self._perform(self._calls.accept(call, self._now()))

    async def _negotiate(self, viewer: _Viewer, sdp: str) -> None:
        async with viewer.negotiation:
            try:
                answer = await self._in_thread(viewer.peer.accept_offer, sdp)
            except OfferError as error:
                log.info("offer refused: %s", error)
                self._perform(self._calls.reject(viewer.call, error.reason))
                return
            except ClosedError:  # hung up meanwhile; nobody waits for the answer
                return
        self._perform(self._calls.answer(viewer.call, answer))
        try:
            await asyncio.shield(viewer.prepared)  # others may wait for the same source
        except SourceError as error:
            log.warning("call ended: %s", error)
            self._perform(self._calls.hangup(viewer.call, f"source unavailable: {error}"))

    def _open_viewer(self, call: str) -> _Viewer:
        # A quarter more than the media: headers, resends, and room to see that the path has it.
        most = (self._media.video.bitrate + self._media.audio.bitrate) * 5 // 4
        peer = self._engine.create_peer(estimation=self._estimation, max_bitrate=most)
        feed = self._feed()
        viewer = _Viewer(call, peer, feed, self._feeds[feed])
        self._viewers[call] = viewer
        self._by_peer[peer.id] = viewer
        feed.add(peer)
        return viewer

    def _add_candidate(self, call: str, candidate: str) -> None:
        viewer = self._viewers.get(call)
        if viewer is None:
            return
        try:
            viewer.peer.add_candidate(candidate)
        except CandidateError as error:
            log.info("candidate ignored: %s", error)
        except ClosedError:
            log.debug("candidate came after the end of its peer")

    def _release(self, call: str, reason: str) -> None:
        viewer = self._viewers.pop(call, None)
        if viewer is None:
            return
        log.info("call ended: %s", reason)
        del self._by_peer[viewer.peer.id]
        viewer.peer.close()
        viewer.feed.remove(viewer.peer.id)
        if not viewer.feed.viewers:
            self._let_go(viewer.feed)

    # -- feeds ------------------------------------------------------------------------------

    def _feed(self) -> Feed:
        """Give the shared feed, or a new one, whose source begins to open."""
        if self._shared and self._feeds:
            return next(iter(self._feeds))
        feed = Feed(
            self._engine,
            self._source,
            self._media,
            shared=self._shared,
            on_event=self._feed_event_from_thread,
        )
        self._feeds[feed] = asyncio.ensure_future(self._in_thread(feed.prepare_blocking))
        self._feeds[feed].add_done_callback(lambda task: self._feed_prepared(feed, task))
        return feed

    def _feed_prepared(self, feed: Feed, task: asyncio.Task[None]) -> None:
        if task.cancelled() or feed not in self._feeds:
            return
        if task.exception() is not None:  # each viewer's negotiation sees it and hangs up
            self._retire(feed)
        else:
            for viewer in self._viewers_of(feed):
                if self._calls.is_active(viewer.call):
                    feed.start(viewer.peer.id)

    def _let_go(self, feed: Feed) -> None:
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

    async def _join(self, feed: Feed) -> None:
        if not await self._in_thread(feed.join_blocking, JOIN_SECONDS):
            log.error("a media thread did not end within %.0f s", JOIN_SECONDS)

    def _viewers_of(self, feed: Feed) -> list[_Viewer]:
        return [viewer for viewer in self._viewers.values() if viewer.feed is feed]

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
            self._perform(self._calls.hangup(viewer.call, reason))

    # -- the engine and the clock --------------------------------------------------------------

    def _drain_engine(self) -> None:
        for event in self._engine.poll_events():
            self._on_engine_event(event)

    def _on_engine_event(self, event: Event) -> None:
        viewer = self._by_peer.get(event.peer)
        if viewer is None:  # closed on our side while the event was on its way
            return
        match event:
            case PeerConnected():
                self._perform(self._calls.activate(viewer.call))
                if viewer.prepared.done() and viewer.prepared.exception() is None:
                    viewer.feed.start(event.peer)
            case PeerDisconnected():
                self._perform(self._calls.hangup(viewer.call, event.reason))
            case KeyframeRequested():
                viewer.feed.request_keyframe(event.track)
            case BitrateEstimated():
                viewer.feed.estimate(event.peer, event.bitrate)

    def _on_tick(self) -> None:
        self._perform(self._calls.expire(self._now()))
        for feed in self._feeds:
            feed.adapt()
        if self._loop is not None:
            self._tick = self._loop.call_later(TICK_SECONDS, self._on_tick)

    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    async def _in_thread(
        self, function: Callable[[*Arguments], Result], *arguments: *Arguments
    ) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._pool, function, *arguments)

    def _spawn(self, work: Coroutine[Any, Any, None], call: str | None = None) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(lambda done: self._task_done(done, call))

    def _task_done(self, task: asyncio.Task[None], call: str | None) -> None:
        self._tasks.discard(task)
        if task.cancelled() or task.exception() is None:
            return
        log.error("internal error in a call", exc_info=task.exception())
        if call is not None:  # one call's bug is that call's end, and nobody else's
            self._perform(self._calls.hangup(call, "internal error"))


def _look_for_blocking(source: Source) -> None:
    """Look whether a file is there, before anybody is let in. For a thread: a disk may be slow."""
    if source.kind == "file" and not Path(source.location).is_file():
        raise SourceError(f"{source.public}: no such file", source=source.public)
