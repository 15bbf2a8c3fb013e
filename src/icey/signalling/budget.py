"""What peers may cost others: bytes a second, by sender and by network."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from icey.signalling.limits import Limits

NETWORKS = 4096
"""Networks whose budget is remembered; beyond them, those that have theirs whole are forgotten."""


class Allowance:
    """So many bytes a second, and those of ``window_s`` at once.

    What costs more than is left may pass while anything is left; the debt is paid by time. So the
    largest message passes some time, however small the allowance.
    """

    __slots__ = ("_capacity", "_level", "_rate", "_updated")

    def __init__(self, rate: float, window_s: float, now: float) -> None:
        """Begin with the whole of it; a ``rate`` of 0 is no bound."""
        self._rate = rate or math.inf
        self._capacity = self._level = self._rate * window_s
        self._updated = now

    def left(self, now: float) -> float:
        """Return how many bytes are left; 0 or fewer where nothing may pass."""
        if now > self._updated:
            if self._level < self._capacity:
                refilled = self._level + (now - self._updated) * self._rate
                self._level = min(self._capacity, refilled)
            self._updated = now
        return self._level

    def spend(self, cost: float) -> None:
        """Take bytes that pass."""
        self._level -= cost

    def is_whole(self, now: float) -> bool:
        """Return whether nothing is missing."""
        return self.left(now) >= self._capacity


class Budgets:
    """The allowances of senders, and of all senders of one network together."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._networks: dict[str, Allowance] = {}

    def of_sender(self, now: float) -> Allowance:
        """Make the allowance of one socket."""
        return Allowance(self._limits.sender_bytes, self._limits.sender_window_s, now)

    def exceeded(self, sender: Allowance, network: str, now: float) -> str | None:
        """Say whose allowance is used up: ``"sender"``, ``"network"``, or None."""
        if sender.left(now) <= 0:
            return "sender"
        return "network" if self._of_network(network, now).left(now) <= 0 else None

    def spend(self, sender: Allowance, network: str, cost: int, now: float) -> None:
        """Charge bytes to a sender and its network."""
        sender.spend(cost)
        self._of_network(network, now).spend(cost)

    def _of_network(self, network: str, now: float) -> Allowance:
        allowance = self._networks.get(network)
        if allowance is None:
            if len(self._networks) >= NETWORKS:
                self._networks = {
                    other: its for other, its in self._networks.items() if not its.is_whole(now)
                }
            limits = self._limits
            rate = limits.sender_bytes * limits.network_senders
            allowance = Allowance(rate, limits.sender_window_s, now)
            self._networks[network] = allowance
        return allowance
