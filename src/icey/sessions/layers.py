"""Chooses the simulcast layer of a viewer. Pure: `now` is passed in.

A source may send its picture in several sizes at once. A viewer gets the best one that its path
carries: down at once when the path says so, up only after it has said so for a while.

A browser's own estimate (REMB) hardly grows beyond what it is sent, so it cannot say that the next
layer would fit. Where it has been at ease for `EASE_SECONDS`, the next layer is tried. The estimate
then needs its time (Chromium's grows by 8 % a second), so the try goes on for as long as it grows.
A try that fails is paid for with a pause that doubles each time.

At its start a viewer is probed (`Peer.probe`). So what its path is said to carry in the first
seconds is known, and the best layer that fits is taken at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

MARGIN = 1.1
"""A layer needs that much more than its own rate: headers, resends."""

EASE = 1.2
"""A viewer is at ease where its path carries that much more than its layer needs."""

CLIMB_SECONDS = 5.0
"""The next layer must have been in reach for so long."""

START_SECONDS = 5.0
"""For so long after the first estimate the best layer in reach is taken at once."""

EASE_SECONDS = 10.0
"""For so long a viewer must have been at ease before the next layer is tried."""

PATIENCE_SECONDS = 3.0
"""After a climb, an estimate that is too low for the layer must have grown within so long."""

GROWTH, FALL = 1.03, 0.9
"""Of the estimate in that time, by its highest so far: what counts as more, and as a full path."""

FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 10.0, 120.0
"""How long no layer is tried after one that was too much: doubled each time, up to the longest."""


@dataclass
class LayerChoice:
    """The layer of one viewer, as an index into the rates, lowest first.

    Attributes:
        layer: the one that it gets.
    """

    layer: int = 0
    _reach_since: float | None = None
    _ease_since: float | None = None
    _pause: float = FIRST_PAUSE_SECONDS
    _not_before: float = 0.0
    _grew_at: float | None = None
    _highest: int = 0
    _started_at: float | None = None

    def choose(self, rates: Sequence[int], path: int | None, now: float) -> int:
        """Choose a layer.

        Args:
            rates: bit/s of each layer that the source sends, lowest first; 0 for one that it
                holds back at the moment.
            path: bit/s that the viewer's path carries; None before it is known.
            now: seconds, from a monotonic clock.
        """
        there = [index for index, rate in enumerate(rates) if rate > 0]
        if not there:
            return self.layer
        if self.layer not in there:
            # The source has taken it back, or there is another source with fewer.
            below = [index for index in there if index < self.layer]
            self._move(below[-1] if below else there[0])
        if path is None:
            return self.layer
        if self._started_at is None:
            self._started_at = now
        if path < rates[self.layer] * MARGIN and not self._grows(path, now):
            fitting = [i for i in there if i < self.layer and rates[i] * MARGIN <= path]
            lowest = there[0]
            if self.layer != lowest:
                self._move(fitting[-1] if fitting else lowest)
                self._fail(now)
            self._reach_since = self._ease_since = None
            return self.layer
        above = [index for index in there if index > self.layer]
        if above:
            self._climb(above[0], rates, path, now)
        return self.layer

    def congested(self, now: float) -> None:
        """Packets of this viewer were thrown away: one layer down at once."""
        if self.layer > 0:
            self._move(self.layer - 1)
            self._fail(now)

    def _grows(self, path: int, now: float) -> bool:
        """Whether the estimate has grown ever since the last climb."""
        if self._grew_at is None:
            return False
        if path >= self._highest * GROWTH:
            self._grew_at, self._highest = now, path
        if path < self._highest * FALL or now - self._grew_at >= PATIENCE_SECONDS:
            self._grew_at = None
        return self._grew_at is not None

    def _climb(self, next_layer: int, rates: Sequence[int], path: int, now: float) -> None:
        if path >= rates[next_layer] * MARGIN:
            self._reach_since = now if self._reach_since is None else self._reach_since
        else:
            self._reach_since = None
        if path >= rates[self.layer] * MARGIN * EASE:
            self._ease_since = now if self._ease_since is None else self._ease_since
        else:
            self._ease_since = None
        if now < self._not_before:
            return
        if self._started_at is not None and now - self._started_at < START_SECONDS:
            fitting = [i for i, rate in enumerate(rates) if 0 < rate * MARGIN <= path]
            if fitting and fitting[-1] > self.layer:
                self._move(fitting[-1])
                return
        in_reach = self._reach_since is not None and now - self._reach_since >= CLIMB_SECONDS
        at_ease = self._ease_since is not None and now - self._ease_since >= EASE_SECONDS
        if in_reach or at_ease:
            self._move(next_layer)
            self._grew_at, self._highest = now, path

    def _move(self, layer: int) -> None:
        self.layer = layer
        self._grew_at = None
        self._reach_since = self._ease_since = None

    def _fail(self, now: float) -> None:
        self._not_before = now + self._pause
        self._pause = min(self._pause * 2, LONGEST_PAUSE_SECONDS)
