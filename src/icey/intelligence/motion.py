"""Motion: cells of a grid whose mean brightness changed since the last sample. Pure.

A cell is the mean luma of all its pixels, so that noise and single pixels do not flicker. The
score of a sample is the mean difference of all cells. Where ``ignoreGlobalChange`` is on, what
a change of light or exposure explains (all cells times one factor, plus one offset) is taken out
of the differences first; where light changed everything one way but not evenly, the sample is not
motion at all.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from icey.intelligence.detector import Detection, Region

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from icey.config.intelligence import MotionSettings

    Cells: TypeAlias = NDArray[np.float32]

MAX_REGIONS = 8
"""Regions in an event at most; the largest are kept."""

ONE_WAY = 0.85
"""Share of the cells that must get brighter, or darker, together for a change of light."""

NOTICEABLE = 0.02
"""A difference of a cell that is more than noise; 0 to 1."""

EVEN = 0.02
"""Median of what the model of a change of light leaves over, up to which it explains it."""

ROUNDS = 8
"""Rounds of the fit; after five it has settled."""


@dataclass(frozen=True, slots=True)
class Motion:
    """The motion between two samples.

    Attributes:
        score: mean difference of all cells, 0 to 1.
        cells: the differences, of shape (gridHeight, gridWidth).
        detections: the regions, the largest first.
    """

    score: float
    cells: Cells
    detections: tuple[Detection, ...]


def luma_cells(luma: NDArray[np.uint8], columns: int, rows: int, *, full_range: bool) -> Cells:
    """Return the mean luma of each cell of a grid, 0 (black) to 1 (white).

    Args:
        luma: of shape (height, width).
        columns: cells across; more than there are pixels repeat pixels.
        rows: cells down.
        full_range: whether black is 0 and white 255, not 16 and 235 (ITU-R BT.709 §4.6).
    """
    height, width = luma.shape
    down, across = _edges(height, rows), _edges(width, columns)
    # A band of rows at once: six times as fast as numpy's mean over both axes.
    bands = np.stack([luma[top:end].sum(axis=0, dtype=np.uint32) for top, end in down])
    sums = np.stack([bands[:, left:end].sum(axis=1) for left, end in across], axis=1)
    heights = np.array([end - top for top, end in down], np.float32)
    widths = np.array([end - left for left, end in across], np.float32)
    means = (sums / np.outer(heights, widths)).astype(np.float32)
    return means / np.float32(255) if full_range else (means - np.float32(16)) / np.float32(219)


def _edges(length: int, parts: int) -> list[tuple[int, int]]:
    marks = [index * length // parts for index in range(parts + 1)]
    return [(start, max(end, start + 1)) for start, end in pairwise(marks)]


class MotionDetector:
    """Compares each sample of one stream with the one before.

    Args:
        settings: ``media.intelligence.vision.motion``.
    """

    def __init__(self, settings: MotionSettings) -> None:
        self._settings = settings
        self._previous: Cells | None = None
        self._before_light: Cells | None = None  # what it looked like before light changed it
        self._learnt = 0
        self._reported: int | None = None
        self.score = 0.0
        """Of the last sample."""

    def process(
        self, luma: NDArray[np.uint8], media_usec: int, *, full_range: bool = False
    ) -> Motion | None:
        """Take a sample; return its motion, None where there is nothing to report.

        Args:
            luma: of shape (height, width).
            media_usec: media time, microseconds.
            full_range: see `luma_cells`.
        """
        settings = self._settings
        cells = luma_cells(luma, settings.grid_width, settings.grid_height, full_range=full_range)
        previous, self._previous = self._previous, cells
        learning = self._learnt < settings.warmup_frames
        self._learnt += learning
        if previous is None:
            return None
        change, light = self._change(previous, cells)
        self.score = float(change.mean())
        if learning or not self._is_motion(change, light=light) or self._cooling(media_usec):
            return None
        self._reported = media_usec
        return Motion(self.score, change, tuple(_detections(change, settings.threshold)))

    def _change(self, previous: Cells, cells: Cells) -> tuple[Cells, bool]:
        """Return how much each cell changed, 0 to 1, and whether the light changed."""
        raw = cells - previous
        if not self._settings.ignore_global_change:
            return np.abs(raw), False
        left = np.abs(cells - _relit(previous, cells))
        one_way = max(np.mean(raw > NOTICEABLE), np.mean(raw < -NOTICEABLE))
        if one_way < ONE_WAY:
            return left, False
        # A flash burns details out; once it is over they are back, and did not move.
        before, self._before_light = self._before_light, previous
        if before is not None:
            left = min(left, np.abs(cells - _relit(before, cells)), key=lambda rest: rest.mean())
        if float(np.median(left)) > EVEN:
            left = np.zeros_like(left)
        return left, True

    def _is_motion(self, change: Cells, *, light: bool) -> bool:
        threshold = self._settings.threshold
        if self.score >= threshold:
            return True
        # What a change of light leaves over in a few cells is no small object.
        return self._settings.small_objects and not light and float(change.max()) >= threshold

    def _cooling(self, media_usec: int) -> bool:
        last = self._reported
        return last is not None and 0 <= media_usec - last < self._settings.cooldown_usec


def _relit(previous: Cells, cells: Cells) -> Cells:
    """Return the previous cells in the light of the present ones, which most cells show.

    A straight line through (previous, present), fitted so that cells far from it, where something
    moves, hardly count. Cells that are black or white in either picture tell nothing.
    """
    before, after = previous.ravel().astype(np.float64), cells.ravel().astype(np.float64)
    usable = (np.minimum(before, after) > 0.02) & (np.maximum(before, after) < 0.98)
    if np.count_nonzero(usable) >= usable.size // 4:
        x, y = before[usable], after[usable]
    else:
        x, y = before, after
    gain, offset = 1.0, float(np.median(y - x))
    for _ in range(ROUNDS):
        rest = y - (gain * x + offset)
        scale = 1.4826 * float(np.median(np.abs(rest))) + 0.004  # half a grey level at least
        weight = 1 / (1 + (rest / (2 * scale)) ** 2) ** 2
        total = float(weight.sum())
        mean_x, mean_y = float(weight @ x) / total, float(weight @ y) / total
        spread = float(weight @ (x - mean_x) ** 2) / total
        if spread > 1e-5:
            gain = float(weight @ ((x - mean_x) * (y - mean_y))) / total / spread
            gain = min(max(gain, 0.1), 10.0)
        offset = mean_y - gain * mean_x
    low, high = min(0.0, float(after.min())), max(1.0, float(after.max()))
    relit: Cells = np.clip(gain * previous + offset, low, high).astype(np.float32)
    return relit


def _detections(change: Cells, threshold: float) -> Iterable[Detection]:
    rows, columns = change.shape
    found = sorted(clusters(change >= threshold), key=len, reverse=True)[: 8 * MAX_REGIONS]
    for cluster in sorted(found, key=_box, reverse=True)[:MAX_REGIONS]:
        ys, xs = cluster[:, 0], cluster[:, 1]
        left, top = int(xs.min()), int(ys.min())
        right, bottom = int(xs.max()) + 1, int(ys.max()) + 1
        score = min(1.0, float(change[ys, xs].mean()))
        yield Detection(
            "motion",
            round(score, 4),
            Region(left / columns, top / rows, (right - left) / columns, (bottom - top) / rows),
            data={"score": round(score, 4), "cells": len(cluster)},
        )


def _box(cluster: NDArray[np.intp]) -> int:
    """Return the area of the rectangle around a cluster, cells."""
    height, width = np.ptp(cluster, axis=0) + 1
    return int(height * width)


def clusters(hot: NDArray[np.bool_]) -> list[NDArray[np.intp]]:
    """Return the 4-connected groups of true cells, each as (row, column) pairs of shape (n, 2)."""
    cells = [(row, column) for row, column in np.argwhere(hot).tolist()]
    left = set(cells)
    groups = []
    for first in cells:
        if first not in left:
            continue
        left.remove(first)
        group = [first]
        for row, column in group:  # it grows meanwhile
            for near in (
                (row - 1, column),
                (row + 1, column),
                (row, column - 1),
                (row, column + 1),
            ):
                if near in left:
                    left.remove(near)
                    group.append(near)
        groups.append(np.array(group, np.intp))
    return groups
