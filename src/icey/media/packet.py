"""Packets as such: which one it is, and one that stands alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import av

if TYPE_CHECKING:
    from typing import Any

    from av.packet import Packet


def identity(packet: Packet[Any]) -> tuple[object, ...]:
    """Return what tells a packet of a file from its others."""
    return packet.stream_index, packet.pts, packet.size, packet.pos


def detached(packet: Packet[Any]) -> Packet[Any]:
    """Return a copy of a V4L2 device's packet, which lies in a buffer of the device.

    FFmpeg's rawvideo decoder makes pictures out of the packet without copying it, and giving the
    buffer back when the device was closed meanwhile is a use of freed memory in FFmpeg. It also
    leaves all buffers to the device, however long a picture is held.
    """
    twin: Packet[Any] = av.Packet(bytes(packet))
    twin.stream = packet.stream
    twin.pts, twin.dts, twin.time_base = packet.pts, packet.dts, packet.time_base
    twin.is_keyframe = packet.is_keyframe
    return twin
