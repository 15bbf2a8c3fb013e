"""Makes a small film for a test."""

from __future__ import annotations

from typing import TYPE_CHECKING

import av
import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

RATE = 48_000


def make_clip(path: Path, *, seconds: float = 4, sound: bool = True) -> None:
    """Write an MP4 with a moving H.264 picture and, if wanted, a 440 Hz tone in AAC."""
    width, height, fps = 640, 360, 25
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=fps, options={"preset": "ultrafast"})
        video.width, video.height, video.pix_fmt = width, height, "yuv420p"
        audio = container.add_stream("aac", rate=RATE, layout="stereo") if sound else None
        for index in range(int(seconds * fps)):
            picture = np.full((height, width, 3), 60, np.uint8)
            left = index * 8 % (width - 40)
            picture[:, left : left + 40] = (220, 40, 40)
            container.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(video.encode(None))
        if audio:
            wave = 0.3 * np.sin(2 * np.pi * 440 * np.arange(int(seconds * RATE)) / RATE)
            for start in range(0, wave.size - 1023, 1024):
                block = np.tile(wave[start : start + 1024].astype(np.float32), (2, 1))
                frame = av.AudioFrame.from_ndarray(block, format="fltp", layout="stereo")
                frame.sample_rate, frame.pts = RATE, start
                container.mux(audio.encode(frame))
            container.mux(audio.encode(None))
