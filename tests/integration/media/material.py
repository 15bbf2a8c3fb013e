"""Makes the films that the media tests play: any codec, size, rate and sound, with known content.

The picture is grey with a white bar that moves on by 1/16 of the width each frame, so that a
decoded frame shows its number modulo 16; the sound is a 440 Hz sine of amplitude 0.25.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING

import av
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

GREY = 90
WHITE = 235


@dataclass
class Film:
    """What to make; `video` or `audio` None leaves that stream away."""

    video: str | None = "libx264"
    size: tuple[int, int] = (320, 180)
    rate: int | Fraction = 30
    frames: int = 60
    pix_fmt: str = "yuv420p"
    times: Sequence[int] | None = None
    """Presentation times in ms, for a variable rate."""
    rotate: int = 0
    options: dict[str, str] = field(default_factory=dict)
    audio: str | None = "aac"
    audio_rate: int = 48_000
    layout: str = "stereo"
    audio_seconds: float | None = None
    video_delay_ms: int = 0
    aspect: Fraction | None = None
    noise: int = 0
    """Added to each pixel: 0 to this, different in each frame."""
    flash_at: tuple[int, ...] = ()
    """Frames that are white for 100 ms while a beep sounds; the rest is then silent."""


def picture(number: int, width: int, height: int) -> av.VideoFrame:
    """Draw frame `number`."""
    image = np.full((height, width), GREY, np.uint8)
    step = width / 16
    left = number % 16
    image[:, int(left * step) : int((left + 1) * step)] = WHITE
    rgb = np.repeat(image[:, :, None], 3, axis=2)
    return av.VideoFrame.from_ndarray(rgb, "rgb24")


def bar_number(luma: np.ndarray) -> int:
    """Read a frame's number modulo 16 back from its luma, shape (h, w)."""
    columns = luma[luma.shape[0] // 4 : luma.shape[0] * 3 // 4].mean(axis=0)
    step = len(columns) / 16
    bands = [columns[int(i * step) : int((i + 1) * step)].mean() for i in range(16)]
    return int(np.argmax(bands))


def make(path: Path, film: Film) -> Path:
    """Write the film and return its path; the suffix chooses the container."""
    with av.open(str(path), "w") as out:
        video = _video_stream(out, film)
        audio = _audio_stream(out, film)
        seconds = film.audio_seconds if film.audio_seconds is not None else _length(film)
        sounded = 0.0
        for number in range(film.frames if video else 0):
            at = film.times[number] if film.times else number * 1000 / film.rate
            while audio and sounded < min(seconds, at / 1000):
                sounded += _write_audio(out, audio, film, sounded, seconds)
            frame = picture(number, *film.size)
            if any(0 <= number - at < film.rate // 10 for at in film.flash_at):
                frame = _white(film)
            if film.noise:
                frame = _noisy(film, number)
            frame.pts = round(at) + film.video_delay_ms if film.times else number
            frame.time_base = Fraction(1, 1000) if film.times else Fraction(1, film.rate)
            if film.video_delay_ms and not film.times:
                frame.pts += film.video_delay_ms * film.rate // 1000
            out.mux(video.encode(frame))
        while audio and sounded < seconds:
            sounded += _write_audio(out, audio, film, sounded, seconds)
        for stream in (video, audio):
            if stream:
                out.mux(stream.encode(None))
    return path


def _noisy(film: Film, number: int) -> av.VideoFrame:
    chance = np.random.default_rng(number)
    pixels = chance.integers(0, film.noise, (*film.size[::-1], 3), dtype=np.uint8)
    return av.VideoFrame.from_ndarray(pixels + 60, "rgb24")


def _white(film: Film) -> av.VideoFrame:
    return av.VideoFrame.from_ndarray(np.full((*film.size[::-1], 3), 255, np.uint8), "rgb24")


def _length(film: Film) -> float:
    if film.times:
        return float(film.times[-1] / 1000 + 1 / film.rate)
    return float(film.frames / film.rate)


def _video_stream(out, film):
    if film.video is None:
        return None
    stream = out.add_stream(film.video, rate=film.rate, options=dict(film.options))
    stream.width, stream.height = film.size
    stream.pix_fmt = film.pix_fmt
    stream.codec_context.thread_count = 1
    if film.times:
        stream.codec_context.time_base = Fraction(1, 1000)
    if film.aspect:
        stream.codec_context.sample_aspect_ratio = film.aspect
    if film.rotate:
        stream.set_display_rotation(film.rotate)
    return stream


def _audio_stream(out, film):
    if film.audio is None:
        return None
    return out.add_stream(film.audio, rate=film.audio_rate, layout=film.layout)


def _write_audio(out, stream, film, start: float, end: float) -> float:
    count = min(film.audio_rate // 10, round((end - start) * film.audio_rate)) or 1
    when = (round(start * film.audio_rate) + np.arange(count)) / film.audio_rate
    gain = np.full(count, 0.25)
    if film.flash_at:
        starts = [at / film.rate for at in film.flash_at]
        gain = 0.5 * np.any([(when >= s) & (when < s + 0.1) for s in starts], axis=0)
    wave = (gain * 32767 * np.sin(2 * np.pi * 440 * when)).astype(np.int16)
    channels = stream.codec_context.layout.nb_channels
    frame = av.AudioFrame.from_ndarray(
        np.repeat(wave[None, :], channels, axis=0).T.reshape(1, -1), "s16", film.layout
    )
    frame.sample_rate = film.audio_rate
    frame.pts = round(start * film.audio_rate)
    frame.time_base = Fraction(1, film.audio_rate)
    out.mux(stream.encode(frame))
    return count / film.audio_rate
