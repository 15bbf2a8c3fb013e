"""Counts the encoders that run, against a bound in all and by network. For any thread."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from icey.quota import Quota


class Encoders:
    """The encoders of one server: each takes a slot before it is opened.

    Args:
        quota: of slots; its `total` may change while some are taken.
    """

    def __init__(self, quota: Quota) -> None:
        self._quota = quota
        self._lock = threading.Lock()

    @property
    def total(self) -> int:
        """How many may run; 0 is no bound."""
        return self._quota.total

    @property
    def taken(self) -> int:
        """How many run."""
        return self._quota.taken

    def limit(self, total: int, each: int) -> None:
        """Set the bounds; what runs goes on."""
        with self._lock:
            self._quota.total, self._quota.each = total, each

    def is_free(self, network: str, *, keep: int = 0) -> bool:
        """Return whether one more may run.

        Args:
            network: for whom (`icey.network.network_of`); "" is the server itself.
            keep: so many slots are left free for others.
        """
        with self._lock:
            return self._is_free(network, keep)

    def take(self, network: str, *, keep: int = 0) -> Slot | None:
        """Take a slot for an encoder, where there is one; arguments as of `is_free`."""
        with self._lock:
            return self._taken(network) if self._is_free(network, keep) else None

    def insist(self, network: str) -> Slot:
        """Take a slot whatever the bounds say: for what runs in any case and is to be counted."""
        with self._lock:
            return self._taken(network)

    def give_back(self, slot: Slot) -> None:
        """Take a slot back; twice is harmless."""
        with self._lock:
            if not slot.is_given_back:
                slot.is_given_back = True
                self._quota.give_back(slot.network)

    def _is_free(self, network: str, keep: int) -> bool:
        quota = self._quota
        if quota.exceeded(network) is not None:
            return False
        return not quota.total or quota.taken + keep < quota.total

    def _taken(self, network: str) -> Slot:
        self._quota.take(network)
        return Slot(self, network)


class Slot:
    """The right to run one encoder, until it is released."""

    def __init__(self, encoders: Encoders, network: str) -> None:
        self.network = network
        self.is_given_back = False
        self._encoders = encoders

    def release(self) -> None:
        """Give it back; twice is harmless."""
        self._encoders.give_back(self)
