"""Chooses the recordings to remove, by their age and by their total size."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True, slots=True)
class Kept:
    """A finished recording, as retention sees it."""

    name: str
    start: datetime
    size_bytes: int


def to_remove(
    recordings: Iterable[Kept], *, max_age_seconds: int, max_total_bytes: int, now: datetime
) -> list[str]:
    """Name the recordings to remove, oldest first.

    Args:
        recordings: finished ones only.
        max_age_seconds: since the start of a recording; 0 keeps them however old.
        max_total_bytes: of all that stay; 0 is no limit. The newest stays in any case: it is what
            somebody has just recorded.
        now: aware.
    """
    newest_first = sorted(recordings, key=lambda r: (r.start, r.name), reverse=True)
    limit = now - timedelta(seconds=max_age_seconds)
    total = 0
    gone = []
    for index, recording in enumerate(newest_first):
        total += recording.size_bytes
        too_old = max_age_seconds > 0 and recording.start < limit
        # With one that is too much, all that are older go: the last days stay without a hole.
        too_much = max_total_bytes > 0 and total > max_total_bytes
        if too_old or (too_much and index > 0):
            gone.append(recording.name)
    return gone[::-1]
