"""One unbroken line of time out of the time stamps of a file, which may jump.

Where transport streams were joined, or a recorder's clock was set, time stamps jump; where a slide
or a paused microphone has nothing to say, they only go on later. The order of the packets in the
file tells these apart: in a pause the other stream goes on meanwhile, in a jump it does not.
Pure arithmetic on nanoseconds.
"""

from __future__ import annotations

from dataclasses import dataclass

from icey.media.timebase import SECOND_NS

BACK_NS = SECOND_NS // 4
"""Decoding times never go back, save by rounding and sloppy muxers; by more than this it is a
jump, in containers that jump. In others FFmpeg makes decoding times up, and goes wrong at times."""

GAP_NS = 2 * SECOND_NS
"""A step forward that is shorter is a pause, whatever the other stream does."""

SAFE_GAP_NS = 10 * SECOND_NS
"""Likewise in containers with an index of times (MP4, Matroska …), which players obey."""

REORDERED = 20
"""Pictures by which a picture may come too early at most: H.264 allows 16."""

LAG_NS = 2 * SECOND_NS
"""How far apart in a file the streams' packets of the same time may lie."""

ALONE_NS = 8 * SECOND_NS
"""A step forward of a stream whose pace was steady, and that nothing stands beside, is a jump when
it is longer."""

STEADY = 12
"""Steps after which the pace of a stream is known."""

LONGEST_NS = 60 * SECOND_NS
"""A step forward that nothing confirms is a jump when it is longer, in containers that jump."""

AGREE_NS = 2 * SECOND_NS
"""Two streams that jump are kept in step where that moves the second by less."""

TAIL_NS = SECOND_NS * 3 // 10
"""What follows a jump waits for the other stream's end by this much at most."""


@dataclass(slots=True)
class _Line:
    """One stream: what is added to its times, and where it stands on the unbroken line, ns."""

    shift: int
    last: int
    end: int
    steps: int = 0
    longest: int = 0


class ShownTimes:
    """Chooses the time of each decoded picture: its presentation or its decoding time.

    That which goes on more steadily. Containers without presentation times (AVI) get them from
    FFmpeg, which is wrong where there are B-frames. FFmpeg's ``best_effort_timestamp`` has the same
    rule.

    Args:
        early: how much earlier than shown pictures are decoded, in units of their time base, where
            the container has decoding times only; None elsewhere.
    """

    def __init__(self, early: int | None) -> None:
        self._early = early or 0
        self._faulty_pts, self._faulty_dts = int(early is not None), 0
        self.begin()

    def begin(self) -> None:
        """Take note that times begin anew."""
        self._last_pts = self._last_dts = -(2**63)

    def choose(self, pts: int | None, dts: int | None) -> int | None:
        """Return the time of the next picture, in the order in which the decoder gives them.

        None: nothing is known of it, so it follows the one before as usual.
        """
        if dts is not None:
            self._faulty_dts += dts <= self._last_dts
            self._last_dts = dts
        if pts is not None:
            self._faulty_pts += pts <= self._last_pts
            self._last_pts = pts
        if pts is None or self._faulty_pts > self._faulty_dts:
            return None if dts is None else dts - self._early
        return pts


class Continuity:
    """Places packets, in the order of the file, on one line of time.

    Args:
        jumps: whether the container is one whose time stamps jump (MPEG-TS, MPEG-PS, FLV …).
    """

    def __init__(self, *, jumps: bool) -> None:
        self._jumps = jumps
        self._lines: dict[int, _Line] = {}

    def is_unclear(self, stream: int, pts_ns: int, dts_ns: int | None, duration_ns: int) -> bool:
        """Say whether only what follows in its stream tells where a packet belongs.

        One whose picture is shown much later than it is decoded is either shown behind a pause, or
        it is the first after a jump, with a decoding time that FFmpeg made up from those before.
        """
        line = self._lines.get(stream)
        if line is None or dts_ns is None:
            return False
        return pts_ns - dts_ns > _reordering(line, duration_ns)

    def shift(self, stream: int, pts_ns: int, dts_ns: int | None, duration_ns: int) -> int:
        """Return what to add to a packet's times, ns; 0 until something jumps.

        Args:
            stream: the number of its stream.
            pts_ns: its presentation time.
            dts_ns: its decoding time.
            duration_ns: how long it lasts, 0 if unknown.
        """
        line = self._lines.get(stream)
        if line is None:
            line = self._begin(stream, pts_ns if dts_ns is None else dts_ns)
        elif (at_ns := _decoding_time(line, pts_ns, dts_ns, duration_ns)) is not None:
            here = at_ns + line.shift
            back = BACK_NS if self._jumps else _reordering(line, duration_ns)
            if here < line.last - back or self._jumped(line, here, at_ns):
                line.shift = self._shift_after_jump(line, at_ns)
                here = at_ns + line.shift
            else:
                line.steps += 1
                line.longest = max(line.longest, here - line.last)
            line.last = here
        line.end = line.last + min(duration_ns or line.longest, SECOND_NS)
        return line.shift

    def _begin(self, stream: int, at_ns: int) -> _Line:
        other = next(iter(self._lines.values()), None)
        shift = 0 if other is None else other.shift
        if other is not None and self._jumps and abs(at_ns + shift - other.end) > LONGEST_NS:
            # The first packets of the other are left over from before a jump.
            shift = other.end - at_ns
        line = self._lines[stream] = _Line(shift, at_ns + shift, at_ns + shift)
        return line

    def _jumped(self, line: _Line, here: int, at_ns: int) -> bool:
        gap = here - line.end
        if gap <= (GAP_NS if self._jumps else SAFE_GAP_NS):
            return False
        if self._followed(line, at_ns) is not None:
            return True
        # One that ended, or pauses too, is no witness.
        witnesses = [
            other
            for other in self._lines.values()
            if other is not line and other.end >= line.end - LAG_NS
        ]
        if witnesses:
            return all(other.end < here - max(gap // 2, LAG_NS) for other in witnesses)
        if not self._jumps:
            return False
        steady = line.steps >= STEADY and gap > 8 * line.longest
        return gap > LONGEST_NS or (gap > ALONE_NS and steady)

    def _shift_after_jump(self, line: _Line, at_ns: int) -> int:
        followed = self._followed(line, at_ns)
        if followed is not None:
            return followed.shift
        ends = [o.end for o in self._lines.values() if 0 < o.end - line.end < TAIL_NS]
        return max([line.end, *ends]) - at_ns

    def _followed(self, line: _Line, at_ns: int) -> _Line | None:
        """Return the stream that has jumped there already."""
        for other in self._lines.values():
            if other.shift != line.shift and abs(at_ns + other.shift - line.end) < AGREE_NS:
                return other
        return None


def _decoding_time(line: _Line, pts_ns: int, dts_ns: int | None, duration_ns: int) -> int | None:
    """Return the time that does not go back within a stream; None where only the order is odd.

    Where a container leaves decoding times away FFmpeg makes them up, and goes on doing so from the
    old times for some packets after a jump.
    """
    reordering = _reordering(line, duration_ns)
    if dts_ns is not None and 0 <= pts_ns - dts_ns <= reordering:
        return dts_ns
    far = abs(pts_ns + line.shift - line.last) > reordering
    return pts_ns if far or dts_ns is not None else None


def _reordering(line: _Line, duration_ns: int) -> int:
    """Return how far apart the two times of a packet may be, ns."""
    return max(LAG_NS, REORDERED * max(duration_ns, line.longest))
