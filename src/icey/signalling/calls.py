"""Calls between peers and the server: one state machine for each caller.

::

    call:init ──▶ incoming ── accept ──▶ negotiating ── activate ──▶ active
                     │                        │                        │
    ended ◀──────────┴── reject, hang-up, time-out, socket closed ─────┘

An active call outlives the loss of its caller's socket for `ABSENCE_S`: its media go on, and the
caller comes back from another socket by an offer with the ICE password of its last one, which
nobody else knows.

Contract: whoever tells the table something carries out the actions that come back, in
order. `Ended` is the last action that names a call; the table has forgotten it by then,
so a late answer to it (from a thread that was still at work) is harmless and says nothing.

A caller has one call at a time, named by the caller's address, since no message on the
wire carries the id of a call.
"""

from __future__ import annotations

import hmac
import re
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any

from icey.quota import Quota
from icey.signalling.call_actions import (
    Absent,
    CallAction,
    CandidateArrived,
    Ended,
    Incoming,
    Offered,
    Refused,
    Returned,
    Send,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

OFFER_TIMEOUT_S = 15.0
"""Seconds from ``call:accept`` (or ``call:init``) to the offer; then the caller is hung up."""

ACCEPT_TIMEOUT_S = 30.0
"""Seconds that the server may take to accept or reject, then it rejects: no call rings for ever."""

ABSENCE_S = 30.0
"""Seconds that an active call goes on after its caller's socket was lost."""

EARLY_CANDIDATES = 64
"""Candidates that wait for the offer; the excess is dropped and counted."""

CANDIDATE_CHARACTERS = 1024
"""A candidate line is far shorter (RFC 8839 §5.1); what is longer is not one."""

REASON_CHARACTERS = 400

SECRET_CHARACTERS = 256
"""A caller's session secret (`Call.secret`) that is longer is none."""


class CallState(Enum):
    """The state of a call."""

    INCOMING = "incoming"
    NEGOTIATING = "negotiating"
    ACTIVE = "active"
    ENDED = "ended"


_ICE_PASSWORD = re.compile(r"^a=ice-pwd:(\S+)", re.MULTILINE)


class _MalformedError(ValueError):
    """The data of a call message does not fit its subtype."""


@dataclass(slots=True)
class _Call:
    id: str
    caller: str
    network: str
    deadline: float | None
    announced: bool
    """The caller sent ``call:init`` and so waits for ``call:accept``."""
    state: CallState = CallState.INCOMING
    offer: str | None = None
    offered: bool = False
    early: list[CandidateArrived] = field(default_factory=list)
    password: str = ""
    """The ICE password of its newest offer."""
    absent: bool = False
    secret: str = field(default="", repr=False)

    def is_of(self, caller: str, network: str) -> bool:
        """Return whether a caller goes by the same user and comes from the same network."""
        return self.network == network and _user(self.caller) == _user(caller)


class CallTable:
    """Every call with the server's own peer.

    Args:
        calls: bounds them, in whichever state.
        unconnected: bounds those whose media path is not up yet.
    """

    def __init__(self, calls: Quota | None = None, unconnected: Quota | None = None) -> None:
        self._calls = Quota(0, 0) if calls is None else calls
        self._unconnected = Quota(0, 0) if unconnected is None else unconnected
        self._by_caller: dict[str, _Call] = {}
        self._by_id: dict[str, _Call] = {}
        self.total = 0
        """Calls since the start."""
        self.candidates_dropped = 0
        """Early candidates thrown away because too many waited."""

    @property
    def active(self) -> int:
        """Calls that have not ended, in whichever state."""
        return len(self._by_id)

    @property
    def unconnected(self) -> int:
        """Those of them whose media path is not up yet."""
        return self._unconnected.taken

    def open_calls(self) -> list[str]:
        """Return the ids of all calls that have not ended, oldest first."""
        return list(self._by_id)

    def state(self, call_id: str) -> CallState:
        """Return the state of a call; one that the table does not know (any more) has ended."""
        call = self._by_id.get(call_id)
        return CallState.ENDED if call is None else call.state

    def caller(self, call_id: str) -> str:
        """Return the address of a call's caller; empty for a call that the table does not know."""
        call = self._by_id.get(call_id)
        return "" if call is None else call.caller

    def network(self, call_id: str) -> str:
        """Return where a call's caller comes from; empty for a call that is not known."""
        call = self._by_id.get(call_id)
        return "" if call is None else call.network

    def is_absent(self, call_id: str) -> bool:
        """Return whether a call goes on without its caller's socket."""
        call = self._by_id.get(call_id)
        return call is not None and call.absent

    def secret(self, call_id: str) -> str:
        """Return what the caller sent as ``session`` with ``call:init`` or its first offer.

        By it a caller that comes back is known again; empty where it sent nothing such.
        """
        call = self._by_id.get(call_id)
        return "" if call is None else call.secret

    def is_active(self, call_id: str) -> bool:
        """Return whether the media path of a call is up."""
        return self.state(call_id) is CallState.ACTIVE

    def receive(
        self, caller: str, message: Mapping[str, Any], now: float, network: str = ""
    ) -> list[CallAction]:
        """Handle a message that was routed to the server. Raises for no message.

        Args:
            caller: the sender's address, as the hub knows it.
            message: the frame; nothing in it is believed.
            now: seconds, from a monotonic clock.
            network: where the sender's socket comes from (`icey.network.network_of`).
        """
        subtype = message.get("subtype")
        data = message.get("data")
        try:
            if subtype == "call:init":
                return self._init(caller, now, network, announced=True, secret=_secret(data))
            if subtype == "call:offer":
                resumes = isinstance(data, dict) and data.get("resume") is True
                return self._offer(
                    caller, _sdp(data), now, network, secret=_secret(data), resumes=resumes
                )
            if subtype == "call:candidate":
                return self._candidate(caller, data)
        except _MalformedError as error:
            return self._malformed(caller, f"malformed {subtype}: {error}")
        if subtype == "call:hangup":
            call = self._by_caller.get(caller)
            return [] if call is None else self._end(call, _reason(data))
        return []

    def accept(self, call_id: str, now: float) -> list[CallAction]:
        """Accept an incoming call; the caller has `OFFER_TIMEOUT_S` for its offer."""
        call = self._by_id.get(call_id)
        if call is None or call.state is not CallState.INCOMING:
            return []
        call.state = CallState.NEGOTIATING
        call.deadline = now + OFFER_TIMEOUT_S
        actions: list[CallAction] = []
        if call.announced:
            actions.append(_message(call.caller, "call:accept", {}))
        if call.offer is not None:
            actions.extend(self._take_offer(call, call.offer))
        return actions

    def reject(self, call_id: str, reason: str) -> list[CallAction]:
        """Refuse a call, with a reason that a person can act on."""
        call = self._by_id.get(call_id)
        if call is None:
            return []
        actions: list[CallAction] = [_message(call.caller, "call:reject", {"reason": reason})]
        if call.state is not CallState.INCOMING:
            # A stock caller that was accepted no longer listens for a rejection.
            actions.append(_message(call.caller, "call:hangup", {"reason": reason}))
        return [*actions, *self._end(call, reason)]

    def answer(self, call_id: str, sdp: str) -> list[CallAction]:
        """Send the answer to the newest offer."""
        call = self._by_id.get(call_id)
        if call is None or not call.offered:
            return []
        return [_message(call.caller, "call:answer", {"type": "answer", "sdp": sdp})]

    def activate(self, call_id: str) -> list[CallAction]:
        """Note that ICE and DTLS are up. Sends nothing."""
        call = self._by_id.get(call_id)
        if call is not None and call.state is CallState.NEGOTIATING and call.offered:
            call.state = CallState.ACTIVE
            self._unconnected.give_back(call.network)
        return []

    def hangup(self, call_id: str, reason: str) -> list[CallAction]:
        """End a call from the server's side; reject it where it was never accepted."""
        call = self._by_id.get(call_id)
        if call is None:
            return []
        if call.state is CallState.INCOMING:
            return self.reject(call_id, reason)
        return [_message(call.caller, "call:hangup", {"reason": reason}), *self._end(call, reason)]

    def caller_left(self, caller: str, now: float = 0.0, *, lost: bool = False) -> list[CallAction]:
        """End the call of a caller whose WebSocket is closed, without a message.

        Args:
            caller: its address.
            now: seconds, from a monotonic clock.
            lost: whether the socket broke without a goodbye; then an active call goes on.
        """
        call = self._by_caller.get(caller)
        if call is None:
            return []
        if not lost or call.state is not CallState.ACTIVE:
            return self._end(call, "caller left")
        call.absent, call.deadline = True, now + ABSENCE_S
        return [Absent(call.id)]

    def expire(self, now: float) -> list[CallAction]:
        """End calls that waited too long for their offer, or for being accepted."""
        actions: list[CallAction] = []
        for call in list(self._by_id.values()):
            if call.deadline is None or call.deadline > now:
                continue
            if call.state is CallState.INCOMING:
                actions.extend(self.reject(call.id, "the server took too long to accept"))
            elif call.absent:
                actions.extend(self._end(call, f"caller left {ABSENCE_S:g} s ago"))
            else:
                reason = f"no offer within {OFFER_TIMEOUT_S:g} s"
                actions.extend(self.hangup(call.id, reason))
        return actions

    def next_deadline(self) -> float | None:
        """Return when `expire` has something to do next."""
        return min(
            (c.deadline for c in self._by_id.values() if c.deadline is not None), default=None
        )

    def _init(
        self, caller: str, now: float, network: str, *, announced: bool, secret: str
    ) -> list[CallAction]:
        actions: list[CallAction] = []
        before = self._by_caller.get(caller)
        if before is not None:
            # Not said to the caller: to it, a hang-up would mean the call that it just began.
            actions.extend(self._end(before, "replaced by a new call"))
        for other in self._absent_of(caller, network):
            actions.extend(self._end(other, "replaced by a new call"))
        refused = self._refused(network)
        if refused is not None:
            data = {"reason": refused.reason}
            return [*actions, _message(caller, "call:reject", data), refused]
        self.total += 1
        self._calls.take(network)
        self._unconnected.take(network)
        deadline = now + ACCEPT_TIMEOUT_S
        call = _Call(f"call-{self.total}", caller, network, deadline, announced, secret=secret)
        self._by_caller[caller] = call
        self._by_id[call.id] = call
        actions.append(Incoming(call.id, caller))
        return actions

    def _refused(self, network: str) -> Refused | None:
        """Return why no more calls of this network are taken; None where one more is."""
        for quota, name, words in (
            (self._calls, "calls", "too many calls"),
            (self._unconnected, "unconnectedCalls", "too many calls wait for their connection"),
        ):
            match quota.exceeded(network):
                case "total":
                    reason = f"{words}: {quota.total} at a time are allowed (limits.{name})"
                    return Refused(name, network, reason)
                case "each":
                    reason = (
                        f"{words}: {quota.each} at a time are allowed from one address "
                        f"(limits.{name}PerAddress)"
                    )
                    return Refused(f"{name}PerAddress", network, reason)
        return None

    def _offer(
        self, caller: str, sdp: str, now: float, network: str, *, secret: str, resumes: bool
    ) -> list[CallAction]:
        call = self._by_caller.get(caller)
        if call is None:
            return self._offer_without_call(
                caller, sdp, now, network, secret=secret, resumes=resumes
            )
        call.secret = call.secret or secret
        if call.state is CallState.INCOMING:
            call.offer = sdp
            return []
        return self._take_offer(call, sdp)

    def _offer_without_call(
        self, caller: str, sdp: str, now: float, network: str, *, secret: str, resumes: bool
    ) -> list[CallAction]:
        password = _ice_password(sdp)
        for call in self._absent_of(caller, network):
            if password and hmac.compare_digest(password.encode(), call.password.encode()):
                del self._by_caller[call.caller]
                self._by_caller[caller] = call
                call.caller = caller
                return [Returned(call.id, caller), *self._take_offer(call, sdp)]
        if resumes:
            return [_message(caller, "call:reject", {"reason": "the call to resume is over"})]
        # An offer out of the blue is a call whose caller does not wait to be accepted.
        actions = self._init(caller, now, network, announced=False, secret=secret)
        if caller in self._by_caller:
            self._by_caller[caller].offer = sdp
        return actions

    def _absent_of(self, caller: str, network: str) -> list[_Call]:
        return [c for c in self._by_id.values() if c.absent and c.is_of(caller, network)]

    def _take_offer(self, call: _Call, sdp: str) -> list[CallAction]:
        call.offer = None
        call.offered, call.absent = True, False
        call.password = _ice_password(sdp)
        call.deadline = None
        early, call.early = call.early, []
        return [Offered(call.id, sdp), *early]

    def _candidate(self, caller: str, data: object) -> list[CallAction]:
        call = self._by_caller.get(caller)
        if call is None:  # late ones of a call that has just ended are no fault
            return []
        arrived = _parse_candidate(call.id, data)
        if arrived is None:
            return []
        if call.offered:
            return [arrived]
        if len(call.early) < EARLY_CANDIDATES:
            call.early.append(arrived)
        else:
            self.candidates_dropped += 1
        return []

    def _malformed(self, caller: str, reason: str) -> list[CallAction]:
        call = self._by_caller.get(caller)
        if call is not None:
            return self.hangup(call.id, reason)
        return [_message(caller, "call:reject", {"reason": reason})]

    def _end(self, call: _Call, reason: str) -> list[CallAction]:
        del self._by_id[call.id]
        del self._by_caller[call.caller]
        call.early.clear()
        self._calls.give_back(call.network)
        if call.state is not CallState.ACTIVE:
            self._unconnected.give_back(call.network)
        return [Ended(call.id, reason)]


def _message(to: str, subtype: str, data: dict[str, Any]) -> Send:
    return Send(to, {"type": "message", "subtype": subtype, "data": data})


def _user(address: str) -> str:
    return address.rpartition("|")[0]


def _ice_password(sdp: str) -> str:
    """Return the first ``a=ice-pwd`` (RFC 8839 §5.4), empty where there is none."""
    found = _ICE_PASSWORD.search(sdp)
    return found[1] if found else ""


def _sdp(data: object) -> str:
    if not isinstance(data, dict):
        raise _MalformedError("data must be an object")
    if data.get("type") != "offer":
        raise _MalformedError("data.type must be 'offer'")
    sdp = data.get("sdp")
    if not isinstance(sdp, str) or not sdp:
        raise _MalformedError("data.sdp must be a non-empty string")
    return sdp


def _secret(data: object) -> str:
    secret = data.get("session") if isinstance(data, dict) else None
    if not isinstance(secret, str) or len(secret) > SECRET_CHARACTERS:
        return ""
    return secret


def _parse_candidate(call_id: str, data: object) -> CandidateArrived | None:
    """Check a candidate; return None for the end of candidates, which some clients announce."""
    if data is None:
        return None
    if not isinstance(data, dict):
        raise _MalformedError("data must be an object")
    line = data.get("candidate")
    if line is None or line == "":
        return None
    if not isinstance(line, str) or len(line) > CANDIDATE_CHARACTERS:
        raise _MalformedError(f"candidate must be a string of at most {CANDIDATE_CHARACTERS}")
    mid = data.get("sdpMid")
    index = data.get("sdpMLineIndex")
    if mid is not None and not isinstance(mid, str):
        raise _MalformedError("sdpMid must be a string")
    if index is not None and (isinstance(index, bool) or not isinstance(index, int)):
        raise _MalformedError("sdpMLineIndex must be an integer")
    return CandidateArrived(call_id, line.removeprefix("a="), mid, index)


def _reason(data: object) -> str:
    """Return the caller's reason for a log: one printable line, not long."""
    reason = data.get("reason") if isinstance(data, dict) else None
    if not isinstance(reason, str) or not reason:
        return "hung up by the caller"
    cut = reason[:REASON_CHARACTERS]
    return "".join(character if character.isprintable() else " " for character in cut)
