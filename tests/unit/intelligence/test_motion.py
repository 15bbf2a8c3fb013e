"""Motion on films whose truth is known."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from icey.config.intelligence import MotionSettings
from icey.intelligence.motion import MAX_REGIONS, MotionDetector, clusters, luma_cells
from unit.intelligence import scenes

STEP = 200_000  # µs between two samples


def found_in(pictures, **settings):
    """The seconds at which motion is reported in a film."""
    detector = MotionDetector(MotionSettings(**settings))
    found = []
    for number, picture in enumerate(pictures):
        time = number * STEP
        if detector.process(picture, time) is not None:
            found.append(time / 1e6)
    return found


@pytest.mark.parametrize("draw", [scenes.box_crossing, scenes.small_object, scenes.box_in_fade])
def test_what_moves_is_found(draw):
    """Something that moves from 2 s to 4 s is reported from its first sample to its last."""
    found = found_in(scenes.film(6, draw))
    assert found
    assert all(2 <= time <= 4.2 for time in found)
    assert found[0] <= 2.2
    assert found[-1] >= 3.4
    assert len(found) >= 4


@pytest.mark.parametrize(
    "draw",
    [
        scenes.still,
        scenes.global_flash,
        scenes.light_switched_on,
        scenes.exposure_steps,
        scenes.slow_fade,
    ],
)
def test_light_is_no_motion(draw):
    """A flash, a lamp, an exposure that adjusts and a fade are not reported."""
    assert found_in(scenes.film(6, draw)) == []


@pytest.mark.parametrize("noise", [5, 12, 30])
def test_noise_is_no_motion(noise):
    """A still scene is not reported, however strong the noise."""
    assert found_in(scenes.film(4, scenes.still, noise=noise)) == []


@pytest.mark.parametrize(
    "draw", [scenes.global_flash, scenes.light_switched_on, scenes.exposure_steps]
)
def test_light_is_motion_where_it_is_wanted(draw):
    """With ignoreGlobalChange off, a change of light is reported."""
    assert found_in(scenes.film(4, draw), ignore_global_change=False)


def test_only_the_whole_picture():
    """With smallObjects off the mean of the whole picture decides, as for the small object here."""
    film = scenes.film(6, scenes.small_object)
    assert found_in(film, small_objects=False) == []
    assert found_in(film, small_objects=False, threshold=0.001)


def flat(value, height=36, width=64):
    """A picture of one luma."""
    return np.full((height, width), value, np.uint8)


def with_box(base, value, top, left, height, width):
    """A picture with a rectangle in it."""
    picture = base.copy()
    picture[top : top + height, left : left + width] = value
    return picture


def test_score_is_the_mean_difference():
    """The score is the mean over all cells, the detections tell of the hot ones."""
    detector = MotionDetector(
        MotionSettings(warmup_frames=0, threshold=0.01, ignore_global_change=False)
    )
    assert detector.process(flat(16), 0) is None
    # 4 x 2 cells of 2 x 2 pixels, from black to white
    motion = detector.process(with_box(flat(16), 235, 4, 8, 4, 8), STEP)
    assert motion.score == detector.score == pytest.approx(8 / (32 * 18))
    assert motion.cells.shape == (18, 32)
    assert motion.cells.sum() == pytest.approx(8)
    (found,) = motion.detections
    assert (found.label, found.confidence, found.data) == (
        "motion",
        1.0,
        {"score": 1.0, "cells": 8},
    )
    box = found.region
    assert (box.x, box.y, box.width, box.height) == pytest.approx((8 / 64, 4 / 36, 8 / 64, 4 / 36))


def test_threshold_is_reached_exactly():
    """A score that equals the threshold is motion, the least below it is not."""
    for threshold, expected in ((0.25, True), (0.2501, False)):
        detector = MotionDetector(
            MotionSettings(
                grid_width=2,
                grid_height=2,
                warmup_frames=0,
                threshold=threshold,
                ignore_global_change=False,
                small_objects=False,
            )
        )
        detector.process(flat(16), 0)
        motion = detector.process(with_box(flat(16), 235, 0, 0, 18, 32), STEP)
        assert (motion is not None) == expected


@pytest.mark.parametrize("warmup", [0, 1, 2, 5])
def test_warm_up(warmup):
    """So many samples are only learnt from; without any the second is the first to compare."""
    detector = MotionDetector(
        MotionSettings(
            warmup_frames=warmup, cooldown_usec=0, threshold=0, ignore_global_change=False
        )
    )
    told = [
        number
        for number in range(8)
        if detector.process(flat(16 + 30 * (number % 2)), number * STEP) is not None
    ]
    assert told == list(range(max(1, warmup), 8))


def test_cool_down():
    """Between two reports lies at least the cool-down; it starts anew where time goes back."""
    detector = MotionDetector(
        MotionSettings(warmup_frames=0, cooldown_usec=500_000, ignore_global_change=False)
    )
    told = [
        number
        for number in range(11)
        if detector.process(flat(16 + 200 * (number % 2)), number * STEP) is not None
    ]
    assert told == [1, 4, 7, 10]
    assert detector.process(flat(216), 0) is not None


def test_largest_regions_first_and_no_more_than_eight():
    """Of many regions the eight largest are reported, the largest first."""
    picture = flat(16)
    for index in range(12):
        left, top = (index % 4) * 16, (index // 4) * 12
        picture = with_box(picture, 235, top, left, 2, 2 + 2 * (index % 6))
    detector = MotionDetector(
        MotionSettings(warmup_frames=0, threshold=0.01, ignore_global_change=False)
    )
    detector.process(flat(16), 0)
    sizes: list[Any] = [d.data["cells"] for d in detector.process(picture, STEP).detections]
    assert len(sizes) == MAX_REGIONS
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] == 6


def test_cells_are_means_of_their_area():
    """Each cell is the mean of all its pixels, also where the grid does not divide the picture."""
    random = np.random.default_rng(3)
    luma = random.integers(0, 256, (37, 53), np.uint8)
    cells = luma_cells(luma, 7, 5, full_range=True)
    for row in range(5):
        for column in range(7):
            part = luma[
                row * 37 // 5 : (row + 1) * 37 // 5, column * 53 // 7 : (column + 1) * 53 // 7
            ]
            assert cells[row, column] == pytest.approx(part.mean() / 255, abs=1e-5)


def test_range_of_luma():
    """Black is 0 and white 1, in limited range and in full."""
    assert luma_cells(flat(16), 2, 2, full_range=False) == pytest.approx(0)
    assert luma_cells(flat(235), 2, 2, full_range=False) == pytest.approx(1)
    assert luma_cells(flat(255), 2, 2, full_range=True) == pytest.approx(1)


def test_a_grid_finer_than_the_picture():
    """More cells than pixels repeat pixels instead of failing."""
    detector = MotionDetector(MotionSettings(grid_width=256, grid_height=256, warmup_frames=0))
    assert detector.process(flat(16, 2, 3), 0) is None
    assert detector.process(flat(200, 2, 3), STEP) is None  # light
    assert detector.process(with_box(flat(200, 2, 3), 16, 0, 0, 1, 1), 2 * STEP) is not None


@given(arrays(np.bool_, st.tuples(st.integers(1, 12), st.integers(1, 12))))
def test_clusters_are_the_4_connected_groups(hot):
    """Each hot cell is in one cluster, neighbours are in the same, and clusters do not touch."""
    of = {}
    for index, cluster in enumerate(clusters(hot)):
        for row, column in cluster.tolist():
            assert (row, column) not in of
            of[row, column] = index
    assert set(of) == set(zip(*map(list, np.nonzero(hot)), strict=True))
    for (row, column), index in of.items():
        for beside in ((row + 1, column), (row, column + 1)):
            assert of.get(beside, index) == index
    for index in set(of.values()):
        todo, seen = [next(cell for cell, its in of.items() if its == index)], set()
        while todo:
            row, column = cell = todo.pop()
            if of.get(cell) == index and cell not in seen:
                seen.add(cell)
                todo += [(row + 1, column), (row - 1, column), (row, column + 1), (row, column - 1)]
        assert seen == {cell for cell, its in of.items() if its == index}


@given(st.lists(arrays(np.uint8, (9, 16)), min_size=2, max_size=4))
def test_any_pictures(pictures):
    """Whatever the pictures are, scores and regions stay within 0 to 1."""
    detector = MotionDetector(MotionSettings(warmup_frames=0, cooldown_usec=0))
    for number, picture in enumerate(pictures):
        motion = detector.process(picture, number * STEP, full_range=True)
        assert 0 <= detector.score <= 1
        for found in motion.detections if motion else ():
            assert 0 <= found.confidence <= 1
            assert 0 <= found.region.x < found.region.x + found.region.width <= 1
            assert 0 <= found.region.y < found.region.y + found.region.height <= 1
