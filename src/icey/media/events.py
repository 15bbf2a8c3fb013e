"""What a pipeline reports about its source. Told from media threads, in the order it happened."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias


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
