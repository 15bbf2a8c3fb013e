"""The interface of a detector: what a user writes, what it is given and what it returns.

A detector is made once for each stream (``Detector(**options)``) and called by one thread only,
one sample after the other. It may be slow: samples that come meanwhile are dropped, never the
stream's own. It may keep state between calls. What it raises is counted and logged; after
`icey.intelligence.branch.MAX_FAILURES` failures in a row it is switched off.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

_NOTHING: Mapping[str, object] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Region:
    """A rectangle in a picture, in fractions of it: 0 to 1, from the upper left corner."""

    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Detection:
    """Something that a detector found.

    Attributes:
        label: what it is: ``motion``, ``person``, ``glass``.
        confidence: how sure the detector is, 0 to 1.
        region: where in the picture; None is everywhere, or nowhere in particular.
        track_id: the same for the same thing in one picture and the next; empty where the detector
            does not follow things.
        data: more about it; whatever JSON can hold.
    """

    label: str
    confidence: float
    region: Region | None = None
    track_id: str = ""
    data: Mapping[str, object] = field(default_factory=lambda: _NOTHING)


@dataclass(frozen=True, slots=True)
class FrameContext:
    """A picture's source, time and size.

    Attributes:
        source: the source as anyone may see it: no user, password or absolute path.
        frame: the number of the picture in its stream, from 0.
        timestamp_usec: its media time: microseconds since the stream began.
        received_at_usec: when it was due, microseconds since 1970.
        width: pixels of the picture that the detector gets.
        height: pixels.
        options: the ``options`` of this detector's entry in the configuration.
    """

    source: str
    frame: int
    timestamp_usec: int
    received_at_usec: int
    width: int
    height: int
    options: Mapping[str, object] = field(default_factory=lambda: _NOTHING)


@dataclass(frozen=True, slots=True)
class SoundContext:
    """The source, time and format of a run of sound.

    Attributes:
        source: the source as anyone may see it.
        sequence: the number of the run in its stream, from 0.
        timestamp_usec: the media time of its first sample, microseconds since the stream began.
        received_at_usec: when it was due, microseconds since 1970.
        sample_rate: samples a second of one channel.
        channels: 1 or 2.
        options: the ``options`` of this detector's entry in the configuration.
    """

    source: str
    sequence: int
    timestamp_usec: int
    received_at_usec: int
    sample_rate: int
    channels: int
    options: Mapping[str, object] = field(default_factory=lambda: _NOTHING)


@runtime_checkable
class Detector(Protocol):
    """Detects things in pictures."""

    def process(self, frame: NDArray[np.uint8], context: FrameContext) -> list[Detection]:
        """Return what is in a picture: RGB, of shape (height, width, 3), not to be written to."""


@runtime_checkable
class SoundDetector(Protocol):
    """Detects things in sound."""

    def process(self, samples: NDArray[np.float32], context: SoundContext) -> list[Detection]:
        """Return what is in a run of sound: samples from -1 to 1, of shape (n, channels)."""
