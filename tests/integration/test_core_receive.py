"""The engine's receiving peers against aiortc, an independent client, over loopback."""

from __future__ import annotations

import asyncio
import time
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import av
import numpy as np
import pytest
from aiortc import RTCPeerConnection, RTCRtpSender, RTCSessionDescription
from aiortc.mediastreams import AudioStreamTrack, VideoStreamTrack

from icey import _core
from icey.errors import ClosedError, OfferError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DEADLINE_S = 15.0
VIEWER = Path(__file__).parents[2] / "rust/engine/tests/offers/chromium.sdp"
CAMERA = VIEWER.with_name("chromium-camera.sdp")


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
        frame = cast("av.AudioFrame", await super().recv())
        tone = np.sin(np.arange(frame.samples) / frame.sample_rate * 2 * np.pi * 500) * 9000
        loud = av.AudioFrame.from_ndarray(tone.astype(np.int16).reshape(1, -1), "s16", "mono")
        loud.pts, loud.sample_rate, loud.time_base = frame.pts, frame.sample_rate, frame.time_base
        return loud


class Sender:
    """An aiortc client that sends to a peer, and what the peer has received."""

    def __init__(self, engine: _core.Engine, codec: str = "H264") -> None:
        self.peer = engine.create_peer(direction="receive")
        self.client = RTCPeerConnection()
        self.client.addTrack(Microphone())
        self.client.addTrack(Camera())
        offered = RTCRtpSender.getCapabilities("video").codecs
        wanted = [c for c in offered if c.name in (codec, "rtx")]
        self.client.getTransceivers()[1].setCodecPreferences(wanted)
        self.frames: list[_core.ReceivedFrame] = []

    async def connect(self) -> None:
        await self.client.setLocalDescription(await self.client.createOffer())
        answer = self.peer.accept_offer(self.client.localDescription.sdp)
        await self.client.setRemoteDescription(RTCSessionDescription(answer, "answer"))

    def of(self, kind: str) -> list[_core.ReceivedFrame]:
        return [frame for frame in self.frames if frame.kind == kind]

    async def pull_until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while not holds():
                self.frames += self.peer.pull()
                await asyncio.sleep(0.02)

    async def close(self) -> None:
        await self.client.close()
        self.peer.close()


@pytest.fixture
def engine() -> Iterator[_core.Engine]:
    engine = _core.Engine(host="127.0.0.1")
    yield engine
    assert engine.stats().panics == 0
    engine.close()


def decode(codec: str, frames: list[_core.ReceivedFrame]) -> list[Any]:
    context: Any = av.CodecContext.create(codec, "r")
    return [out for frame in frames for out in context.decode(av.Packet(frame.data))]


@pytest.mark.alone
@pytest.mark.parametrize("codec", ["H264", "VP8"])
async def test_picture_and_sound_come_out_as_they_went_in(engine: _core.Engine, codec: str) -> None:
    """Every frame decodes, times advance by the frame, and reports put both on one clock."""
    sender = Sender(engine, codec)
    assert sender.peer.codecs == ()
    await sender.connect()
    assert sender.peer.codecs == (codec.lower(), "opus")
    # The camera lasts until both streams have told their clocks.
    await sender.pull_until(
        lambda: (
            len(sender.of("video")) > 60
            and all(sender.of(kind)[-1].report for kind in ("video", "audio"))
        )
    )
    video, audio = sender.of("video"), sender.of("audio")
    pictures = decode(codec.lower(), video)
    assert len(pictures) >= len(video) - 2
    assert pictures[0].to_ndarray(format="rgb24").shape == (180, 320, 3)
    lights = [float(picture.to_ndarray(format="gray").mean()) for picture in pictures[:30]]
    assert all(b > a - 1 for a, b in pairwise(lights)), "the pictures in their order"
    assert lights[-1] - lights[0] > 60
    assert max(np.abs(sound.to_ndarray()).max() for sound in decode("libopus", audio)) > 0.1

    assert video[0].keyframe
    assert not any(frame.after_loss for frame in sender.frames)
    # aiortc rounds the times of VP8.
    assert {b.timestamp - a.timestamp for a, b in pairwise(video)} <= {2999, 3000, 3001}
    assert {b.timestamp - a.timestamp for a, b in pairwise(audio)} == {960}
    now_ns = time.monotonic_ns()
    assert all(0 < now_ns - frame.arrived_ns < 30e9 for frame in sender.frames)
    moments = []
    for frame, rate in ((video[-1], 90_000), (audio[-1], 48_000)):
        assert frame.report is not None
        ntp_ns, at = frame.report
        moments.append(ntp_ns / 1e9 + (frame.timestamp - at) / rate - frame.arrived_ns / 1e9)
    assert abs(moments[0] - moments[1]) < 0.5, "seconds between the clocks of both"
    stats = sender.peer.stats()
    assert stats.frames_received >= len(sender.frames)
    assert stats.packets_received >= stats.frames_received
    assert stats.bytes_received >= sum(len(frame.data) for frame in audio)
    assert (stats.packets_lost, stats.frames_lost) == (0, 0)
    await sender.close()


async def test_a_keyframe_comes_when_it_is_asked_for(engine: _core.Engine) -> None:
    """request_keyframe reaches the browser, and its next keyframe stands by itself."""
    sender = Sender(engine)
    await sender.connect()
    await sender.pull_until(lambda: len(sender.of("video")) > 20)
    asked = len(sender.of("video"))
    sender.peer.request_keyframe()
    await sender.pull_until(lambda: any(frame.keyframe for frame in sender.of("video")[asked:]))
    keyframe = next(frame for frame in sender.of("video")[asked:] if frame.keyframe)
    assert len(keyframe.data) > 4
    assert keyframe.data.startswith(b"\0\0\0\1\x67"), "its SPS is in front"
    assert len(decode("h264", [keyframe, keyframe])) >= 1
    assert sender.peer.stats().plis_sent >= 2
    await sender.close()


@pytest.mark.parametrize("by_client", [True, False])
async def test_what_was_received_outlives_the_peer(engine: _core.Engine, by_client: bool) -> None:
    """After a close by either side, pull gives what was whole, and then nothing."""
    sender = Sender(engine)
    await sender.connect()
    async with asyncio.timeout(DEADLINE_S):
        while sender.peer.stats().frames_received < 60:
            await asyncio.sleep(0.02)
    received = sender.peer.stats().frames_received
    if by_client:
        await sender.client.close()
        async with asyncio.timeout(DEADLINE_S):
            while engine.stats().peers:
                await asyncio.sleep(0.02)
        events = engine.poll_events()
        assert any(isinstance(e, _core.PeerDisconnected) for e in events)
    else:
        sender.peer.close()
    first = sender.peer.pull(5)
    assert len(first) == 5
    frames = first + sender.peer.pull(10_000)
    assert len(frames) >= received
    assert sender.peer.pull() == []
    with pytest.raises(ClosedError):
        sender.peer.request_keyframe()
    with pytest.raises(ClosedError):
        sender.peer.stats()
    await sender.close()


def test_a_frame_is_made_whole_and_cannot_be_changed() -> None:
    """A ReceivedFrame has all its parts from the start, and keeps them."""
    frame: Any = _core.ReceivedFrame(codec="opus", data=b"\xfc", timestamp=960, arrived_ns=1)
    with pytest.raises(AttributeError):
        frame.timestamp = 0
    incomplete: Any = _core.ReceivedFrame
    with pytest.raises(TypeError):
        incomplete(codec="opus")


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ("a=recvonly\r\na=rtpmap:96 VP8/90000\r\n", "must send"),
        ("a=sendonly\r\na=rtpmap:96 AV1/90000\r\n", "codec: browser offers no H.264 or VP8"),
    ],
)
def test_what_cannot_be_recorded_is_refused_with_a_reason(
    engine: _core.Engine, lines: str, reason: str
) -> None:
    """The reason can go into call:reject as it is, and another offer may follow."""
    head = "v=0\r\no=- 1 2 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n"
    peer = engine.create_peer(direction="receive")
    with pytest.raises(OfferError) as caught:
        peer.accept_offer(f"{head}m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:0\r\n{lines}")
    assert reason in caught.value.reason
    assert "a=recvonly" in peer.accept_offer(CAMERA.read_bytes().decode())
    assert peer.codecs == ("h264", "opus")


def test_directions_are_kept_apart(engine: _core.Engine) -> None:
    """A peer that sends receives nothing, and a direction that does not exist is refused."""
    peer = engine.create_peer()
    peer.accept_offer(VIEWER.read_bytes().decode())
    peer.request_keyframe()
    assert (peer.codecs, peer.pull()) == ((), [])
    with pytest.raises(ValueError, match="send, receive or both"):
        engine.create_peer(direction="sideways")  # type: ignore[arg-type]
