"""The samples that branches handle: a picture, a run of sound or an access unit, with its time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import av
    import numpy as np
    from numpy.typing import NDArray

    from icey.media.passthrough import AccessUnit


@dataclass(frozen=True, slots=True)
class Moment:
    """The time of a sample.

    Attributes:
        number: of the picture, run or access unit in its stream, from 0.
        media_usec: media time, microseconds since the stream began.
        due_ns: the same moment on `time.monotonic_ns`'s clock.
        wall_usec: the same moment in microseconds since 1970.
    """

    number: int
    media_usec: int
    due_ns: int
    wall_usec: int


@dataclass(frozen=True, slots=True)
class PictureSample:
    """A picture as it is sent; nobody writes to it."""

    picture: av.VideoFrame
    moment: Moment


@dataclass(frozen=True, slots=True)
class SoundSample:
    """Sound as it is sent: 16-bit samples of shape (n, channels); nobody writes to it."""

    samples: NDArray[np.int16]
    rate: int
    moment: Moment


@dataclass(frozen=True, slots=True)
class UnitSample:
    """An access unit of a source that is passed through."""

    unit: AccessUnit
    moment: Moment
