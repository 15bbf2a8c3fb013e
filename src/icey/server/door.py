"""Who may stay connected: bounds in all and by network, idle connections cut first. Pure.

A newcomer always gets in while anybody is idle: it takes the place of who has been idle longest, of
its own network where that is full, else of the network with the most idle ones. Where nobody is
idle a small reserve is left, whose connections are told no more than that the server lives.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from icey.quota import Quota

if TYPE_CHECKING:
    from collections.abc import Callable

RESERVE = 64
"""Places beyond the bound, for ``GET /api/health`` and for 503."""

RESERVE_EACH = 8
"""Of these, places of one network."""


@dataclass(eq=False, slots=True)
class Place:
    """The place of one connection.

    Attributes:
        network: whom it counts for.
        reserved: whether it is of the reserve.
        proxy: whether it is of a trusted proxy, which many share: it counts in all only, and is
            never cut for a newcomer.
        idle: whether it waits for its client, and so may be cut.
    """

    network: str
    cut: Callable[[], None]
    reserved: bool = False
    proxy: bool = False
    idle: bool = False
    gone: bool = False


class IdlePlaces:
    """Idle places by network, so that the longest idle one of the fullest is found at once."""

    def __init__(self) -> None:
        self._of: dict[str, dict[Place, None]] = {}  # each in the order of becoming idle
        self._networks_with: dict[int, dict[str, None]] = {}  # by how many they have
        self._most = 0
        self._sum = 0

    def __len__(self) -> int:
        return self._sum

    def add(self, place: Place) -> None:
        """Add a place that is not in here."""
        places = self._of.setdefault(place.network, {})
        self._move(place.network, len(places), len(places) + 1)
        places[place] = None
        self._sum += 1

    def remove(self, place: Place) -> None:
        """Remove a place that is in here."""
        places = self._of[place.network]
        del places[place]
        self._sum -= 1
        self._move(place.network, len(places) + 1, len(places))
        if not places:
            del self._of[place.network]

    def longest_of(self, network: str) -> Place | None:
        """Return the place of a network that has been idle longest."""
        return next(iter(self._of.get(network, ())), None)

    def longest(self) -> Place | None:
        """Return the place idle longest of the network that has the most."""
        if not self._most:
            return None
        return self.longest_of(next(iter(self._networks_with[self._most])))

    def _move(self, network: str, before: int, after: int) -> None:
        if before:
            del self._networks_with[before][network]
            if not self._networks_with[before]:
                del self._networks_with[before]
        if after:
            self._networks_with.setdefault(after, {})[network] = None
        self._most = max(self._most, after)
        if self._most not in self._networks_with:  # then this one had the most, alone
            self._most = after


@dataclass(slots=True)
class Door:
    """The places of all connections.

    Attributes:
        quota: the bounds.
        cut: idle connections cut for a newcomer since the start.
    """

    quota: Quota
    cut: int = 0
    _reserve: Quota = field(default_factory=lambda: Quota(RESERVE, RESERVE_EACH))
    _idle: IdlePlaces = field(default_factory=IdlePlaces)
    _idle_reserve: IdlePlaces = field(default_factory=IdlePlaces)

    @property
    def taken(self) -> int:
        """Connections now, the reserve included."""
        return self.quota.taken + self._reserve.taken

    @property
    def idle(self) -> int:
        """Connections that may be cut for a newcomer."""
        return len(self._idle)

    def enter(
        self, network: str, cut: Callable[[], None], *, proxy: bool = False
    ) -> tuple[Place | None, str | None]:
        """Give a newcomer a place; it is idle at first.

        Args:
            network: where it comes from (`icey.network.network_of`).
            cut: cuts the connection; called at most once, by another's `enter`.
            proxy: whether it is a trusted proxy's.

        Returns:
            The place, None where even the reserve is full; and the bound that is exceeded,
            ``"each"`` or ``"total"``, where the place is not an ordinary one.
        """
        counted = "" if proxy else network
        bound = self._exceeded(counted, proxy=proxy)
        if bound == "each" and self._make_room(self._idle.longest_of(counted)):
            bound = self._exceeded(counted, proxy=proxy)
        if bound == "total" and self._make_room(self._idle.longest()):
            bound = None
        if bound is None:
            place = Place(counted, cut, proxy=proxy)
            self.quota.take(counted)
        else:
            full = self._reserve.exceeded(network)
            idle = self._idle_reserve
            victim = idle.longest_of(network) if full == "each" else idle.longest()
            if full is not None and not self._make_room(victim):
                return None, bound
            place = Place(network, cut, reserved=True)
            self._reserve.take(network)
        self.rest(place)
        return place, bound

    def leave(self, place: Place) -> None:
        """Give a place back. Idempotent."""
        if place.gone:
            return
        self.work(place)
        place.gone = True
        (self._reserve if place.reserved else self.quota).give_back(place.network)

    def rest(self, place: Place) -> None:
        """Count a connection as idle: it waits for its client. Idempotent."""
        if not (place.idle or place.proxy or place.gone):
            place.idle = True
            (self._idle_reserve if place.reserved else self._idle).add(place)

    def work(self, place: Place) -> None:
        """Count a connection as one that is served. Idempotent."""
        if place.idle:
            place.idle = False
            (self._idle_reserve if place.reserved else self._idle).remove(place)

    def _exceeded(self, network: str, *, proxy: bool) -> str | None:
        bound = self.quota.exceeded(network)
        if proxy and bound == "each":
            return "total" if 0 < self.quota.total <= self.quota.taken else None
        return bound

    def _make_room(self, victim: Place | None) -> bool:
        if victim is None:
            return False
        self.leave(victim)
        self.cut += 1
        victim.cut()
        return True
