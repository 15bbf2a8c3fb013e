"""Bounds how many of a thing there are at a time: in all, and by network."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass(slots=True)
class Quota:
    """What is taken must be given back once.

    Attributes:
        total: how many at a time; 0 is no bound.
        each: how many at a time of one network (`icey.network.network_of`); 0 is no bound.
    """

    total: int
    each: int
    _taken: Counter[str] = field(default_factory=Counter)
    _sum: int = 0

    @property
    def taken(self) -> int:
        """How many are taken now."""
        return self._sum

    def taken_by(self, network: str) -> int:
        """How many this network has taken."""
        return self._taken.get(network, 0)

    def exceeded(self, network: str) -> str | None:
        """Say which bound one more would exceed: ``"each"``, ``"total"``, or None."""
        if self.each and self.taken_by(network) >= self.each:
            return "each"
        if self.total and self._sum >= self.total:
            return "total"
        return None

    def take(self, network: str) -> None:
        """Count one more, whatever the bounds say."""
        self._taken[network] += 1
        self._sum += 1

    def give_back(self, network: str) -> None:
        """Count one less.

        Raises:
            KeyError: this network has none.
        """
        left = self._taken[network] - 1
        if left < 0:
            raise KeyError(network)
        if left:
            self._taken[network] = left
        else:
            del self._taken[network]
        self._sum -= 1
