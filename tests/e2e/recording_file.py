"""What a finished recording holds, read by FFmpeg."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import av
import numpy as np

from icey.media.demo import STRIP_BLOCKS, STRIP_HEIGHT, decode_strip

if TYPE_CHECKING:
    from pathlib import Path

LOUD = 0.25
"""The tone beeps at half of full scale, and hums at a tenth."""


@dataclass
class Picture:
    """One decoded picture: seconds from the start, the clock in its strip, whether it flashes."""

    at: float
    wall_ms: int | None
    lit: bool
    size: tuple[int, int]


@dataclass
class RecordingFile:
    """A recording, decoded to its end with every error taken seriously."""

    pictures: list[Picture]
    beeps: list[float]
    duration: float
    audio_seconds: float
    codecs: tuple[str, ...]

    @property
    def clocks(self) -> list[int]:
        """The wall clocks, in ms, that could be read."""
        return [picture.wall_ms for picture in self.pictures if picture.wall_ms is not None]

    @property
    def flashes(self) -> list[float]:
        """When the square lit up, in seconds."""
        shown = zip(self.pictures, self.pictures[1:], strict=False)
        return [now.at for before, now in shown if now.lit and not before.lit]


def read_recording(path: Path) -> RecordingFile:
    """Decode a whole file.

    Raises:
        av.error.FFmpegError: it is broken.
    """
    pictures: list[Picture] = []
    samples: list[np.ndarray] = []
    audio_start = 0.0
    mono = av.AudioResampler("s16", "mono", 48_000)
    with av.open(str(path)) as container:
        duration = (container.duration or 0) / 1e6
        codecs = tuple(stream.codec_context.name for stream in container.streams)
        for stream in container.streams:
            stream.codec_context.options = {"err_detect": "explode"}
        for frame in container.decode():
            if isinstance(frame, av.VideoFrame):
                pictures.append(_picture(frame))
            elif isinstance(frame, av.AudioFrame):
                if not samples:
                    audio_start = frame.time or 0.0
                samples += [part.to_ndarray()[0] for part in mono.resample(frame)]
    sound = np.concatenate(samples) / 32768 if samples else np.zeros(0)
    return RecordingFile(
        pictures, _beeps(sound, audio_start), duration, sound.size / 48_000, codecs
    )


def _picture(frame: av.VideoFrame) -> Picture:
    plane = frame.planes[0]
    luma = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)[:, : frame.width]
    row = round(frame.height * STRIP_HEIGHT / 2)
    columns = [round((i + 0.5) * frame.width / STRIP_BLOCKS) for i in range(STRIP_BLOCKS)]
    side = frame.height * 3 // 20
    lit = luma[frame.height * 35 // 40, frame.width - side // 3 - side // 2] > 126
    wall = decode_strip([float(luma[row, column]) for column in columns])
    return Picture(float(frame.time or 0.0), wall, bool(lit), (frame.width, frame.height))


def _beeps(sound: np.ndarray, start: float) -> list[float]:
    """Where the loud tone sets in after at least 0.3 s without it, in seconds."""
    loud = np.flatnonzero(np.abs(sound) > LOUD) / 48_000
    onsets = [at for i, at in enumerate(loud) if i == 0 or at - loud[i - 1] > 0.3]
    return [start + at for at in onsets]
