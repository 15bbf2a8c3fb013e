"""What a pipeline reports about its source. Told from media threads, in the order it happened."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

__all__ = [
    "PipelineEvent",
    "PipelineStats",
    "SourceBroken",
    "SourceEnded",
    "SourceLost",
    "SourceRestored",
    "State",
]


@dataclass(frozen=True)
class SourceLost:
    """A live source failed; viewers keep its last picture, with a note, until it is back.

    Attributes:
        detail: what FFmpeg or the system said.
        retry_in_s: seconds until it is opened again.
    """

    detail: str
    retry_in_s: float


@dataclass(frozen=True)
class SourceRestored:
    """A lost live source gives pictures or sound again."""


@dataclass(frozen=True)
class SourceEnded:
    """A file that does not loop was played to its end. Nothing follows."""

    @property
    def reason(self) -> str:
        """The words for ``call:hangup``."""
        return "source ended"


@dataclass(frozen=True)
class SourceBroken:
    """A file cannot be played on. Nothing follows.

    Attributes:
        reason: fit for ``call:hangup``: names the file, without its folder, and what FFmpeg said.
    """

    reason: str


PipelineEvent: TypeAlias = SourceLost | SourceRestored | SourceEnded | SourceBroken

State: TypeAlias = Literal["new", "opening", "ready", "playing", "ended", "broken", "stopped"]


@dataclass(frozen=True)
class PipelineStats:
    """Counters of a pipeline; all but `bitrate`, `lanes` and `state` only grow.

    Attributes:
        state: what it is doing.
        frames_encoded: access units pushed, over all lanes.
        frames_dropped: pictures not sent: the source is faster than ``media.video.fps``, a live
            source's queue was full, or the machine too slow.
        frames_repeated: pictures sent again because no new one came.
        restarts: times a live source was opened again.
        lanes: encoders now.
        bitrate: what the encoders aim at now, bit/s, all together.
    """

    state: State
    frames_encoded: int
    frames_dropped: int
    frames_repeated: int
    restarts: int
    lanes: int
    bitrate: int
