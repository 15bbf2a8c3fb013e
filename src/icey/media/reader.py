"""What all sources look like to a pipeline."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from fractions import Fraction

    from icey.media.scale import Matrix

__all__ = ["Reader"]


class Reader(Protocol):
    """Fills a `MediaBuffer` with pictures, sized and on media time, and with sound.

    Used by one thread at a time. `step` does a small piece of work, so that whoever calls it
    can send what is due in between.

    Attributes:
        rate: frames a second that it gives, at most.
        matrix: what U and V of its pictures mean.
        passthrough: it gives access units instead of pictures.
        threaded: `step` may block, so it runs in a thread of its own.
        immediate: what it gives happened just now and is not to wait for its time.
        decoded: pictures decoded.
        still: what to show where the source has no pictures at all; "" where it has.
    """

    rate: Fraction
    matrix: Matrix
    passthrough: bool
    threaded: bool
    immediate: bool
    decoded: int
    still: str

    def open(self) -> None:
        """Open the source, or open it anew. Blocks.

        Raises:
            SourceError: it cannot be opened.
        """

    def step(self, now_ns: int) -> bool:
        """Read, decode or draw a little; returns whether there was anything to do.

        Args:
            now_ns: the media time.

        Raises:
            SourceError: the source failed.
        """

    def next_step_ns(self) -> int | None:
        """Return when `step` has something to do even if nothing was taken from the buffer."""

    def lagging(self, *, behind: bool) -> None:
        """Take note that pictures come too late, or no longer."""

    def close(self) -> None:
        """Free everything; harmless when closed."""
