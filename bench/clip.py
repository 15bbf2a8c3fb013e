"""A clip to stream: a pan over scenery, so that the encoder has work, with sound."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import TYPE_CHECKING

import av
import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

WIDTH, HEIGHT, FPS, RATE = 1280, 720, 30, 48_000


def _scenery() -> NDArray[np.uint8]:
    """Detail at every scale, as nature has it: the energy of each octave is the same."""
    random = np.random.default_rng(1)
    height, width = HEIGHT + 40, 2 * WIDTH
    total = np.zeros((height, width, 3))
    for size in (4, 8, 16, 32, 64, 128):
        coarse = random.normal(0, 1, (height // size + 2, width // size + 2, 3))
        rows, columns = np.arange(height) / size, np.arange(width) / size
        row, column = rows.astype(int), columns.astype(int)
        down, right = (rows - row)[:, None, None], (columns - column)[None, :, None]
        upper = coarse[row][:, column] * (1 - right) + coarse[row][:, column + 1] * right
        lower = coarse[row + 1][:, column] * (1 - right) + coarse[row + 1][:, column + 1] * right
        total += (upper * (1 - down) + lower * down) * size**0.5 / 4
    return np.clip(128 + 25 * total, 0, 255).astype(np.uint8)


def write_clip(path: Path, seconds: float = 20.0) -> Path:
    """Write an MP4 of H.264 with B-frames and AAC, as a camera roll has them."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=FPS, options={"preset": "veryfast", "g": "60"})
        video.width, video.height, video.pix_fmt, video.bit_rate = (
            WIDTH,
            HEIGHT,
            "yuv420p",
            4_000_000,
        )
        audio = container.add_stream("aac", rate=RATE, layout="stereo")
        scenery = _scenery()
        for index in range(int(seconds * FPS)):
            # A pan as of a hand-held camera: some pixels a frame, along and a little up and down.
            left = 3 * index % WIDTH
            top = 20 + round(20 * math.sin(index / 15))
            picture = np.ascontiguousarray(scenery[top : top + HEIGHT, left : left + WIDTH])
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, FPS)
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        step = 1024
        for start in range(0, int(seconds * RATE), step):
            time = (start + np.arange(step)) / RATE
            tone = (0.3 * np.sin(2 * np.pi * 440 * time)).astype(np.float32)
            sound = av.AudioFrame.from_ndarray(np.stack([tone, tone]), "fltp", "stereo")
            sound.sample_rate, sound.pts, sound.time_base = RATE, start, Fraction(1, RATE)
            container.mux(audio.encode(sound))
        container.mux(audio.encode(None))
    return path
