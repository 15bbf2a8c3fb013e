"""A branch: one thread beside a stream that handles samples, and can never slow the stream.

::

    media thread: offer ─▶ sampler ─▶ queue (the oldest gives way) ─▶ branch thread: handle ─▶ emit

Contract: `Branch.offer` is called from one media thread and costs it a comparison, an append and
a lock that is never held while anything is worked on. A sample is a reference; nobody writes to
what it refers to. What the handler raises is counted and logged; after `MAX_FAILURES` in a row
the branch is off: it takes no samples any more, and says why in `BranchStatus.off`.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from icey.intelligence.sampler import Sampler

log = logging.getLogger(__name__)

MAX_FAILURES = 5
"""Failures in a row after which a branch is switched off."""

Sample = TypeVar("Sample")
Output = TypeVar("Output")


@dataclass(slots=True)
class BranchStatus:
    """The counters of a branch, which only grow, and whether it is off.

    Attributes:
        name: the detector.
        seen: frames offered.
        sampled: frames chosen by the sampler.
        dropped: chosen ones thrown away because the queue was full.
        processed: chosen ones that were looked at.
        emitted: what came out.
        failed: times the handler raised.
        off: why the branch is switched off; empty where it is not.
    """

    name: str
    seen: int = 0
    sampled: int = 0
    dropped: int = 0
    processed: int = 0
    emitted: int = 0
    failed: int = 0
    off: str = ""


class Branch(Generic[Sample, Output]):
    """A queue and a thread around a handler.

    Args:
        name: of the detector, for the log, the status and the thread.
        handle: looks at a sample, in the thread of the branch; it may be slow and may raise.
        emit: takes what `handle` gave, from that thread too.
        depth: samples that may wait.
        sampler: chooses; None takes every one.

    Attributes:
        status: the counters; only the branch writes them.
    """

    def __init__(
        self,
        name: str,
        handle: Callable[[Sample], Iterable[Output]],
        emit: Callable[[Output], None],
        *,
        depth: int,
        sampler: Sampler | None = None,
    ) -> None:
        self.status = BranchStatus(name)
        self._handle = handle
        self._emit = emit
        self._sampler = sampler
        self._queue: deque[Sample] = deque(maxlen=depth)
        self._changed = threading.Condition()  # guards the queue and `_stopping`
        self._stopping = False
        self._in_a_row = 0
        self._thread = threading.Thread(target=self._run, name=f"icey-{name}"[:15], daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Samples in the queue now."""
        return len(self._queue)

    def offer(self, sample: Sample, media_usec: int) -> None:
        """Queue a frame, if the sampler chooses it. Never blocks.

        Args:
            sample: what the handler gets.
            media_usec: its media time, for the sampler.
        """
        self.status.seen += 1
        if self.status.off or (self._sampler is not None and not self._sampler.accept(media_usec)):
            return
        self.status.sampled += 1
        with self._changed:
            if self._stopping:
                return
            self.status.dropped += len(self._queue) == self._queue.maxlen
            self._queue.append(sample)  # the oldest gives way
            self._changed.notify()

    def stop(self) -> None:
        """Handle no further sample. Returns at once, and interrupts no handler."""
        with self._changed:
            self._stopping = True
            self._queue.clear()
            self._changed.notify_all()

    def join(self, timeout_s: float) -> bool:
        """Wait for the thread after `stop`, for at most so long; return whether it ended."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while (sample := self._next()) is not None:
            self._work_on(sample)
            del sample  # a picture is a megabyte, and the next one may be long in coming

    def _next(self) -> Sample | None:
        with self._changed:
            while not self._queue and not self._stopping:
                self._changed.wait()
            return None if self._stopping else self._queue.popleft()

    def _work_on(self, sample: Sample) -> None:
        try:
            for output in self._handle(sample):
                if self._stopping:
                    return
                self.status.emitted += 1  # first: who has the event finds it counted
                self._emit(output)
        except BaseException as error:  # noqa: BLE001 - a user's detector may even call sys.exit
            self._fail(error)
        else:
            self.status.processed += 1
            self._in_a_row = 0

    def _fail(self, error: BaseException) -> None:
        self.status.failed += 1
        self._in_a_row += 1
        if self._in_a_row == 1:
            log.warning("detector %s failed", self.status.name, exc_info=error)
        if self._in_a_row < MAX_FAILURES:
            return
        # Its words may name folders of this machine, and the status is for other eyes.
        what = f"switched off after {self._in_a_row} failures in a row"
        self.status.off = f"{what} ({type(error).__name__}): see the log"
        log.error("detector %s is %s, the last:", self.status.name, what, exc_info=error)
        with self._changed:
            self._queue.clear()
