"""A connection that sends and receives at once, against aiortc, over loopback."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, Literal

import av
import numpy as np
import pytest
from aiortc import RTCPeerConnection, RTCRtpSender, RTCSessionDescription
from aiortc.mediastreams import AudioStreamTrack, MediaStreamError, VideoStreamTrack

from icey import _core

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aiortc import MediaStreamTrack

DEADLINE_S = 20.0


class Camera(VideoStreamTrack):
    """Grey pictures that get lighter, 30 a second."""

    async def recv(self) -> av.VideoFrame:
        pts, time_base = await self.next_timestamp()
        level = 40 + pts // 3000 % 60 * 3
        picture = np.full((180, 320, 3), level, dtype=np.uint8)
        frame = av.VideoFrame.from_ndarray(picture, "rgb24")
        frame.pts, frame.time_base = pts, time_base
        return frame


class Microphone(AudioStreamTrack):
    """A tone."""

    async def recv(self) -> av.AudioFrame:
        frame: Any = await super().recv()
        tone = np.sin(np.arange(frame.samples) / frame.sample_rate * 2 * np.pi * 500) * 9000
        loud = av.AudioFrame.from_ndarray(tone.astype(np.int16).reshape(1, -1), "s16", "mono")
        loud.pts, loud.sample_rate, loud.time_base = frame.pts, frame.sample_rate, frame.time_base
        return loud


class Caller:
    """An aiortc client that sends, and what comes back to it."""

    def __init__(self) -> None:
        self.client = RTCPeerConnection()
        self.client.addTrack(Microphone())
        self.client.addTrack(Camera())
        offered = RTCRtpSender.getCapabilities("video").codecs
        wanted = [c for c in offered if c.name in ("H264", "rtx")]
        self.client.getTransceivers()[1].setCodecPreferences(wanted)
        self.pictures: list[av.VideoFrame] = []
        self.sounds: list[av.AudioFrame] = []
        self.readers: list[asyncio.Task[None]] = []
        self.client.on("track", self._on_track)

    def _on_track(self, track: MediaStreamTrack) -> None:
        self.readers.append(asyncio.ensure_future(self._read(track)))

    async def _read(self, track: MediaStreamTrack) -> None:
        into: list[Any] = self.pictures if track.kind == "video" else self.sounds
        while True:
            try:
                into.append(await track.recv())
            except MediaStreamError:
                return

    async def connect(self, peer: _core.Peer) -> str:
        await self.client.setLocalDescription(await self.client.createOffer())
        answer = peer.accept_offer(self.client.localDescription.sdp)
        await self.client.setRemoteDescription(RTCSessionDescription(answer, "answer"))
        return answer

    async def close(self) -> None:
        await self.client.close()
        await asyncio.gather(*self.readers)


@pytest.fixture
def engine() -> Iterator[_core.Engine]:
    engine = _core.Engine(host="127.0.0.1")
    yield engine
    assert engine.stats().panics == 0
    engine.close()


@pytest.mark.parametrize("estimation", ["remb", "twcc"])
async def test_what_a_client_sends_comes_back_to_it(
    engine: _core.Engine, estimation: Literal["remb", "twcc"]
) -> None:
    """Pictures and sound that the client publishes are played by the client itself."""
    peer = engine.create_peer(direction="both", deliver="packets", estimation=estimation)
    tracks = [engine.create_track(kind) for kind in ("video", "audio")]
    for track in tracks:
        engine.attach(peer, track)
        engine.route(peer, track)
    caller = Caller()
    answer = await caller.connect(peer)
    assert answer.count("a=sendrecv") == 2
    assert peer.codecs == ("h264", "opus")
    async with asyncio.timeout(DEADLINE_S):
        while len(caller.pictures) < 60 or len(caller.sounds) < 100:
            await asyncio.sleep(0.05)
    stats = peer.stats()
    await caller.close()
    peer.close()
    assert (caller.pictures[-1].width, caller.pictures[-1].height) == (320, 180)
    lights = [float(p.to_ndarray(format="gray").mean()) for p in caller.pictures[-30:]]
    assert max(lights) - min(lights) > 30, "the pictures change as the camera's do"
    assert max(int(np.abs(s.to_ndarray()).max()) for s in caller.sounds[-50:]) > 3000
    assert stats.packets_received > 150
    assert stats.packets_sent > 150


async def test_a_client_is_sent_a_track_while_its_frames_are_received(
    engine: _core.Engine,
) -> None:
    """Frames come out of the same peer that a pushed track of sound goes into."""
    peer = engine.create_peer(direction="both")
    track = engine.create_track("audio")
    engine.attach(peer, track)
    caller = Caller()
    await caller.connect(peer)
    encoder = av.CodecContext.create("libopus", "w")
    encoder.sample_rate, encoder.layout, encoder.format = 48_000, "stereo", "s16"
    frames: list[_core.ReceivedFrame] = []
    pushed = 0
    async with asyncio.timeout(DEADLINE_S):
        while len(frames) < 100 or len(caller.sounds) < 50:
            tone = np.sin(np.arange(960) / 48_000 * 2 * np.pi * 500) * 9000
            stereo = np.repeat(tone.astype(np.int16), 2).reshape(1, -1)
            sound = av.AudioFrame.from_ndarray(stereo, "s16", "stereo")
            sound.sample_rate, sound.pts = 48_000, pushed * 960
            for packet in encoder.encode(sound):
                track.push(bytes(packet), pushed * 960, time.monotonic_ns(), keyframe=True)
            pushed += 1
            frames += peer.pull()
            await asyncio.sleep(0.02)
    await caller.close()
    peer.close()
    assert {frame.codec for frame in frames} == {"h264", "opus"}
    assert max(int(np.abs(s.to_ndarray()).max()) for s in caller.sounds[-20:]) > 3000
