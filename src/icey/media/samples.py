"""Sound on media time: any run of samples in, an unbroken line of 20 ms blocks out."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import numpy as np

from icey.media.timebase import SECOND_NS

if TYPE_CHECKING:
    from numpy.typing import NDArray


class SampleLine:
    """A queue of samples without holes: gaps become silence, overlaps are cut off.

    Decoders round their times, so a run that starts within `TOLERANCE_NS` of the line's end just
    continues it. The queue holds `limit_ns` at most; beyond that the oldest samples are dropped.

    Args:
        rate: samples a second.
        channels: 1 or 2.
        limit_ns: what may wait, ns.

    Attributes:
        started: whether any sound ever came.
    """

    TOLERANCE_NS = 20_000_000

    def __init__(self, rate: int, channels: int, *, limit_ns: int = 2 * SECOND_NS) -> None:
        self.rate = rate
        self.block = rate // 50
        self._channels = channels
        self._limit = limit_ns * rate // SECOND_NS
        self._runs: deque[NDArray[np.int16] | int] = deque()  # samples, or a count of silence
        self._head = 0  # index of the first waiting sample; sample n is due at n / rate s
        self._end = 0
        self.started = False

    @property
    def head_ns(self) -> int:
        """When the first waiting sample is due, media ns."""
        return self._head * SECOND_NS // self.rate

    @property
    def end_ns(self) -> int:
        """When the line ends, media ns."""
        return self._end * SECOND_NS // self.rate

    @property
    def level_ns(self) -> int:
        """How much waits, ns."""
        return (self._end - self._head) * SECOND_NS // self.rate

    @property
    def ready(self) -> bool:
        """Whether a whole block waits."""
        return self._end - self._head >= self.block

    def put(self, media_ns: int, samples: NDArray[np.int16]) -> None:
        """Append samples, an array of shape (n, channels), that are due at `media_ns`."""
        if not len(samples):
            return
        start = self._index(media_ns)
        if not self.started:
            self.started = True
            self._head = self._end = max(start, 0)
        gap = start - self._end
        if abs(gap) > self._index(self.TOLERANCE_NS):
            if gap > 0:
                self._append(gap)
            else:
                samples = samples[-gap:]
        if len(samples):
            self._append(samples)
        self._trim_head(self._end - self._limit)

    def fill(self, until_ns: int) -> None:
        """Continue a started line with silence up to a time, if it ends before."""
        gap = self._index(until_ns) - self._end
        if self.started and gap > 0:
            self._append(gap)
            self._trim_head(self._end - self._limit)

    def cut(self, media_ns: int) -> None:
        """Drop what waits beyond a time."""
        surplus = min(self._end - self._index(media_ns), self._end - self._head)
        while surplus > 0:
            run = self._runs.pop()
            count = _length(run)
            self._end -= count
            if count > surplus:
                self._append(run - surplus if isinstance(run, int) else run[: count - surplus])
            surplus -= count

    def skip(self, media_ns: int) -> None:
        """Drop what is due before a time."""
        self._trim_head(self._index(media_ns))

    def take(self) -> tuple[int, NDArray[np.int16]]:
        """Remove the first block. Only where `ready`.

        Returns:
            Its media time, ns, and an array of shape (block, channels).
        """
        due = self.head_ns
        parts = self._remove(self.block)
        if len(parts) == 1 and not isinstance(parts[0], int):
            return due, parts[0]
        silence = self._channels
        return due, np.concatenate(
            [np.zeros((p, silence), np.int16) if isinstance(p, int) else p for p in parts]
        )

    def _index(self, media_ns: int) -> int:
        return (media_ns * self.rate + SECOND_NS // 2) // SECOND_NS

    def _append(self, run: NDArray[np.int16] | int) -> None:
        self._runs.append(run)
        self._end += _length(run)

    def _trim_head(self, index: int) -> None:
        surplus = min(index - self._head, self._end - self._head)
        if surplus > 0:
            self._remove(surplus)

    def _remove(self, count: int) -> list[NDArray[np.int16] | int]:
        parts: list[NDArray[np.int16] | int] = []
        self._head += count
        while count:
            run = self._runs.popleft()
            length = _length(run)
            if length > count:
                self._runs.appendleft(run - count if isinstance(run, int) else run[count:])
                run = count if isinstance(run, int) else run[:count]
                length = count
            parts.append(run)
            count -= length
        return parts


def _length(run: NDArray[np.int16] | int) -> int:
    return run if isinstance(run, int) else len(run)
