"""Sentences that espeak-ng speaks, at a known place among silence and noise."""

from __future__ import annotations

import subprocess

import numpy as np

RATE = 48_000
SPOKEN_AT = 1.5
"""Seconds of silence, or of noise alone, before and after the words."""

SENTENCES = (
    "The quick brown fox jumps over the lazy dog",
    "Good evening, somebody is at the door",
    "one two three four five",
)


def spoken(sentence: str) -> np.ndarray:
    """Speak a sentence: floats of -0.7 to 0.7 at 48 kHz, cut to where it is to be heard."""
    said = subprocess.run(
        ["espeak-ng", "-v", "en", "--stdout", sentence], capture_output=True, check=True
    ).stdout
    start = said.index(b"data") + 8  # the length in this header is not known to espeak-ng
    samples = np.frombuffer(said[start : start + (len(said) - start) // 2 * 2], "<i2").astype(float)
    count = round(len(samples) * RATE / 22_050)
    voice = np.interp(np.arange(count) * 22_050 / RATE, np.arange(len(samples)), samples)
    voice *= 0.7 / np.abs(voice).max()
    heard = np.flatnonzero(np.abs(voice) > 0.02)
    return voice[heard[0] : heard[-1] + 1]


def scene(sentence: str, noise: float) -> tuple[np.ndarray, float]:
    """Put a sentence behind `SPOKEN_AT` s of silence, and noise over all.

    Args:
        sentence: what to say.
        noise: the noise's mean absolute sample, 0 to 1.

    Returns:
        16-bit samples of shape (n, 1), and the second at which the words end.
    """
    voice = spoken(sentence)
    rest = round(SPOKEN_AT * RATE)
    sound = np.zeros(rest + len(voice) + rest)
    sound[rest : rest + len(voice)] = voice
    # The mean absolute value of a normal distribution is sqrt(2 / pi) of its deviation.
    sound += np.random.default_rng(1).normal(0, noise * np.sqrt(np.pi / 2), len(sound))
    samples = (np.clip(sound, -1, 1) * 32767).astype(np.int16)[:, None]
    return samples, SPOKEN_AT + len(voice) / RATE
