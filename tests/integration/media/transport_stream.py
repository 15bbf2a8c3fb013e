"""Moves the times of an MPEG-TS file (ISO/IEC 13818-1 §2.4.3), to make it jump as broadcasts do."""

from __future__ import annotations

PACKET = 188
VIDEO, AUDIO = 0x100, 0x101
"""The PIDs that FFmpeg gives the first two streams."""

CLOCK = 90_000


def moved(data: bytes, by_s: float, *, after_s: float = -1.0, pids=(VIDEO, AUDIO)) -> bytes:
    """Return the file with all times of these streams later than `after_s` moved."""
    out = bytearray(data)
    for start in range(0, len(out), PACKET):
        pid = (out[start + 1] & 0x1F) << 8 | out[start + 2]
        begins = out[start + 1] & 0x40
        if pid not in pids or not begins:
            continue
        at = start + 4
        if out[start + 3] & 0x20:  # an adaptation field
            at += 1 + out[at]
        flags = out[at + 7] >> 6
        places = {0: [], 2: [at + 9], 3: [at + 9, at + 14]}[flags]
        if places and _read(out, places[-1]) > after_s * CLOCK:
            for place in places:
                _write(out, place, _read(out, place) + round(by_s * CLOCK))
    return bytes(out)


def _read(data: bytearray, at: int) -> int:
    high, middle, low = data[at] >> 1 & 7, data[at + 1 : at + 3], data[at + 3 : at + 5]
    return high << 30 | int.from_bytes(middle, "big") >> 1 << 15 | int.from_bytes(low, "big") >> 1


def _write(data: bytearray, at: int, time: int) -> None:
    time %= 1 << 33
    data[at] = data[at] & 0xF0 | (time >> 30 & 7) << 1 | 1
    data[at + 1 : at + 3] = ((time >> 15 & 0x7FFF) << 1 | 1).to_bytes(2, "big")
    data[at + 3 : at + 5] = ((time & 0x7FFF) << 1 | 1).to_bytes(2, "big")
