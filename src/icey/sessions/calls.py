"""Calls over the packet engine: the steps that are alike in every mode.

A call takes these steps (the call table in `icey.signalling.calls` knows the states)::

    call:init   → Incoming  → the mode is asked whether it can serve → call:accept | call:reject
    call:offer  → Offered   → the mode makes a peer, the engine answers
    reached     → its first STUN check is answered: what is costly may begin, never earlier
    connected   → activate  → the mode starts (never earlier)
    hang-up, closed socket, lost path → Ended → the mode frees everything of the call
    lost socket → Absent → media go on, Returned or Ended follows

All of it runs on the event loop; what may block (answering offers, disks, media threads) runs in
the threads of `Work`.
"""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from icey._core import PeerConnected, PeerDisconnected, PeerReached
from icey.config.limits import LimitsSettings
from icey.errors import BusyError, CandidateError, ClosedError, OfferError
from icey.quota import Quota
from icey.refusals import LOG_INTERVAL_S
from icey.sessions.absence import falls_silent
from icey.sessions.failure import what_to_change, what_was_seen
from icey.sessions.turns import OfferRate
from icey.sessions.work import stats_blocking
from icey.signalling.call_actions import (
    Absent,
    CandidateArrived,
    Ended,
    Incoming,
    Offered,
    Refused,
    Returned,
    Send,
)
from icey.signalling.calls import CallTable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from icey._core import Engine, Event
    from icey.refusals import Refusals
    from icey.sessions.mode import Mode, Session
    from icey.sessions.work import Work
    from icey.signalling.call_actions import CallAction
    from icey.turn.service import TurnService

log = logging.getLogger(__name__)

TICK_SECONDS = 0.25
"""How often calls are checked for their deadlines, and modes tick."""

PATIENCE_SECONDS = 5.0
"""A caller who is not connected and hangs up later than this did so because no media came."""


@dataclass(eq=False, slots=True)
class Call:
    """A call as its mode sees it.

    Attributes:
        id: as the call table has it.
        origin: the address ``user|id`` that it came from.
        caller: the address now: another one where the caller came back by another socket.
        network: where the caller's socket comes from (`icey.network.network_of`).
        calls: all calls.
        secret: by which the caller is known again when it comes back; empty where it sent none.
    """

    id: str
    origin: str
    network: str
    calls: Calls
    secret: str = field(default="", repr=False)
    caller: str = field(init=False)

    def __post_init__(self) -> None:
        self.caller = self.origin

    @property
    def user(self) -> str:
        """The name that the caller goes by."""
        return self.caller.partition("|")[0]

    @property
    def is_active(self) -> bool:
        """Whether its media path is up."""
        return self.calls.is_active(self.id)

    def hang_up(self, reason: str) -> None:
        """End it, with a reason for the caller."""
        self.calls.hang_up(self.id, reason)

    def refuse(self, bound: str, reason: str) -> None:
        """End it because of a bound, which counts among the refusals."""
        self.calls.refuse(self, bound, reason)

    def send(self, message: dict[str, Any]) -> None:
        """Send the caller a message."""
        self.calls.send(self.caller, message)

    def send_event(self, name: str, data: dict[str, Any] | None = None) -> None:
        """Send the caller an event, as ``relay:waiting``."""
        self.send({"type": "event", "name": name} | ({} if data is None else {"data": data}))


@dataclass(slots=True)
class _OfferedCall:
    """A call that has sent its offer.

    Attributes:
        rate: how often it may offer.
        negotiation: its offers are answered one after the other.
        pairs: what was tried, where ICE has failed.
    """

    call: Call
    session: Session
    rate: OfferRate = field(default_factory=OfferRate)
    negotiation: asyncio.Lock = field(default_factory=asyncio.Lock)
    opened: float = field(default_factory=time.monotonic)
    was_reached: bool = False
    was_connected: bool = False
    pairs: list[str] = field(default_factory=list)


class Calls:
    """The calls to the server: between signalling, the engine and the mode.

    Args:
        engine: whose events are taken; the caller closes it after `close`.
        turn: the TURN server beside it, None where that is turned off; likewise.
        mode: serves the calls.
        work: runs what may block; finished by `close`.
        refusals: counts what is refused to callers.
        external_ip: ``turn.externalIp``.
        limits: bounds calls, in all and by network.
    """

    def __init__(
        self,
        engine: Engine,
        turn: TurnService | None,
        mode: Mode,
        work: Work,
        *,
        refusals: Refusals,
        external_ip: str,
        limits: LimitsSettings | None = None,
    ) -> None:
        self.turn = turn
        self._engine = engine
        self._mode = mode
        self._work = work
        self._refusals = refusals
        self._external_ip = external_ip
        limits = LimitsSettings() if limits is None else limits
        self._table = CallTable(
            Quota(limits.calls, limits.calls_per_address),
            Quota(limits.unconnected_calls, limits.unconnected_calls_per_address),
        )
        self._offered: dict[str, _OfferedCall] = {}
        self._by_peer: dict[int, _OfferedCall] = {}
        self._send: Callable[[str, dict[str, Any]], None] | None = None
        self._tick: asyncio.TimerHandle | None = None
        self._closed = False
        self._next_failure_told = float("-inf")

    @property
    def close_seconds(self) -> float:
        """How long `close` takes at most."""
        return self._mode.close_seconds

    def start(self, send: Callable[[str, dict[str, Any]], None]) -> None:
        """Listen to the engine; called before the HTTP port opens.

        Args:
            send: sends a message as the server's virtual peer to an address ``user|id``.
        """
        self._send = send
        self._work.loop.add_reader(self._engine.event_fd, self._drain_engine)
        self._tick = self._work.loop.call_later(TICK_SECONDS, self._on_tick)
        self._mode.start()

    def deliver(self, sender: str, message: Mapping[str, Any], network: str = "") -> None:
        """Take a message that a peer sent to the virtual peer.

        Args:
            sender: the address ``user|id``, as the server knows it.
            network: where its socket comes from (`icey.network.network_of`).
            message: the frame; whatever a remote can write, so nothing in it is believed.
        """
        if not self._closed:
            self._perform(self._table.receive(sender, message, self._now(), network))

    def caller_left(self, address: str, *, lost: bool = False) -> None:
        """End the call of a peer whose WebSocket is closed.

        Args:
            address: of the peer.
            lost: whether the socket broke without a goodbye; then live media go on for a while.
        """
        self._perform(self._table.caller_left(address, self._now(), lost=lost))

    def status(self) -> dict[str, Any]:
        """Return the counters of calls and engine, with the mode's own part.

        ``sessions`` (``active``, ``total``), ``state``, ``warnings``, ``candidatesDropped`` and
        ``engine`` (its counters), ``stream`` (the source's) and ``load`` (what is bounded) go into
        ``/api/status``; ``source`` (``healthy``, ``detail``, or None) and ``webrtcPort`` tell the
        preflight check of a running server what this very server holds.
        """
        stats, mode = self._engine.stats(), self._mode.status()
        return {
            "sessions": {"active": self._table.active, "total": self._table.total},
            "load": {"unconnectedCalls": self._table.unconnected} | mode.pop("load", {}),
            "state": "running",
            "warnings": [],
            "source": None,
            "webrtcPort": self._engine.port,
            "candidatesDropped": self._table.candidates_dropped,
            "engine": {
                "peers": stats.peers,
                "packetsSent": stats.packets_sent,
                "bytesSent": stats.bytes_sent,
                "packetsReceived": stats.packets_received,
                "bytesReceived": stats.bytes_received,
                "packetsDropped": stats.packets_dropped,
                "packetsUnknown": stats.packets_unknown,
                "framesDropped": stats.frames_dropped,
                "checksRefused": stats.checks_refused,
                "eventsMerged": stats.events_dropped,
                "panics": stats.panics,
            },
        } | mode

    async def close(self, reason: str) -> None:
        """Hang up every call with this reason and finish the work that is under way."""
        if self._closed:
            return
        self._closed = True
        if self._tick is not None:
            self._tick.cancel()
        for call in self._table.open_calls():
            self.hang_up(call, reason)
        self._mode.close()
        try:
            await self._work.finish(self._mode.close_seconds)
        finally:  # the server closes the engine next, also where it has lost patience
            self._work.loop.remove_reader(self._engine.event_fd)

    # -- for a call ----------------------------------------------------------------------------

    def is_active(self, call: str) -> bool:
        """Whether the media path of a call is up."""
        return self._table.is_active(call)

    def hang_up(self, call: str, reason: str) -> None:
        """End a call from this side."""
        self._perform(self._table.hangup(call, reason))

    def refuse(self, call: Call, bound: str, reason: str) -> None:
        """End a call because of a bound, and count that."""
        self._refusals.count(bound, call.network, reason)
        self.hang_up(call.id, reason)

    def send(self, to: str, message: dict[str, Any]) -> None:
        """Send a message as the virtual peer; nothing before `start`."""
        if self._send is not None:
            self._send(to, message)

    # -- actions of the call table -------------------------------------------------------------

    def _perform(self, actions: Iterable[CallAction]) -> None:
        for action in actions:
            match action:
                case Send(to, message):
                    self.send(to, message)
                case Incoming(call, _):
                    self._work.spawn(self._admit(call), partial(self._fail, call))
                case Offered(call, sdp):
                    self._take_offer(call, sdp)
                case CandidateArrived(call_id=call, candidate=candidate):
                    self._add_candidate(call, candidate)
                case Absent() | Returned():
                    self._follow_socket(action)
                case Ended(call, reason):
                    self._release(call, reason)
                case Refused(what, network, reason):
                    self._refusals.count(what, network, reason)

    def _take_offer(self, call: str, sdp: str) -> None:
        # The peer exists from here on: candidates follow in the same breath.
        offered = self._offered.get(call) or self._open(call, sdp)
        if offered is None:
            return
        if offered.rate.take(self._now()):
            self._work.spawn(self._negotiate(offered, sdp), partial(self._fail, call))
            return
        self._refusals.count("offersPerCall", offered.call.network, "too many offers of one call")
        self.hang_up(call, "too many offers: at most one a second")

    def _follow_socket(self, action: Absent | Returned) -> None:
        """Look after a call whose caller's socket is lost; or note where its caller came back."""
        match action:
            case Absent(call):
                self._work.spawn(self._attend(call), partial(self._fail, call))
            case Returned(call, caller):
                self._offered[call].call.caller = caller

    def _fail(self, call: str) -> None:
        """End a call that a bug has hit: it is that call's end, and nobody else's."""
        self.hang_up(call, "internal error")

    async def _attend(self, call: str) -> None:
        """End a call that goes on without its caller's socket once it sends nothing any more."""
        log.info("call goes on without its caller's socket")
        peer = self._offered[call].session.peer
        if await falls_silent(peer, self._work, lambda: self._table.is_absent(call)):
            self.hang_up(call, "caller left")

    async def _admit(self, call: str) -> None:
        refusal = await self._mode.refusal()
        if refusal is not None:
            self._refusals.count("unavailable", self._table.network(call), f"a call: {refusal}")
            self._perform(self._table.reject(call, refusal))
        else:
            self._perform(self._table.accept(call, self._now()))

    def _open(self, call_id: str, offer: str) -> _OfferedCall | None:
        table = self._table
        network, secret = table.network(call_id), table.secret(call_id)
        call = Call(call_id, table.caller(call_id), network, self, secret)
        try:
            session = self._mode.open(call, offer)
        except OfferError as error:
            self._refuse_offer(call_id, error)
            return None
        offered = _OfferedCall(call, session)
        self._offered[call_id] = self._by_peer[session.peer.id] = offered
        return offered

    async def _negotiate(self, offered: _OfferedCall, sdp: str) -> None:
        call = offered.call.id
        async with offered.negotiation:
            try:
                answer = await self._work.in_turn(
                    offered.call.network, offered.session.peer.accept_offer, sdp
                )
            except OfferError as error:
                self._refuse_offer(call, error)
                return
            except ClosedError:  # hung up meanwhile; nobody waits for the answer
                return
        self._perform(self._table.answer(call, answer))
        await offered.session.answered()

    def _refuse_offer(self, call: str, error: OfferError) -> None:
        bound = error.bound if isinstance(error, BusyError) else "offers"
        self._refusals.count(bound, self._table.network(call), f"an offer: {error.reason}")
        self._perform(self._table.reject(call, error.reason))

    def _add_candidate(self, call: str, candidate: str) -> None:
        offered = self._offered.get(call)
        if offered is None:
            return
        try:
            offered.session.peer.add_candidate(candidate)
        except CandidateError as error:
            log.debug("candidate ignored: %s", error)
        except ClosedError:
            log.debug("candidate came after the end of its peer")

    def _release(self, call: str, reason: str) -> None:
        offered = self._offered.pop(call, None)
        if offered is None:
            return
        del self._by_peer[offered.session.peer.id]
        waited = time.monotonic() - offered.opened >= PATIENCE_SECONDS
        if offered.pairs or (waited and not offered.was_connected):
            self._work.spawn(self._release_failed(offered, reason))
        else:
            # Who never connected proved nothing, and shall not fill the log.
            level = logging.INFO if offered.was_connected else logging.DEBUG
            log.log(level, "call ended: %s", reason)
            offered.session.close()

    async def _release_failed(self, offered: _OfferedCall, reason: str) -> None:
        """Release a call without media; before its peer is gone the log gets what was tried."""
        pairs = offered.pairs
        if not pairs:
            stats = await self._work.in_thread(stats_blocking, offered.session.peer)
            pairs = [] if stats is None else stats.pairs
        # One that strangers could repeat at will is told once a minute.
        now = self._now()
        level = logging.WARNING if now >= self._next_failure_told else logging.DEBUG
        if level == logging.WARNING:
            self._next_failure_told = now + LOG_INTERVAL_S
        log.log(
            level,
            "call ended before any media came through: %s. The server saw: %s. What may help: %s",
            reason,
            what_was_seen(pairs),
            self._what_to_change(),
        )
        offered.session.close()

    def _what_to_change(self) -> str:
        return what_to_change(
            webrtc_port=self._engine.port,
            turn_port=None if self.turn is None else self.turn.port,
            external_ip=self._external_ip,
        )

    # -- the engine and the clock --------------------------------------------------------------

    def _drain_engine(self) -> None:
        for event in self._engine.poll_events():
            self._on_engine_event(event)

    def _on_engine_event(self, event: Event) -> None:
        offered = self._by_peer.get(event.peer)
        if offered is None:  # closed on our side while the event was on its way
            return
        match event:
            case PeerReached():
                self._reach(offered)
            case PeerConnected():
                self._reach(offered)
                offered.was_connected = True
                self._perform(self._table.activate(offered.call.id))
                if offered.call.id in self._offered:  # else it was refused at its first check
                    offered.session.connected()
            case PeerDisconnected():
                offered.pairs = event.pairs
                more = f": {self._what_to_change()}" if event.pairs else ""
                offered.call.hang_up(event.reason + more)
            case _:
                offered.session.handle_event(event)

    def _reach(self, offered: _OfferedCall) -> None:
        if not offered.was_reached:
            offered.was_reached = True
            offered.session.reached()

    def _on_tick(self) -> None:
        self._perform(self._table.expire(self._now()))
        self._mode.tick()
        self._tick = self._work.loop.call_later(TICK_SECONDS, self._on_tick)

    def _now(self) -> float:
        return self._work.loop.time()
