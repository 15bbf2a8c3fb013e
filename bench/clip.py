"""Clips to stream and to publish: a pan over scenery, so that there is detail, with sound."""

from __future__ import annotations

import math
import struct
from fractions import Fraction
from typing import TYPE_CHECKING

import av
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator
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


CAMERA_ROLL = {"preset": "veryfast", "g": "60", "b": "4000000"}
"""With B-frames, so that it has to be encoded anew."""

PASSES_THROUGH = {"preset": "veryfast", "g": "30", "b": "2000000", "profile": "baseline"}
"""Which every browser decodes as it is."""


def write_clip(path: Path, options: dict[str, str] = CAMERA_ROLL, seconds: float = 20.0) -> Path:
    """Write an MP4 of H.264, encoded with these options of x264, and AAC."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=FPS, options=options)
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        audio = container.add_stream("aac", rate=RATE, layout="stereo")
        for frame in _pictures(seconds):
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        for sound in _sound(seconds, 1024, "fltp"):
            container.mux(audio.encode(sound))
        container.mux(audio.encode(None))
    return path


def write_units(path: Path, seconds: float = 6.0) -> Path:
    """Write access units and Opus packets as a browser sends them, for ``rust/clients``.

    Constrained Baseline at 2 Mb/s with a keyframe each second, and Opus in packets of 20 ms.
    """
    video = av.CodecContext.create("libx264", "w")
    assert isinstance(video, av.VideoCodecContext)
    video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
    video.time_base, video.framerate = Fraction(1, FPS), Fraction(FPS)
    video.bit_rate = 2_000_000
    video.profile = "Constrained Baseline"
    video.options = {
        "preset": "ultrafast",
        "tune": "zerolatency",
        "g": str(FPS),
        "maxrate": "2000000",
        "bufsize": "1000000",
    }
    audio = av.CodecContext.create("libopus", "w")
    assert isinstance(audio, av.AudioCodecContext)
    audio.sample_rate, audio.layout, audio.format = RATE, "stereo", "s16"
    units: list[tuple[int, int, bytes]] = []
    for index, frame in enumerate(_pictures(seconds)):
        units += [(0, index * 1_000_000 // FPS, bytes(p)) for p in video.encode(frame)]
    for index, sound in enumerate(_sound(seconds, RATE // 50, "s16")):
        units += [(1, index * 20_000, bytes(p)) for p in audio.encode(sound)]
    return _write(path, units, seconds)


def write_stamped_units(path: Path, seconds: float = 6.0) -> Path:
    """Write pictures of seven packets each, of about 2 Mb/s, with a place for the time of sending.

    They are no pictures, and only look like H.264 with a keyframe each second: a slice fits a
    packet, and has the place that ``rust/clients/src/delay.rs`` describes.
    """
    random = np.random.default_rng(1)
    units: list[tuple[int, int, bytes]] = []
    for index in range(int(seconds * FPS)):
        keyframe = index % FPS == 0
        start = b"\0\0\0\1" + (b"\x65" if keyframe else b"\x41") + b"icey-clock" + 16 * b"0"
        headers = b"\0\0\0\1\x67\x42\xc0\x1f\xda\0\0\0\1\x68\xce\x3c\x80"
        slices = [start + random.integers(1, 256, 1000, np.uint8).tobytes() for _ in range(7)]
        time = index * 1_000_000 // FPS
        units.append((0, time, (headers if keyframe else b"") + b"".join(slices)))
        units.append((1, time, bytes(160)))
    return _write(path, units, seconds)


def _write(path: Path, units: list[tuple[int, int, bytes]], seconds: float) -> Path:
    """Write units of kind, µs and bytes as ``rust/clients/src/clip.rs`` reads them."""
    units.sort(key=lambda unit: unit[1])
    units.append((2, int(seconds * 1_000_000), b""))
    path.write_bytes(
        b"".join(struct.pack(">BII", kind, at, len(data)) + data for kind, at, data in units)
    )
    return path


def _pictures(seconds: float) -> Iterator[av.VideoFrame]:
    scenery = _scenery()
    for index in range(int(seconds * FPS)):
        # A pan as of a hand-held camera: some pixels a frame, along and a little up and down.
        left = 3 * index % WIDTH
        top = 20 + round(20 * math.sin(index / 15))
        picture = np.ascontiguousarray(scenery[top : top + HEIGHT, left : left + WIDTH])
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
        frame.pts, frame.time_base = index, Fraction(1, FPS)
        yield frame


def _sound(seconds: float, step: int, sample_format: str) -> Iterator[av.AudioFrame]:
    for start in range(0, int(seconds * RATE), step):
        time = (start + np.arange(step)) / RATE
        tone = (0.3 * np.sin(2 * np.pi * 440 * time)).astype(np.float32)
        if sample_format == "fltp":
            sound = av.AudioFrame.from_ndarray(np.stack([tone, tone]), "fltp", "stereo")
        else:
            packed = np.repeat((tone * 32767).astype(np.int16), 2)[None, :]
            sound = av.AudioFrame.from_ndarray(packed, sample_format, "stereo")
        sound.sample_rate, sound.pts, sound.time_base = RATE, start, Fraction(1, RATE)
        yield sound
