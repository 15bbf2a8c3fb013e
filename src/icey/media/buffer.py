"""What waits between the reader of a source and the pipeline that sends: pictures and sound.

Bounded both ways. A file's reader looks at `picture_room` and `sound_room` before it decodes; a
live source cannot wait, so its oldest picture makes room, and is counted.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from icey.media.samples import SampleLine

if TYPE_CHECKING:
    import av
    import numpy as np
    from numpy.typing import NDArray

    from icey.media.passthrough import AccessUnit

__all__ = ["Lost", "MediaBuffer", "Shown"]

PICTURES = 4
"""Pictures that may wait: 130 ms at 30 fps and 5.5 MB at 720p; covers a rewind, and a decoder
that is slow for a moment."""

SOUND_NS = 150_000_000
"""Sound that a file's reader decodes ahead, ns."""


@dataclass(slots=True)
class Shown:
    """A picture and the media times at which it is to be sent, ns, one after the other."""

    picture: av.VideoFrame | AccessUnit
    times: deque[int]


@dataclass(frozen=True, slots=True)
class Lost:
    """A live source is away. ``retry_at_ns``: media time of the next try."""

    detail: str
    retry_at_ns: int


class MediaBuffer:
    """Shared by a reader and a pipeline, maybe in two threads.

    Attributes:
        changed: notified whenever something came; guards all the rest.
        ended: nothing more will come.
        lost: set while a live source is away.
    """

    def __init__(self, rate: int, channels: int) -> None:
        self.changed = threading.Condition()
        self.sound = SampleLine(rate, channels)
        self.pictures: deque[Shown] = deque()
        self.dropped = 0
        self.ended = False
        self.lost: Lost | None = None

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

    def end(self) -> None:
        """Say that nothing more will come."""
        with self.changed:
            self.ended = True
            self.changed.notify_all()
