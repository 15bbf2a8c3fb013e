"""Opus packets made a run without holes or overlaps.

The run follows the times of its packets loosely: where a packet is more than `TOLERANCE_NS` from
the end of the run, whole packets of silence are put in, or the packet is left out.
"""

from __future__ import annotations

from icey.media.timebase import AUDIO_CLOCK, SECOND_NS

SILENCE = b"\xf8\xff\xfe"
"""An Opus packet of 20 ms in which nothing is heard (RFC 6716 §3.1, configuration 31)."""

SILENCE_SAMPLES = 960

TOLERANCE_NS = 30_000_000
"""How far a packet may be from the end of the run. 45 ms early is the least that anybody notices
(ITU-R BT.1359)."""


class Continuity:
    """Places Opus packets in a run without holes and overlaps. Times are in samples.

    Attributes:
        next: where the next packet begins.
    """

    def __init__(self) -> None:
        self.next = 0

    def place(self, at_ns: int, samples: int) -> tuple[int, bool]:
        """Place a packet that belongs at a time of the recording.

        Returns:
            How many packets of silence the caller writes first, and whether it writes the packet
            after them. `next` has already moved on.
        """
        ahead = at_ns * AUDIO_CLOCK // SECOND_NS - self.next
        tolerance = TOLERANCE_NS * AUDIO_CLOCK // SECOND_NS
        if ahead < -tolerance:
            return 0, False
        silent = round(ahead / SILENCE_SAMPLES) if ahead > tolerance else 0
        self.next += silent * SILENCE_SAMPLES + samples
        return silent, True

    def fill(self, until_ns: int) -> int:
        """Return how many packets of silence the caller writes up to a time; `next` moves on."""
        missing = until_ns * AUDIO_CLOCK // SECOND_NS - self.next
        silent = max(0, missing // SILENCE_SAMPLES)
        self.next += silent * SILENCE_SAMPLES
        return silent


def opus_samples(packet: bytes) -> int:
    """Return the length of an Opus packet in 1/48000 s (RFC 6716 §3.1); 20 ms for a broken one."""
    if not packet:
        return SILENCE_SAMPLES
    configuration = packet[0] >> 3
    if configuration < 12:  # SILK
        frame = (480, 960, 1920, 2880)[configuration & 3]
    elif configuration < 16:  # hybrid
        frame = (480, 960)[configuration & 1]
    else:  # CELT
        frame = (120, 240, 480, 960)[configuration & 3]
    code = packet[0] & 3
    count = (1, 2, 2, packet[1] & 63 if len(packet) > 1 else 1)[code]
    samples = frame * count
    return samples if 0 < samples <= 5760 else SILENCE_SAMPLES
