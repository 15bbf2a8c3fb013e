"""What waits between the reader of a source and the pipeline that sends: pictures and sound.

Bounded both ways. A file's reader looks at `picture_room` and `sound_room` before it decodes; a
live source cannot wait, so its oldest picture makes room.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from icey.media.samples import SampleLine

if TYPE_CHECKING:
    import av
    import numpy as np
    from numpy.typing import NDArray

    from icey.errors import SourceError
    from icey.media.passthrough import AccessUnit

PICTURES = 2
"""Pictures that may wait: 67 ms at 30 fps, which covers a rewind (5 ms), and 2.8 MB a viewer at
720p, to which the picture that is held back to learn its length adds a third."""

UNITS = 60
"""Access units of a passed-through live source that may wait: 2 s at 30 fps."""

SOUND_NS = 150_000_000
"""Sound that a file's reader decodes ahead, ns."""


@dataclass(slots=True)
class Shown:
    """A picture and the media times at which it is to be sent, ns, one after the other."""

    picture: av.VideoFrame | AccessUnit
    times: deque[int]


class MediaBuffer:
    """Shared by a reader and a pipeline, maybe in two threads.

    Attributes:
        changed: notified whenever something came; guards all the rest.
        epoch_ns: when media time 0 is, on `time.monotonic_ns`'s clock.
        slip_ns: how much later than that a source is sent that fell behind, ns.
        sound_lag_ns: how much earlier than its arrival a live source's sound is placed, ns, so that
            it fits the pictures.
        picture_lag_ns: the same of pictures.
        ended: nothing more will come.
        failure: why nothing more will come, where that is no end.
        retry_at_ns: while a live source is away, the media time of the next try; else None.
        stopping: the pipeline was told to stop.
        dropped: pictures and access units that found no room, since the start.
    """

    def __init__(self, rate: int, channels: int) -> None:
        self.changed = threading.Condition()
        self.sound = SampleLine(rate, channels)
        self.pictures: deque[Shown] = deque()
        self.epoch_ns = time.monotonic_ns()
        self.slip_ns = 0
        self.sound_lag_ns = self.picture_lag_ns = 0
        self.ended = False
        self.failure: SourceError | None = None
        self.retry_at_ns: int | None = None
        self.stopping = False
        self.dropped = 0

    def now_ns(self) -> int:
        """Return the media time, ns."""
        return time.monotonic_ns() - self.epoch_ns

    @property
    def picture_room(self) -> bool:
        """Whether another picture may be decoded ahead."""
        return len(self.pictures) < PICTURES

    @property
    def sound_room(self) -> bool:
        """Whether more sound may be decoded ahead."""
        return self.sound.level_ns < SOUND_NS

    def put_picture(self, shown: Shown, *, drop_oldest: bool = False) -> None:
        """Append a picture; `drop_oldest` is for those who cannot wait for room."""
        with self.changed:
            if drop_oldest and not self.picture_room:
                self.pictures.popleft()
                self.dropped += 1
            self.pictures.append(shown)
            self.changed.notify_all()

    def put_sound(self, media_ns: int, samples: NDArray[np.int16]) -> None:
        """Append samples, an array of shape (n, channels)."""
        with self.changed:
            self.sound.put(media_ns, samples)
            self.changed.notify_all()

    def put_unit(self, unit: AccessUnit, media_ns: int) -> bool:
        """Append an access unit of a live source; returns whether there was room.

        Where there is none, all that wait are dropped: what follows needs them, and only a
        keyframe helps.
        """
        with self.changed:
            if len(self.pictures) >= UNITS:
                self.dropped += len(self.pictures)
                self.pictures.clear()
                return False
            self.pictures.append(Shown(unit, deque([media_ns])))
            self.changed.notify_all()
            return True

    def end(self, failure: SourceError | None = None) -> None:
        """Say that nothing more will come, and why, where it is not the source's end."""
        with self.changed:
            self.ended = True
            self.failure = failure
            self.changed.notify_all()
