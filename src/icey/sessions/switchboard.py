"""Calls over the packet engine: what every mode does alike.

A call goes through here like this (the call table in `icey.signalling.calls` knows the states)::

    call:init   → Incoming  → the mode is asked whether it can serve → call:accept | call:reject
    call:offer  → Offered   → the mode makes a peer, the engine answers
    connected   → activate  → the mode starts (never earlier)
    hang-up, closed socket, lost path → Ended → the mode frees everything of the call

All of it runs on the event loop; what may take its time (answering offers, disks, media threads)
runs in a small pool of threads.
"""

from __future__ import annotations

import asyncio
import logging
import time
from abc import ABC, abstractmethod
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Generic, TypeVar, TypeVarTuple

from icey._core import (
    BitrateEstimated,
    Engine,
    KeyframeRequested,
    MediaStarted,
    PeerCongested,
    PeerConnected,
    PeerDisconnected,
)
from icey.errors import CandidateError, ClosedError, EngineError, OfferError
from icey.sessions.address import bind_address
from icey.sessions.failure import what_to_change, what_was_seen
from icey.signalling.calls import CallTable, CandidateArrived, Ended, Incoming, Offered, Send
from icey.turn.service import open_turn

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Mapping

    from icey._core import Event, Peer
    from icey.config.model import Settings
    from icey.signalling.calls import CallAction
    from icey.turn.service import TurnService

__all__ = ["Party", "Switchboard"]

log = logging.getLogger(__name__)

Result = TypeVar("Result")
Arguments = TypeVarTuple("Arguments")

TICK_SECONDS = 0.25
"""How often calls are checked for their deadlines, and modes do what is due."""

PATIENCE_SECONDS = 5.0
"""A caller who is not connected and hangs up later than this did so because no media came."""

CLOSE_SECONDS = 4.0
"""How long the work that is under way may take when the server ends."""


class Party:
    """One call that got as far as an offer, and its peer in the engine."""

    def __init__(self, call: str, caller: str, peer: Peer) -> None:
        self.call = call
        self.caller = caller
        self.peer = peer
        self.negotiation = asyncio.Lock()  # offers of one call are answered one after the other
        self.opened = time.monotonic()
        self.was_connected = False
        self.pairs: list[str] = []  # what was tried, where it never came up


SomeParty = TypeVar("SomeParty", bound=Party)


class Switchboard(ABC, Generic[SomeParty]):
    """The calls of one mode; implements `icey.sessions.session.SessionService`.

    A mode says by the methods below "for the mode" what it does with a call.

    Raises:
        AddressInUseError: ``webrtc.port``, ``turn.port`` or ``turn.tlsPort`` is taken.
        EngineError: an address cannot be used.
    """

    turn: TurnService | None
    """The TURN server beside the engine; None where it is turned off."""

    def __init__(self, settings: Settings) -> None:
        self._external_ip = settings.turn.external_ip
        external = [self._external_ip] if self._external_ip else []
        host = bind_address(settings.http.host)
        self._engine = Engine(
            host=host,
            port=settings.webrtc.port,
            additional_hosts=[*external, *settings.webrtc.additional_hosts],
        )
        try:
            self.turn = open_turn(self._engine, settings, host=host)
        except EngineError:
            self._engine.close()
            raise
        self._calls = CallTable()
        self._parties: dict[str, SomeParty] = {}
        self._by_peer: dict[int, SomeParty] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._pool = ThreadPoolExecutor(max_workers=8, thread_name_prefix="icey-open")
        self._send: Callable[[str, dict[str, Any]], None] | None = None
        self._publish: Callable[[str, Mapping[str, Any]], None] = lambda _kind, _data: None
        self._sign: Callable[[str], str] = lambda path: path
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tick: asyncio.TimerHandle | None = None
        self._closed = False

    # -- for the mode ------------------------------------------------------------------------

    async def refusal(self, caller: str) -> str | None:  # noqa: ARG002 - for the modes that ask
        """Say why this caller cannot be served now, None where it can."""
        return None

    @abstractmethod
    def open_party(self, call: str, caller: str, offer: str) -> SomeParty:
        """Make the peer of a call whose first offer is here. It must not block.

        Raises:
            OfferError: this mode does not do what the offer wants; its reason is for the caller.
        """

    async def answered(self, party: SomeParty) -> None:
        """The offer of this call, the first or a later one, is answered."""

    @abstractmethod
    def connected(self, party: SomeParty) -> None:
        """ICE and DTLS are up."""

    @abstractmethod
    def released(self, party: SomeParty, reason: str) -> None:
        """The call is over: close the peer and free what belongs to it."""

    def keyframe_requested(self, party: SomeParty, track: int) -> None:
        """The peer needs a keyframe of this track."""

    def estimated(self, party: SomeParty, bitrate: int) -> None:
        """The path to the peer carries so many bit/s."""

    def media_started(self, party: SomeParty, kind: str, layer: str) -> None:
        """The first media of a kind have come from the peer, of a simulcast layer or of ""."""

    def congested(self, party: SomeParty, *, now: bool) -> None:
        """Video to the peer is dropped from now on, or goes on again."""

    def ticked(self) -> None:
        """Do what is due; called each `TICK_SECONDS`."""

    def closing(self) -> None:
        """Every call is hung up and the server ends: let go of what is left."""

    # -- SessionService ----------------------------------------------------------------------

    def connect(self, send: Callable[[str, dict[str, Any]], None]) -> None:
        """Take the way by which the virtual peer speaks."""
        self._send = send

    def connect_events(
        self, publish: Callable[[str, Mapping[str, Any]], None], sign: Callable[[str], str]
    ) -> None:
        """Take the way on which events go to other programs."""
        self._publish, self._sign = publish, sign

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
        """Tell how many calls there are; a mode adds how it fares."""
        return {
            "sessions": {"active": self._calls.active, "total": self._calls.total},
            "state": "running",
            "warnings": [],
            "source": None,
            "webrtcPort": self._engine.port,
            "engine": self._engine_status(),
        }

    def _engine_status(self) -> dict[str, int]:
        stats = self._engine.stats()
        return {
            "peers": stats.peers,
            "packetsSent": stats.packets_sent,
            "bytesSent": stats.bytes_sent,
            "packetsReceived": stats.packets_received,
            "bytesReceived": stats.bytes_received,
            "packetsDropped": stats.packets_dropped,
            "packetsUnknown": stats.packets_unknown,
            "framesDropped": stats.frames_dropped,
            "panics": stats.panics,
        }

    async def close(self, reason: str) -> None:
        """Hang up every call, finish the work that is under way, and free the port."""
        if self._closed:
            return
        self._closed = True
        if self._tick is not None:
            self._tick.cancel()
        for call in self._calls.open_calls():
            self._perform(self._calls.hangup(call, reason))
        self.closing()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=self.close_seconds)
        if self._loop is not None:
            self._loop.remove_reader(self._engine.event_fd)
        if self.turn is not None:
            self.turn.close()
        self._engine.close()
        self._pool.shutdown(wait=False, cancel_futures=True)

    @property
    def close_seconds(self) -> float:
        """How long work that is under way may take when the server ends."""
        return CLOSE_SECONDS

    # -- calls -------------------------------------------------------------------------------

    def _perform(self, actions: Iterable[CallAction]) -> None:
        for action in actions:
            match action:
                case Send(to, message):
                    self._say(to, message)
                case Incoming(call, caller):
                    self._spawn(self._admit(call, caller), call)
                case Offered(call, sdp):
                    # The peer exists from here on: candidates follow in the same breath.
                    party = self._parties.get(call) or self._open(call, sdp)
                    if party is not None:
                        self._spawn(self._negotiate(party, sdp), call)
                case CandidateArrived(call_id=call, candidate=candidate):
                    self._add_candidate(call, candidate)
                case Ended(call, reason):
                    self._release(call, reason)

    def _say(self, to: str, message: dict[str, Any]) -> None:
        if self._send is not None:
            self._send(to, message)

    def _hang_up(self, party: SomeParty, reason: str) -> None:
        self._perform(self._calls.hangup(party.call, reason))

    async def _admit(self, call: str, caller: str) -> None:
        refusal = await self.refusal(caller)
        if refusal is not None:
            log.warning("call refused: %s", refusal)
            self._perform(self._calls.reject(call, refusal))
        else:
            self._perform(self._calls.accept(call, self._now()))

    def _open(self, call: str, offer: str) -> SomeParty | None:
        try:
            party = self.open_party(call, self._calls.caller(call), offer)
        except OfferError as error:
            log.info("offer refused: %s", error)
            self._perform(self._calls.reject(call, error.reason))
            return None
        self._parties[call] = party
        self._by_peer[party.peer.id] = party
        return party

    async def _negotiate(self, party: SomeParty, sdp: str) -> None:
        async with party.negotiation:
            try:
                answer = await self._in_thread(party.peer.accept_offer, sdp)
            except OfferError as error:
                log.info("offer refused: %s", error)
                self._perform(self._calls.reject(party.call, error.reason))
                return
            except ClosedError:  # hung up meanwhile; nobody waits for the answer
                return
        self._perform(self._calls.answer(party.call, answer))
        await self.answered(party)

    def _add_candidate(self, call: str, candidate: str) -> None:
        party = self._parties.get(call)
        if party is None:
            return
        try:
            party.peer.add_candidate(candidate)
        except CandidateError as error:
            log.info("candidate ignored: %s", error)
        except ClosedError:
            log.debug("candidate came after the end of its peer")

    def _release(self, call: str, reason: str) -> None:
        party = self._parties.pop(call, None)
        if party is None:
            return
        waited = time.monotonic() - party.opened >= PATIENCE_SECONDS
        if party.pairs or (waited and not party.was_connected):
            self._log_failure(party, reason)
        else:
            log.info("call ended: %s", reason)
        del self._by_peer[party.peer.id]
        self.released(party, reason)

    def _log_failure(self, party: SomeParty, reason: str) -> None:
        pairs = party.pairs
        if not pairs:
            try:
                pairs = party.peer.stats().pairs
            except ClosedError:  # it is gone, and nobody has asked it
                pairs = []
        log.warning(
            "call ended before any media came through: %s. The server saw: %s. What may help: %s",
            reason,
            what_was_seen(pairs),
            self._what_to_change(),
        )

    def _what_to_change(self) -> str:
        return what_to_change(
            webrtc_port=self._engine.port,
            turn_port=None if self.turn is None else self.turn.port,
            external_ip=self._external_ip,
        )

    # -- the engine and the clock ------------------------------------------------------------

    def _drain_engine(self) -> None:
        for event in self._engine.poll_events():
            self._on_engine_event(event)

    def _on_engine_event(self, event: Event) -> None:
        party = self._by_peer.get(event.peer)
        if party is None:  # closed on our side while the event was on its way
            return
        match event:
            case PeerConnected():
                party.was_connected = True
                self._perform(self._calls.activate(party.call))
                self.connected(party)
            case PeerDisconnected() if event.pairs:
                party.pairs = event.pairs
                self._hang_up(party, f"{event.reason}: {self._what_to_change()}")
            case PeerDisconnected():
                self._hang_up(party, event.reason)
            case KeyframeRequested():
                self.keyframe_requested(party, event.track)
            case BitrateEstimated():
                self.estimated(party, event.bitrate)
            case MediaStarted():
                self.media_started(party, event.kind, event.layer)
            case PeerCongested():
                self.congested(party, now=event.congested)

    def _on_tick(self) -> None:
        self._perform(self._calls.expire(self._now()))
        self.ticked()
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
