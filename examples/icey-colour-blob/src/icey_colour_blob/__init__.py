"""A detector for icey-server: one detection around everything that has a certain colour.

It finds a red car in an empty street, or the yellow vest that somebody has to wear. Nothing is
learnt, and nothing but numpy is needed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from icey.intelligence.detector import Detection, Region

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from icey.intelligence.detector import FrameContext

__all__ = ["ColourBlob"]


class ColourBlob:
    """Looks for a colour.

    Args:
        colour: red, green, blue; 0 to 255 each.
        tolerance: by how much each of them may differ.
        min_share: how much of the picture must have it, 0 to 1, for a detection.
        step: look at each so-manieth pixel of each so-manieth row.
    """

    def __init__(
        self,
        colour: Sequence[int] = (255, 0, 0),
        tolerance: int = 60,
        min_share: float = 0.002,
        step: int = 4,
    ) -> None:
        self._colour = np.array(colour, np.int16)
        self._tolerance = tolerance
        self._min_share = min_share
        self._step = step

    def process(self, frame: NDArray[np.uint8], context: FrameContext) -> list[Detection]:  # noqa: ARG002
        """Find the colour in a picture of shape (height, width, 3)."""
        pixels = frame[:: self._step, :: self._step].astype(np.int16)
        hits = np.all(np.abs(pixels - self._colour) <= self._tolerance, axis=2)
        share = float(hits.mean())
        if share < self._min_share:
            return []
        rows, columns = np.flatnonzero(hits.any(axis=1)), np.flatnonzero(hits.any(axis=0))
        height, width = hits.shape
        region = Region(
            x=float(columns[0] / width),
            y=float(rows[0] / height),
            width=float((columns[-1] + 1 - columns[0]) / width),
            height=float((rows[-1] + 1 - rows[0]) / height),
        )
        return [Detection("colour", min(1.0, share / 0.05), region, data={"share": share})]
