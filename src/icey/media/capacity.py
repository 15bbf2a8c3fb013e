"""How many encoders this machine can run beside each other.

An encoder here is all that a viewer of a file costs: decoding, scaling, x264, Opus and the packets
of one pipeline. What it costs is measured, not guessed: machines differ by a factor of four.
"""

from __future__ import annotations

import math
import os
import time
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import av
import numpy as np

from icey.media.encode import VideoEncoder

if TYPE_CHECKING:
    from icey.config.model import VideoSettings

SHARE = 0.65
"""The part of the cores that encoders may have. The rest is the engine's, the loop's, and that of
keyframes and scene cuts, which cost more than the pictures that were measured."""

WHOLE = 1.9
"""What a pipeline costs as a multiple of its x264: decoding, scaling, sound, packets. Measured with
files of H.264 in the size that is sent; a larger file costs more, which `Punctuality` notices."""

TYPICAL_COST = 0.13
"""Cores that a pipeline of 1280x720 at 30 a second takes, where it could not be measured yet."""

PICTURES, ROUNDS = 8, 3
"""How many pictures are encoded to measure, and how often: the quickest round counts, as others
have been disturbed. 60 ms of CPU in all."""

_QUOTA = Path("/sys/fs/cgroup/cpu.max")


def cores() -> float:
    """Return the cores that this process may use: those it may run on, less a container's quota."""
    available = float(len(os.sched_getaffinity(0))) if hasattr(os, "sched_getaffinity") else 0.0
    return min(available or float(os.cpu_count() or 1), _container_quota())


def typical_cost(video: VideoSettings) -> float:
    """Return the cores that one pipeline takes, by its pixels a second."""
    return TYPICAL_COST * video.width * video.height * video.fps / (1280 * 720 * 30)


def measured_cost_blocking(video: VideoSettings) -> float:
    """Measure the cores that one pipeline takes: CPU time of x264, of pictures with movement.

    For a thread: it takes some 60 ms of CPU. Other threads do not count in.

    Returns:
        Between a quarter and four times `typical_cost`, however odd the measurement.
    """
    pictures = [_picture(video.width, video.height, number) for number in range(PICTURES)]
    encoder = VideoEncoder(video, Fraction(video.fps), video.bitrate)
    encoder.encode(pictures[0], 0, keyframe=True)
    best = math.inf
    timestamp = 0
    for _ in range(ROUNDS):
        begin = time.thread_time()
        for picture in pictures:
            timestamp += 90_000 // video.fps
            encoder.encode(picture, timestamp, keyframe=False)
        best = min(best, (time.thread_time() - begin) / PICTURES)
    typical = typical_cost(video)
    return min(max(best * video.fps * WHOLE, typical / 4), typical * 4)


def fitting(cost: float, available: float) -> int:
    """Return how many pipelines of this cost fit on so many cores; at least two.

    With one alone, the first viewer of a file would leave no room for the others to share.
    """
    return max(2, int(available * SHARE / cost))


def _container_quota() -> float:
    """The cores that a container may use (cgroup v2, ``cpu.max``); infinite without a quota."""
    try:
        quota, period = _QUOTA.read_text().split()
        return math.inf if quota == "max" else max(0.1, int(quota) / int(period))
    except (OSError, ValueError):
        return math.inf


def _picture(width: int, height: int, number: int) -> av.VideoFrame:
    """A gradient with a little noise that moves eight pixels a picture, as a panning camera's."""
    noise = np.random.default_rng(1).integers(0, 8, (height * 3 // 2, width), dtype=np.uint8)
    ground = (np.arange(width, dtype=np.uint16) // 8 % 200).astype(np.uint8)
    return av.VideoFrame.from_ndarray(
        np.roll(noise, 8 * number, axis=1) + np.roll(ground, 8 * number), format="yuv420p"
    )
