"""Chooses the recordings to remove, by their age and by their total size."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


@dataclass(frozen=True, slots=True)
class Kept:
    """A finished recording, as retention sees it; those of one owner fill its share."""

    name: str
    start: datetime
    size_bytes: int
    owner: str = ""


def to_remove(
    recordings: Iterable[Kept], *, max_age_seconds: int, max_total_bytes: int, now: datetime
) -> list[str]:
    """Name the recordings to remove, oldest first.

    Args:
        recordings: finished ones only.
        max_age_seconds: since the start of a recording; 0 keeps them however old.
        max_total_bytes: of all that stay; 0 is no limit. What is too much is taken from the owner
            who has most, oldest first, so that nobody loses a recording because another one fills
            the folder. The newest stays, as somebody has just recorded it, unless that alone has
            more than half while there are other owners.
        now: aware.
    """
    oldest_first = sorted(recordings, key=lambda r: (r.start, r.name))
    limit = now - timedelta(seconds=max_age_seconds)
    gone = [r for r in oldest_first if max_age_seconds > 0 and r.start < limit]
    kept = oldest_first[len(gone) :]
    if max_total_bytes > 0:
        gone += _too_much(kept, max_total_bytes)
    return [recording.name for recording in sorted(gone, key=lambda r: (r.start, r.name))]


def _too_much(kept: Sequence[Kept], most: int) -> list[Kept]:
    """Choose what goes of recordings, oldest first, so that the rest has at most so many bytes."""
    if not kept:
        return []
    shares: dict[str, deque[Kept]] = {}
    for recording in kept:
        shares.setdefault(recording.owner, deque()).append(recording)
    newest = kept[-1]
    if len(shares) == 1 or newest.size_bytes * 2 <= most:
        shares[newest.owner].pop()
    sizes = Counter[str]()
    for recording in kept:
        sizes[recording.owner] += recording.size_bytes
    gone = []
    while sizes.total() > most:
        candidates = [owner for owner, files in shares.items() if files]
        if not candidates:
            break
        # Of two with the same, the one with the older file.
        owner = max(candidates, key=lambda o: (sizes[o], -shares[o][0].start.timestamp()))
        recording = shares[owner].popleft()
        sizes[owner] -= recording.size_bytes
        gone.append(recording)
    return gone
