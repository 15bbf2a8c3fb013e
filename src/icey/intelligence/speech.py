"""Speech: voice activity by energy, with hysteresis. Pure.

``start`` where the level of a run of sound reaches the start threshold; ``end`` once it has
stayed below the stop threshold for the silence; ``update`` in between. Music and noise are loud
too: what it tells is that somebody may be speaking.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from icey.config.intelligence import SpeechSettings

SpeechPhase: TypeAlias = Literal["start", "update", "end"]

FULL_SCALE = 32768


@dataclass(frozen=True, slots=True)
class Activity:
    """The voice activity of a run of sound.

    Attributes:
        phase: begins, goes on, ends.
        level: mean absolute sample, 0 to 1.
        peak: largest absolute sample, 0 to 1.
    """

    phase: SpeechPhase
    level: float
    peak: float


def levels(samples: NDArray[np.int16]) -> tuple[float, float]:
    """Return the mean and the largest absolute sample, 0 to 1."""
    magnitude = np.abs(samples.astype(np.int32))
    return float(magnitude.mean()) / FULL_SCALE, float(magnitude.max()) / FULL_SCALE


class SpeechDetector:
    """Detects voice activity in one stream.

    Args:
        settings: ``media.intelligence.speech``.
    """

    def __init__(self, settings: SpeechSettings) -> None:
        self._settings = settings
        self._active = False
        self._told = 0  # media time of the last activity told, µs
        self._quiet_since: int | None = None
        self.level = 0.0
        """Of the last run."""

    def process(
        self, samples: NDArray[np.int16], media_usec: int, duration_usec: int
    ) -> Activity | None:
        """Take a run of sound; return its activity, None where there is nothing to report.

        Args:
            samples: of shape (n, channels), n above 0.
            media_usec: media time of the first, microseconds.
            duration_usec: how long it is, microseconds.
        """
        self.level, peak = levels(samples)
        phase = self._step(media_usec, media_usec + duration_usec)
        if phase is None:
            return None
        self._told = media_usec
        return Activity(phase, self.level, peak)

    def _step(self, start: int, end: int) -> SpeechPhase | None:
        settings = self._settings
        if not self._active:
            if self.level < settings.start_threshold:
                return None
            self._active, self._quiet_since = True, None
            return "start"
        if self.level >= settings.stop_threshold:
            self._quiet_since = None
        elif self._quiet_since is None or start < self._quiet_since:
            self._quiet_since = start
        if self._quiet_since is not None and end - self._quiet_since >= settings.min_silence_usec:
            self._active = False
            return "end"
        return "update" if start - self._told >= settings.update_interval_usec else None
