"""What one recorded call may take: bytes, time and bitrate. Pure: `now` is passed in."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from icey.config.limits import LimitsSettings

RATE_SECONDS = 10.0
"""Over how long the bitrate is measured: a scene cut is no flood."""

RATE_EXCESS = 1.5
"""How much more than it was told a caller may send."""


@dataclass(frozen=True, slots=True)
class Exceeded:
    """A bound that is reached: its name among the refusals, and words for the caller."""

    bound: str
    reason: str


class CallBounds:
    """The bounds of one call.

    Args:
        limits: ``limits``.
    """

    def __init__(self, limits: LimitsSettings) -> None:
        self._limits = limits
        self._received: deque[tuple[float, int]] = deque()

    def check(self, *, written: int, received: int, seconds: float, now: float) -> Exceeded | None:
        """Return the bound that is reached; None where there is none. For once a second.

        Args:
            written: bytes on the disk, of all files.
            received: bytes from the caller since its start.
            seconds: since its recording began.
            now: seconds, from a monotonic clock.
        """
        limits = self._limits
        if 0 < limits.recording_bytes <= written:
            mebibytes = limits.recording_bytes >> 20
            reason = (
                f"{mebibytes} MiB are recorded, and no more of one call (limits.recordingBytes)"
            )
            return Exceeded("recordingBytes", reason)
        if 0 < limits.recording_seconds <= seconds:
            most = limits.recording_seconds
            reason = f"{most} s are recorded, and no more of one call (limits.recordingSeconds)"
            return Exceeded("recordingSeconds", reason)
        self._received.append((now, received))
        while len(self._received) > 1 and self._received[1][0] <= now - RATE_SECONDS:
            self._received.popleft()
        since, before = self._received[0]
        most = limits.recording_bitrate
        if most and now - since >= RATE_SECONDS:
            rate = (received - before) * 8 / (now - since)
            if rate > most * RATE_EXCESS:
                reason = (
                    f"{rate / 1e6:.1f} Mb/s are sent, and {most / 1e6:.1f} are allowed "
                    "(limits.recordingBitrate)"
                )
                return Exceeded("recordingBitrate", reason)
        return None
