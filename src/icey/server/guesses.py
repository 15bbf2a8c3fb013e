"""Slows down who guesses the access token: so many wrong ones by network, then one now and then.

The same wrong token again is no guess, as nothing is learnt by it: a page with an old token that
tries again and again does not lock out its neighbours.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass, field

BURST = 20
"""Wrong tokens of one network at once."""

EACH_S = 5.0
"""Seconds until a network may try one more."""

REMEMBERED = 8
"""Different wrong tokens of a network of which a repetition is not counted."""

MAX_NETWORKS = 4096
"""Networks remembered; the one that was quiet longest is forgotten."""


@dataclass(slots=True)
class _Guesser:
    level: float
    updated: float
    recent: deque[bytes] = field(default_factory=lambda: deque(maxlen=REMEMBERED))


class Guesses:
    """The wrong tokens of each network. Pure: ``now`` is passed in, seconds, monotonic."""

    def __init__(self) -> None:
        self._guessers: OrderedDict[str, _Guesser] = OrderedDict()

    def wait_s(self, network: str, now: float) -> float:
        """Return how long this network must wait until a token of it is looked at, seconds."""
        guesser = self._guessers.get(network)
        if guesser is None:
            return 0.0
        self._refill(guesser, now)
        return max(0.0, 1.0 - guesser.level) * EACH_S

    def wrong(self, network: str, digest: bytes, now: float) -> bool:
        """Note a wrong token.

        Args:
            network: who showed it (`icey.network.network_of`).
            digest: a hash of it.
            now: the time.

        Returns:
            Whether it counts as a guess.
        """
        guesser = self._guessers.setdefault(network, _Guesser(float(BURST), now))
        self._guessers.move_to_end(network)
        if len(self._guessers) > MAX_NETWORKS:
            self._guessers.popitem(last=False)
        self._refill(guesser, now)
        if digest in guesser.recent:
            return False
        guesser.recent.append(digest)
        guesser.level -= 1.0
        return True

    def _refill(self, guesser: _Guesser, now: float) -> None:
        elapsed = max(0.0, now - guesser.updated)
        guesser.level = min(float(BURST), guesser.level + elapsed / EACH_S)
        guesser.updated = max(now, guesser.updated)
