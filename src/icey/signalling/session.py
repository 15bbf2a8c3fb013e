"""The state of one socket's session."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from icey.signalling.budget import Allowance
    from icey.signalling.limits import TokenBucket
    from icey.signalling.peers import Peer


@dataclass(slots=True)
class Session:
    """A socket, from its upgrade to its end.

    Attributes:
        id: random, and the id of its peer.
        network: where it comes from (`icey.network.network_of`).
        bucket: messages that it may send.
        allowance: bytes that these may cost at all receivers.
        probes: probes that may be passed to it.
        peer: once it has authenticated.
        closing: the hub has ended it, and its socket is yet to follow.
        broken: frames of it that were no message.
        warned_at: when it was told of its excess last.
        told_at: when others were told its presence last, its entry apart.
        untold: its newest presence, where others are yet to be told.
        probed_at: when a probe of it into rooms was passed on last.
        asks_again: it has probed again, and is yet to be answered.
        owed: answers to probes that it may give free of charge.
    """

    id: str
    network: str
    bucket: TokenBucket
    allowance: Allowance
    probes: TokenBucket
    peer: Peer | None = None
    closing: bool = False
    broken: int = 0
    warned_at: float = float("-inf")
    told_at: float = float("-inf")
    untold: dict[str, Any] | None = None
    probed_at: float = float("-inf")
    asks_again: bool = False
    owed: int = 0
