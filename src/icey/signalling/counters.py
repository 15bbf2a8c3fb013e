"""What the hub counts."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Counters:
    """What the hub has seen since its start; these only grow. `/api/status` shows all of them.

    Attributes:
        received: text frames of peers.
        delivered: frames that were sent, each receiver counted.
        unroutable: messages whose receiver is not there, or not in reach.
        broken: received frames that are no message.
        over_rate: received frames that were ignored: too many in a short time.
        over_budget: messages of peers that were ignored: too many bytes at all receivers together.
        presences_merged: presences that a newer one of the same peer took the place of.
        probes_answered: presences that the server sent to an asker in place of their peers.
        refused: sockets that were refused, as there were too many.
    """

    received: int = 0
    delivered: int = 0
    unroutable: int = 0
    broken: int = 0
    over_rate: int = 0
    over_budget: int = 0
    presences_merged: int = 0
    probes_answered: int = 0
    refused: int = 0
