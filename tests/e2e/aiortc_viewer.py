"""aiortc as a viewer: an independent WebRTC stack, with a note of each packet that comes in.

aiortc has no public way to see packets or to send feedback, so this reaches into its receivers:
tests only.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.rtp import RTCP_PSFB_APP, RtcpPsfbPacket, RtcpSrPacket, pack_remb_fci

from e2e.symple_caller import symple_caller
from e2e.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aiortc import RTCRtpReceiver
    from aiortc.rtp import RtpPacket

IDR, STAP_A, FU_A = 5, 24, 28  # NAL unit types: H.264 table 7-1, RFC 6184 §5.2


def starts_idr(payload: bytes) -> bool:
    """Whether an H.264 RTP payload begins or holds an IDR slice (RFC 6184 §5.4 to §5.8)."""
    kind = payload[0] & 31
    if kind == FU_A:
        return payload[1] & 31 == IDR and payload[1] & 0x80 != 0
    if kind == STAP_A:
        at = 1
        while at + 2 < len(payload):
            if payload[at + 2] & 31 == IDR:
                return True
            at += 2 + int.from_bytes(payload[at : at + 2], "big")
        return False
    return kind == IDR


@dataclass(frozen=True)
class Packet:
    """One RTP packet: arrival in loop time, RTP timestamp, payload size, whether an IDR begins."""

    arrival: float
    timestamp: int
    size: int
    idr: bool


@dataclass(frozen=True)
class SenderReport:
    """Wall clock in seconds and RTP timestamp of one moment (RFC 3550 §6.4.1)."""

    wall: float
    timestamp: int


@dataclass
class Reception:
    """What one receiver got."""

    receiver: RTCRtpReceiver
    rate: int
    ssrc: int = 0
    packets: list[Packet] = field(default_factory=list)
    reports: list[SenderReport] = field(default_factory=list)

    def attach(self) -> None:
        """Take note of all that comes from now on."""
        receiver: Any = self.receiver
        on_rtp, on_rtcp = receiver._handle_rtp_packet, receiver._handle_rtcp_packet
        video = self.rate == 90_000
        loop = asyncio.get_running_loop()

        async def rtp(packet: RtpPacket, arrival_time_ms: int) -> None:
            # RTX and padding have a payload type or a size of their own; only media counts.
            if packet.payload and (not self.ssrc or packet.ssrc == self.ssrc):
                self.ssrc = packet.ssrc
                idr = video and starts_idr(packet.payload)
                self.packets.append(Packet(loop.time(), packet.timestamp, len(packet.payload), idr))
            await on_rtp(packet, arrival_time_ms)

        async def rtcp(packet: Any) -> None:
            if isinstance(packet, RtcpSrPacket):
                info = packet.sender_info
                self.reports.append(SenderReport(info.ntp_timestamp / 2**32, info.rtp_timestamp))
            await on_rtcp(packet)

        receiver._handle_rtp_packet, receiver._handle_rtcp_packet = rtp, rtcp
        # Its own estimate would speak against the one that a test sends.
        receiver._RTCRtpReceiver__remote_bitrate_estimator = None
        # Frames shall carry the RTP timestamps as they came.
        receiver._RTCRtpReceiver__timestamp_mapper.map = lambda timestamp: timestamp

    def wall(self, timestamp: int) -> float:
        """The sender's wall clock at an RTP timestamp, by the nearest sender report."""
        report = min(self.reports, key=lambda r: abs(signed(timestamp - r.timestamp)))
        return report.wall + signed(timestamp - report.timestamp) / self.rate

    def arrival(self, timestamp: int) -> float:
        """When the first packet with this RTP timestamp, or the last before it, arrived."""
        before = [p for p in self.packets if signed(timestamp - p.timestamp) >= 0]
        nearest = min(before, key=lambda p: signed(timestamp - p.timestamp))
        return next(p.arrival for p in self.packets if p.timestamp == nearest.timestamp)

    def bitrate(self, since: float, until_: float) -> float:
        """Payload bits a second between two moments of loop time."""
        size = sum(p.size for p in self.packets if since <= p.arrival < until_)
        return size * 8 / (until_ - since)

    async def send_remb(self, bits_per_second: int) -> None:
        """Say that the path carries no more than this (draft-alvestrand-rmcat-remb §2)."""
        receiver: Any = self.receiver
        await receiver._send_rtcp(
            RtcpPsfbPacket(
                fmt=RTCP_PSFB_APP,
                ssrc=receiver._RTCRtpReceiver__rtcp_ssrc,
                media_ssrc=0,
                fci=pack_remb_fci(bits_per_second, [self.ssrc]),
            )
        )

    async def send_pli(self) -> None:
        """Say that a picture was lost (RFC 4585 §6.3.1)."""
        receiver: Any = self.receiver
        await receiver._send_rtcp_pli(self.ssrc)


def signed(difference: int) -> int:
    """The difference of two 32-bit RTP timestamps, across their wrap."""
    return (difference + 2**31) % 2**32 - 2**31


@dataclass
class AiortcViewer:
    """A call in progress."""

    audio: Reception
    video: Reception


@asynccontextmanager
async def aiortc_viewer(url: str, user: str = "aiortc") -> AsyncIterator[AiortcViewer]:
    """Call the server and yield once both kinds of media arrive."""
    async with symple_caller(url, user) as caller:
        await caller.call("call:init")
        await caller.receive("call:accept")
        connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        try:
            audio = Reception(connection.addTransceiver("audio", "recvonly").receiver, 48_000)
            video = Reception(connection.addTransceiver("video", "recvonly").receiver, 90_000)
            audio.attach()
            video.attach()
            await connection.setLocalDescription(await connection.createOffer())
            await caller.call("call:offer", type="offer", sdp=connection.localDescription.sdp)
            sdp = (await caller.receive("call:answer"))["data"]["sdp"]
            await connection.setRemoteDescription(RTCSessionDescription(sdp, "answer"))
            await until(lambda: audio.packets and video.packets, "audio and video arrive")
            yield AiortcViewer(audio, video)
            await caller.call("call:hangup", reason="done")
        finally:
            await connection.close()
