"""A clip to stream: moving, so that the encoder has work, with sound."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

import av
import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

WIDTH, HEIGHT, FPS, RATE = 1280, 720, 30, 48_000


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
        rows, columns = np.mgrid[0:HEIGHT, 0:WIDTH]
        noise = np.random.default_rng(1).integers(0, 40, (HEIGHT, WIDTH * 2), dtype=np.uint8)
        for index in range(int(seconds * FPS)):
            luma = ((columns + 4 * index) // 3 + rows // 4).astype(np.uint8) // 2
            luma += noise[:, 7 * index % WIDTH :][:, :WIDTH]
            picture = np.stack([luma, np.roll(luma, index, 1), 255 - luma], axis=2)
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
