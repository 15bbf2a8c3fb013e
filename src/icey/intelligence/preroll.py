"""The last seconds of an encoded stream, from which clips begin before their event. Pure."""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from dataclasses import dataclass, field
from itertools import islice
from typing import Literal

MAX_BYTES = 32 << 20
"""Bytes kept of a stream at most; 32 MiB are two minutes at 2 Mb/s."""


@dataclass(frozen=True, slots=True)
class Unit:
    """An access unit (Annex B) or an Opus packet.

    Attributes:
        kind: picture or sound.
        data: the encoded bytes.
        at_ns: when it was due, on the clock of the stream; does not go back.
        keyframe: whether it stands alone; of sound it means nothing.
    """

    kind: Literal["video", "audio"]
    data: bytes
    at_ns: int
    keyframe: bool = False


@dataclass(slots=True)
class _Group:
    """A keyframe and all units up to the next one."""

    at_ns: int
    units: list[Unit] = field(default_factory=list)
    size: int = 0


class PreRoll:
    """A ring of groups of pictures; units before the first keyframe are not kept.

    Where a single group is larger than there is room, all of it goes, as its end is worth nothing
    without its beginning; the ring goes on at the next keyframe.

    Args:
        keep_ns: what must be there at any time, ns back from the newest unit.
        max_bytes: what is kept at most.
    """

    def __init__(self, keep_ns: int, max_bytes: int = MAX_BYTES) -> None:
        self._keep_ns = keep_ns
        self._max_bytes = max_bytes
        self._groups: deque[_Group] = deque()
        self.size = 0
        self.overflows = 0
        """Times a group had to go because it was too large."""

    @property
    def newest_keyframe_ns(self) -> int | None:
        """When the newest keyframe was due; None without any."""
        return self._groups[-1].at_ns if self._groups else None

    def add(self, unit: Unit) -> None:
        """Append a unit, and drop the groups that are not needed any more."""
        groups = self._groups
        if unit.kind == "video" and unit.keyframe:
            groups.append(_Group(unit.at_ns))
        elif not groups:
            return
        newest = groups[-1]
        newest.units.append(unit)
        newest.size += len(unit.data)
        self.size += len(unit.data)
        # The first group may go once the second one reaches back far enough.
        while len(groups) > 1 and (
            groups[1].at_ns <= unit.at_ns - self._keep_ns or self.size > self._max_bytes
        ):
            self.size -= groups.popleft().size
        if self.size > self._max_bytes:
            groups.clear()
            self.size = 0
            self.overflows += 1

    def since(self, at_ns: int) -> list[Unit]:
        """Return all units from the newest keyframe at or before a time, else all there are."""
        later = bisect_right(self._groups, at_ns, key=lambda group: group.at_ns)
        groups = islice(self._groups, max(0, later - 1), None)
        return [unit for group in groups for unit in group.units]
