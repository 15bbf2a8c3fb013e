"""Media time: pure arithmetic on nanoseconds, no clock is read here.

Three times occur. *Source time* is what the container's timestamps say: any origin, it may
jump. *Media time* starts at 0 with the pipeline and never goes back. A *timestamp* is media time
in units of the RTP clock. All but the last are integer nanoseconds.
"""

from __future__ import annotations

from collections import deque
from fractions import Fraction

SECOND_NS = 1_000_000_000
VIDEO_CLOCK = 90_000
"""Units a second of RTP timestamps of H.264 (RFC 6184 §8.1)."""

AUDIO_CLOCK = 48_000
"""Units a second of RTP timestamps of Opus, whatever the sample rate (RFC 7587 §4.1)."""

MIN_RATE = 15
"""Frames a second below which a slow file is sent with repeats, so that a keyframe that
somebody asks for is never more than 1/15 s away."""


def to_ns(pts: int, time_base: Fraction) -> int:
    """Turn a container's timestamp into nanoseconds."""
    return pts * time_base.numerator * SECOND_NS // time_base.denominator


def to_timestamp(media_ns: int, clock: int) -> int:
    """Turn media time into units of an RTP clock, to the nearest one."""
    return (media_ns * clock + SECOND_NS // 2) // SECOND_NS


def output_rate(average: Fraction | None, guessed: Fraction | None, limit: int) -> Fraction:
    """Choose the constant frame rate at which a file is sent.

    A steady source no faster than `limit` keeps its own rate, as repeats would only make its
    motion uneven; below `MIN_RATE` a whole multiple of it. An unsteady or faster one gets `limit`.

    Args:
        average: frames a second over the whole source, None if unknown.
        guessed: FFmpeg's guess at the rate of which all times are multiples, None if unknown.
        limit: ``media.video.fps``.
    """
    if not average or not guessed or average <= 0 or guessed <= 0:
        return Fraction(limit)
    if average > limit * Fraction(101, 100) or not 0.98 < average / guessed < 1.02:
        return Fraction(limit)
    rate = guessed.limit_denominator(1001)
    if rate >= min(MIN_RATE, limit):
        return min(rate, Fraction(limit))
    multiple = -(-min(MIN_RATE, limit) // rate)
    return min(rate * multiple, Fraction(limit))


class FrameGrid:
    """Makes a constant frame rate out of pictures at any times, by repeating and dropping.

    Ticks are numbered from 0, tick ``n`` is due at ``n / rate`` s of media time. A picture is
    shown from the tick nearest to its time up to the next picture's; one with no tick of its own
    is dropped. Rounding to the nearest tick makes a steady source map one to one, however its
    timestamps were rounded.

    Attributes:
        next_tick: the first tick that no picture was given for yet.
    """

    def __init__(self, rate: Fraction) -> None:
        self.rate = rate
        self.next_tick = 0

    def time(self, tick: int) -> int:
        """Return when a tick is due, media ns."""
        return tick * SECOND_NS * self.rate.denominator // self.rate.numerator

    def tick(self, media_ns: int) -> int:
        """Return the tick nearest to a time, halves up."""
        return (2 * media_ns * self.rate.numerator // (SECOND_NS * self.rate.denominator) + 1) // 2

    def cover(self, until_ns: int) -> range:
        """Hand out the ticks up to `until_ns`: those of the picture that this time replaces."""
        ticks = range(self.next_tick, max(self.next_tick, self.tick(until_ns)))
        self.next_tick = ticks.stop
        return ticks


class RateCap:
    """Thins a live source to at most so many pictures a second, and delays none of them."""

    def __init__(self, fps: int) -> None:
        self._period = SECOND_NS // fps
        self._next: int | None = None

    def accept(self, media_ns: int) -> bool:
        """Say whether the picture of this time is to be sent."""
        if self._next is None:
            self._next = media_ns + self._period
            return True
        if media_ns < self._next - self._period // 4:  # a quarter of a period is jitter
            return False
        self._next = max(self._next, media_ns - self._period) + self._period
        return True


class ArrivalClock:
    """Places a live source on media time by when its pictures arrive.

    The network delays each picture differently; the one that came fastest shows best what
    the delay must be, so that one of the last `WINDOW_NS` rules. Jitter therefore does not
    reach the timestamps, and a source clock that runs slow or fast is followed within seconds.
    """

    WINDOW_NS = 10 * SECOND_NS
    JUMP_NS = SECOND_NS
    """A picture that is this far from where it should be means that the source's clock jumped."""

    def __init__(self) -> None:
        self._delays: deque[tuple[int, int]] = deque()  # (arrival, delay), delays rising

    def reset(self) -> None:
        """Forget all: the source was opened anew."""
        self._delays.clear()

    def place(self, source_ns: int, arrival_ns: int) -> int:
        """Return the media time of a picture or sound.

        Args:
            source_ns: its source time.
            arrival_ns: the media time at which it arrived.
        """
        delay = arrival_ns - source_ns
        delays = self._delays
        if delays and abs(delay - delays[0][1]) > self.JUMP_NS:
            delays.clear()
        while delays and delays[-1][1] >= delay:
            delays.pop()
        delays.append((arrival_ns, delay))
        while delays[0][0] < arrival_ns - self.WINDOW_NS:
            delays.popleft()
        return source_ns + delays[0][1]


class KeyframeGate:
    """Lets keyframe requests through, at most one in `interval_ns`; a late one waits, none is lost.

    `request` may be called from any thread, the rest from the encoder's.
    """

    def __init__(self, interval_ns: int = 300_000_000) -> None:
        self._interval = interval_ns
        self._wanted = True  # the first frame
        self._last: int | None = None

    def request(self) -> None:
        """Ask for a keyframe."""
        self._wanted = True

    def due(self, now_ns: int) -> bool:
        """Say whether the next frame is to be a keyframe."""
        return self._wanted and (self._last is None or now_ns - self._last >= self._interval)

    def sent(self, now_ns: int) -> None:
        """Note that a keyframe was made, asked for or not."""
        self._wanted = False
        self._last = now_ns
