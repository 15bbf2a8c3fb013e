"""Finishes files, and tries again where the system refuses for a moment.

A process out of descriptors, a disk that is full until somebody else's file is gone: a file that is
whole deserves a second try. What cannot be had in the end stays as a part, unlocked, for
`icey.storage.repair`. For the one thread that writes the files; nothing here waits by itself.
"""

from __future__ import annotations

import errno
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from icey.errors import RecordingError
from icey.storage.disk import explained

if TYPE_CHECKING:
    from collections.abc import Callable

    from icey.storage.take import FinishedFile, Take

log = logging.getLogger(__name__)

PAUSES_S = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 15.0)
"""The waits before each further try, s; less in all than the end of the server allows for."""

PASSING = frozenset(
    {
        errno.EMFILE,
        errno.ENFILE,
        errno.ENOMEM,
        errno.ENOSPC,
        errno.EDQUOT,
        errno.EAGAIN,
        errno.EINTR,
        errno.EBUSY,
    }
)
"""What may be over in a moment. After another error a file that is whole is saved as it is."""


@dataclass(frozen=True, slots=True)
class Saved:
    """A file that has no proper end was saved as far as it plays; None where nothing of it does."""

    file: FinishedFile | None
    reason: str


@dataclass(frozen=True, slots=True)
class Delayed:
    """A file could not be finished for now, for this reason; said once a file."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Lost:
    """A file was given up: it stays as a part. The reason is for the caller."""

    name: str
    reason: str


@dataclass(slots=True)
class _Waiting:
    take: Take
    due: float
    quickly: bool
    tries: int = 1


class Closing:
    """The files of one writer that are to be finished.

    Args:
        tell: takes a finished file, and what is `Saved`, `Delayed` or `Lost`.
    """

    def __init__(self, tell: Callable[[Outcome], None]) -> None:
        self._tell = tell
        self._waiting: list[_Waiting] = []

    @property
    def waiting(self) -> int:
        """How many wait for another try."""
        return len(self._waiting)

    @property
    def due(self) -> float | None:
        """When the next try is; None where nothing waits."""
        return min((waiting.due for waiting in self._waiting), default=None)

    def finish(self, take: Take, now: float, *, quickly: bool = False) -> None:
        """Finish a file; where that fails, try again from `step`.

        Args:
            take: nothing is written to it any more.
            now: seconds, from a monotonic clock.
            quickly: as of `Take.finish`.
        """
        reason = self._try(take, quickly=quickly)
        if reason is not None:
            self._waiting.append(_Waiting(take, now + PAUSES_S[0], quickly))
            self._tell(Delayed(take.name, reason))

    def step(self, now: float) -> None:
        """Try again what is due; give up what was tried often enough."""
        for waiting in [w for w in self._waiting if w.due <= now]:
            last = waiting.tries >= len(PAUSES_S)
            reason = self._try(waiting.take, quickly=waiting.quickly, at_any_price=last)
            if reason is None:
                self._waiting.remove(waiting)
            elif last:
                self._waiting.remove(waiting)
                waiting.take.release()
                self._tell(Lost(waiting.take.name, reason))
            else:
                waiting.due = now + PAUSES_S[waiting.tries]
                waiting.tries += 1

    def _try(self, take: Take, *, quickly: bool, at_any_price: bool = False) -> str | None:
        """Finish a file, or save what can be played of it; say why where neither can be now."""
        try:
            self._tell(take.finish(quickly=quickly))
        except (OSError, RecordingError) as error:
            log.info("%s cannot be finished: %s", take.part.name, error)
            reason = str(explained(error) if isinstance(error, OSError) else error)
            passes = isinstance(error, OSError) and error.errno in PASSING
            if take.is_whole and passes and not at_any_price:
                return reason
        else:
            return None
        try:
            saved = take.rescue()
        except OSError as error:
            log.info("%s cannot be saved: %s", take.part.name, error)
            return str(explained(error))
        self._tell(Saved(saved, reason))
        return None


Outcome: TypeAlias = "FinishedFile | Saved | Delayed | Lost"
