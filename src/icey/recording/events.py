"""The events of a recorder, which come from its thread."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class RecordingStarted:
    """A file is open; ``name`` is what it will be called when it is finished."""

    name: str


@dataclass(frozen=True, slots=True)
class RecordingFinished:
    """A file has its final name and is complete; ``seconds`` is its duration."""

    name: str
    seconds: float


@dataclass(frozen=True, slots=True)
class RecordingDelayed:
    """A file cannot be finished for now, and is tried again.

    `RecordingFinished` or `RecordingLost` follows. ``reason`` is for the caller.
    """

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class RecordingLost:
    """A file was given up, and stays for a repair of its folder. ``reason`` is for the caller."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class RecordingTroubled:
    """None of the pictures that come can be recorded; ``reason`` is for the caller."""

    reason: str


@dataclass(frozen=True, slots=True)
class RecordingBounded:
    """A bound of the call is reached, by its name among the refusals; its file is finished."""

    bound: str
    reason: str


@dataclass(frozen=True, slots=True)
class RecordingFailed:
    """Nothing more is recorded; ``reason`` is for the caller and names no path of the server."""

    reason: str


@dataclass(frozen=True, slots=True)
class RecordingEnded:
    """The recorder's thread is done; the last event of every recorder."""


RecordingEvent: TypeAlias = (
    RecordingStarted
    | RecordingFinished
    | RecordingDelayed
    | RecordingLost
    | RecordingTroubled
    | RecordingBounded
    | RecordingFailed
    | RecordingEnded
)
