"""The demo as a source: each picture is drawn at the moment at which it is due."""

from __future__ import annotations

import time
from collections import deque
from fractions import Fraction
from typing import TYPE_CHECKING

from icey.media.buffer import MediaBuffer, Shown
from icey.media.demo import DemoPicture, demo_sound
from icey.media.reader import Reader
from icey.media.timebase import SECOND_NS, FrameGrid

if TYPE_CHECKING:
    from icey.config.model import MediaSettings


class DemoReader(Reader):
    """A `Reader` of ``demo:``; nothing can go wrong with it, and it is live."""

    threaded = False
    immediate = True

    def __init__(self, media: MediaSettings, buffer: MediaBuffer) -> None:
        self.rate = Fraction(media.video.fps)
        self._size = media.video.width, media.video.height
        self._sound = demo_sound(media.audio.sample_rate, media.audio.channels)
        self._block = media.audio.sample_rate // 50
        self._buffer = buffer
        self._grid = FrameGrid(self.rate)
        self._picture: DemoPicture | None = None
        self._blocks = 0

    def open(self) -> None:
        """Draw what stays the same in all pictures."""
        self._picture = DemoPicture(*self._size)

    def step(self, now_ns: int) -> bool:
        """Draw the picture that is due, and give the sound up to now."""
        worked = False
        while self._blocks * SECOND_NS // 50 <= now_ns:
            at = self._blocks * self._block % len(self._sound)
            self._buffer.put_sound(
                self._blocks * SECOND_NS // 50, self._sound[at : at + self._block]
            )
            self._blocks += 1
            worked = True
        due = self._grid.time(self._grid.next_tick)
        if due <= now_ns and self._picture is not None and self._buffer.picture_room:
            # Ticks that went by while the machine was busy are not drawn: they would be late.
            ticks = self._grid.cover(now_ns + self._grid.time(1) // 2)
            tick = ticks[-1]
            picture = self._picture.draw(self._grid.time(tick), time.time_ns() // 1_000_000)
            self._buffer.put_picture(Shown(picture, deque([self._grid.time(tick)])))
            worked = True
        return worked

    def next_step_ns(self) -> int | None:
        """Return when the next picture or block of sound is due."""
        return min(self._blocks * SECOND_NS // 50, self._grid.time(self._grid.next_tick))

    def lagging(self, *, behind: bool) -> None:
        """Do nothing: late pictures are not drawn in the first place."""

    def close(self) -> None:
        """Free the picture."""
        self._picture = None
