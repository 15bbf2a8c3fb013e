"""Sums the counters of branches over detectors and streams, for ``/api/status``."""

from __future__ import annotations

from collections import Counter
from copy import deepcopy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from icey.intelligence.branch import BranchStatus

_COUNTS = ("seen", "sampled", "dropped", "processed", "emitted", "failed")


@dataclass(slots=True)
class TallyGroup:
    """The counters of vision, or of speech.

    Attributes:
        detectors: the counters of each detector, by its name.
        off: why detectors were switched off, by their names.
        last_score: the last score of motion, or level of sound; None before the first.
        last_latency_usec: from the moment that a frame was sent until its event was; None before
            the first.
    """

    detectors: dict[str, Counter[str]] = field(default_factory=dict)
    off: dict[str, str] = field(default_factory=dict)
    last_score: float | None = None
    last_latency_usec: int | None = None

    @property
    def counts(self) -> dict[str, int]:
        """The sums over all detectors, by name."""
        detectors = self.detectors.values()
        return {name: sum(counts[name] for counts in detectors) for name in _COUNTS}

    def add(self, status: BranchStatus) -> None:
        """Add the counters of a branch."""
        counts = {name: getattr(status, name) for name in _COUNTS}
        self.detectors.setdefault(status.name, Counter()).update(counts)
        if status.off:
            self.off[status.name] = status.off

    def merge(self, other: TallyGroup) -> None:
        """Add the counters of another stream; its last values count, where it has any."""
        for name, counts in other.detectors.items():
            self.detectors.setdefault(name, Counter()).update(counts)
        self.off |= other.off
        if other.last_score is not None:
            self.last_score = other.last_score
        if other.last_latency_usec is not None:
            self.last_latency_usec = other.last_latency_usec

    def to_json(self) -> dict[str, Any]:
        """Return the counters as the API shows them."""
        score = self.last_score
        return {
            **self.counts,
            "lastScore": None if score is None else round(score, 4),
            "lastLatencyUsec": self.last_latency_usec,
            "detectors": [
                {"name": name, **counts, "off": self.off.get(name, "")}
                for name, counts in self.detectors.items()
            ],
        }


@dataclass(slots=True)
class Tally:
    """All counters. ``undecoded``: access units of passed-through sources left out."""

    vision: TallyGroup = field(default_factory=TallyGroup)
    speech: TallyGroup = field(default_factory=TallyGroup)
    undecoded: int = 0

    def copy(self) -> Tally:
        """Return an independent copy."""
        return deepcopy(self)

    def merge(self, other: Tally) -> None:
        """Add another stream's counters."""
        self.vision.merge(other.vision)
        self.speech.merge(other.speech)
        self.undecoded += other.undecoded
