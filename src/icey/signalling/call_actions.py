"""What follows from what the call table is told: whoever told it carries these out, in order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias


@dataclass(frozen=True, slots=True)
class Send:
    """Send a message to an address."""

    to: str
    message: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Incoming:
    """A peer calls: `CallTable.accept` or `CallTable.reject` is due."""

    call_id: str
    caller: str


@dataclass(frozen=True, slots=True)
class Offered:
    """Answer an offer; on a call that has an answer already it is a renegotiation."""

    call_id: str
    sdp: str


@dataclass(frozen=True, slots=True)
class CandidateArrived:
    """Add a remote ICE candidate, without ``a=``; never before the call's first `Offered`."""

    call_id: str
    candidate: str
    sdp_mid: str | None
    sdp_mline_index: int | None


@dataclass(frozen=True, slots=True)
class Ended:
    """The call is over: free what belongs to it. ``reason`` is safe to log and to show."""

    call_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class Absent:
    """The caller's socket is lost and its media go on."""

    call_id: str


@dataclass(frozen=True, slots=True)
class Returned:
    """The caller is back, at another address."""

    call_id: str
    caller: str


@dataclass(frozen=True, slots=True)
class Refused:
    """Count a refusal, which the caller has been told.

    Attributes:
        what: the name of the bound.
        network: whom it was refused to.
        reason: for the log and the caller.
    """

    what: str
    network: str
    reason: str


CallAction: TypeAlias = (
    Send | Incoming | Offered | CandidateArrived | Absent | Returned | Ended | Refused
)
