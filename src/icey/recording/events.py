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
class RecordingFailed:
    """Nothing more is recorded; ``reason`` is for the caller and names no path of the server."""

    reason: str


@dataclass(frozen=True, slots=True)
class RecordingEnded:
    """The recorder's thread is done; the last event of every recorder."""


RecordingEvent: TypeAlias = RecordingStarted | RecordingFinished | RecordingFailed | RecordingEnded
