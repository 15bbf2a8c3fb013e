"""A tap: who else sees what a pipeline sends, before it is encoded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import av
    import numpy as np
    from numpy.typing import NDArray

    from icey.media.passthrough import AccessUnit


class Tap(Protocol):
    """Takes what is due, the moment it is sent, whether or not anybody watches.

    Called from the thread that sends, so each call returns at once and raises nothing. What it
    gets is not copied for it: it may keep it as long as it likes, and writes nothing to it.
    """

    def picture(self, picture: av.VideoFrame, media_ns: int, due_ns: int) -> None:
        """Take a new picture; one that is only repeated does not come again.

        Args:
            picture: yuv420p of limited range, as it is encoded.
            media_ns: its media time, ns.
            due_ns: the same moment on `time.monotonic_ns`'s clock.
        """

    def sound(self, samples: NDArray[np.int16], rate: int, media_ns: int, due_ns: int) -> None:
        """Take 20 ms of sound, an array of shape (n, channels), `rate` samples a second."""

    def unit(self, unit: AccessUnit, media_ns: int, due_ns: int) -> None:
        """Take an access unit of a source that is passed through; no picture comes then."""
