"""Parameter sets as a sender might announce them, written bit by bit (H.264 §7.3.2.1)."""

from __future__ import annotations


def sequence_set(columns: int, rows: int, profile: int = 66) -> bytes:
    """An SPS of so many macroblocks of 16x16 pixels."""
    bits = f"{profile:08b}{0xC0:08b}{51:08b}"
    bits += _ue(0) + _ue(0) + _ue(2) + _ue(16) + "0" + _ue(columns - 1) + _ue(rows - 1) + "11001"
    bits += "0" * (-len(bits) % 8)
    return b"\x67" + bytes(int(bits[i : i + 8], 2) for i in range(0, len(bits), 8))


def unit(*nal_units: bytes) -> bytes:
    """An access unit in Annex B."""
    return b"".join(b"\0\0\0\1" + nal for nal in nal_units)


def _ue(value: int) -> str:
    digits = f"{value + 1:b}"
    return "0" * (len(digits) - 1) + digits
