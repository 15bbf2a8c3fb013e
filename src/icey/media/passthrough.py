"""Sending the H.264 of a source as it is: no decoder, no encoder."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["AccessUnit"]


@dataclass(frozen=True, slots=True)
class AccessUnit:
    """One coded picture in Annex B; a keyframe is an IDR with its SPS and PPS before it."""

    data: bytes
    keyframe: bool
