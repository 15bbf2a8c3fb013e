"""The packets of a file with the jumps taken out of their times."""

from __future__ import annotations

from typing import TYPE_CHECKING

from icey.media.continuity import Continuity
from icey.media.timebase import SECOND_NS, to_ns

if TYPE_CHECKING:
    from fractions import Fraction
    from typing import Any

    from av.packet import Packet

MAX_UNCLEAR = 32
"""Packets that wait at most for one that tells where they belong: twice what H.264 reorders."""


class PacketTimes:
    """Places packets in the order of the file; of one round.

    Args:
        jumps: whether the container is one whose time stamps jump.

    Attributes:
        ends: how far each stream came, by its number, source ns.
    """

    def __init__(self, *, jumps: bool) -> None:
        self.ends: dict[int, int] = {}
        self._continuity = Continuity(jumps=jumps)
        self._unclear: list[Packet[Any]] = []  # of one stream
        self._last: dict[int, tuple[int, int]] = {}  # the last one's pts and shift, ns

    def place(self, packet: Packet[Any]) -> list[Packet[Any]]:
        """Take the next packet; return those that have their place now, usually this one."""
        if packet.pts is None or not packet.size:
            held, self._unclear = self._unclear, []
            return [*(_moved(each, self._shift(each)) for each in held), packet]
        number = packet.stream.index
        pts, dts, length = _times(packet)
        self.ends[number] = max(self.ends.get(number, 0), pts + length)
        others = self._unclear and self._unclear[0].stream.index != number
        unclear = self._continuity.is_unclear(number, pts, dts, length)
        if unclear and not others and len(self._unclear) < MAX_UNCLEAR:
            self._unclear.append(packet)
            return []
        last_pts, before = self._last.get(number, (pts, 0))
        after = self._shift(packet)
        self._last[number] = pts, after
        placed = [_moved(packet, after)]
        if not others:
            held, self._unclear = self._unclear, []
            for each in reversed(held):
                at = _times(each)[0]
                behind = abs(at - pts) <= abs(at - last_pts)
                placed.insert(0, _moved(each, after if behind else before))
        return placed

    def _shift(self, packet: Packet[Any]) -> int:
        return self._continuity.shift(packet.stream.index, *_times(packet))


def _times(packet: Packet[Any]) -> tuple[int, int | None, int]:
    """Return presentation time, decoding time and length, ns."""
    base = packet.time_base
    dts = to_ns(packet.dts, base) if packet.dts is not None else None
    return to_ns(packet.pts or 0, base), dts, to_ns(packet.duration or 0, base)


def _moved(packet: Packet[Any], shift_ns: int) -> Packet[Any]:
    if shift_ns:
        units = _units(shift_ns, packet.time_base)
        packet.pts = packet.pts + units if packet.pts is not None else None
        packet.dts = packet.dts + units if packet.dts is not None else None
    return packet


def _units(time_ns: int, base: Fraction) -> int:
    return round(time_ns / SECOND_NS / base)
