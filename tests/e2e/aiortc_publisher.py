"""aiortc as a camera: the demo's picture and tone, sent to a server in record mode.

The picture carries the wall clock of its drawing (the time strip of `icey.media.demo`) and a
square that lights up while the tone beeps, so that a recording tells what it kept and when.
"""

from __future__ import annotations

import asyncio
import fractions
import time
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import av
import numpy as np
from aiortc import (
    MediaStreamTrack,
    RTCConfiguration,
    RTCPeerConnection,
    RTCRtpSender,
    RTCSessionDescription,
)
from websockets.exceptions import ConnectionClosed

from e2e.symple_caller import SympleCaller, symple_caller
from e2e.waiting import until
from icey.media.demo import DemoPicture, demo_sound

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from e2e.impaired_path import ImpairedPath

SIZE = 320, 240
FPS = 15
BLOCK = 960  # samples of an Opus packet of 20 ms at 48 kHz


class DemoCamera(MediaStreamTrack):
    """The demo's pictures in real time.

    A picture has the time at which it was drawn, and one that comes too late is left out, as a
    camera does it: else a busy machine would send pictures whose times and clocks differ.
    """

    kind = "video"

    def __init__(self, start: float) -> None:
        super().__init__()
        self._start = start
        self._picture = DemoPicture(*SIZE)
        self._due = 0
        self.sent = 0
        self.last_wall_ms = 0

    async def recv(self) -> av.VideoFrame:
        """Return the picture that is due next."""
        self._due = max(self._due, int((time.monotonic() - self._start) * FPS))
        await asyncio.sleep(max(0.0, self._start + self._due / FPS - time.monotonic()))
        at, self.last_wall_ms = time.monotonic() - self._start, time.time_ns() // 1_000_000
        drawn = self._picture.draw(round(at * 1_000_000_000), self.last_wall_ms)
        frame = av.VideoFrame.from_ndarray(drawn.to_ndarray(), "yuv420p")
        frame.pts, frame.time_base = round(at * 90_000), fractions.Fraction(1, 90_000)
        self._due += 1
        self.sent += 1
        return frame


class DemoMicrophone(MediaStreamTrack):
    """The demo's tone in real time, on the camera's clock."""

    kind = "audio"

    def __init__(self, start: float) -> None:
        super().__init__()
        self._start = start
        self._sound = demo_sound(48_000, 2)
        self._blocks = 0

    async def recv(self) -> av.AudioFrame:
        """Return the block of sound that is due next; the first is what is heard by then."""
        if not self._blocks:
            self._blocks = max(0, int((time.monotonic() - self._start) * 48_000 / BLOCK))
        due = self._start + self._blocks * BLOCK / 48_000
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        at = self._blocks * BLOCK % len(self._sound)
        samples = np.ascontiguousarray(self._sound[at : at + BLOCK]).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="stereo")
        frame.sample_rate, frame.pts = 48_000, self._blocks * BLOCK
        frame.time_base = fractions.Fraction(1, 48_000)
        self._blocks += 1
        return frame


@dataclass
class AiortcPublisher:
    """A call in progress."""

    caller: SympleCaller
    camera: DemoCamera
    connection: RTCPeerConnection

    async def hang_up(self) -> None:
        """End the call."""
        await self.caller.call("call:hangup", reason="done")


@asynccontextmanager
async def aiortc_publisher(
    url: str, user: str = "camera", *, path: ImpairedPath | None = None, audio: bool = True
) -> AsyncIterator[AiortcPublisher]:
    """Call the server and yield once media flow; leaving hangs up.

    Args:
        url: where the server is.
        user: the name that the recording gets.
        path: what every datagram goes through, None for loopback as it is.
        audio: whether there is a microphone.
    """
    async with symple_caller(url, user) as caller:
        await caller.call("call:init")
        await caller.receive("call:accept")
        connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        try:
            start = time.monotonic()
            camera = DemoCamera(start)
            video = connection.addTransceiver(camera, "sendonly")
            codecs = RTCRtpSender.getCapabilities("video").codecs
            video.setCodecPreferences([c for c in codecs if c.mimeType != "video/VP8"])
            if audio:
                connection.addTransceiver(DemoMicrophone(start), "sendonly")
            await connection.setLocalDescription(await connection.createOffer())
            offer = connection.localDescription.sdp
            if path is not None:
                offer = path.without_candidates(offer)
            await caller.call("call:offer", type="offer", sdp=offer)
            answer = (await caller.receive("call:answer"))["data"]["sdp"]
            if path is not None:
                answer = path.through(answer)
            await connection.setRemoteDescription(RTCSessionDescription(answer, "answer"))
            await until(lambda: connection.connectionState == "connected", "media flow")
            publisher = AiortcPublisher(caller, camera, connection)
            yield publisher
            with suppress(ConnectionClosed):  # where the test has ended the server
                await publisher.hang_up()
        finally:
            await connection.close()
