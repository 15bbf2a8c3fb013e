"""Routes of the engine: aiortc sends, aiortc watches, over loopback."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import numpy as np
import pytest
from aiortc import RTCPeerConnection, RTCRtpSender, RTCSessionDescription, rtcdtlstransport
from aiortc.mediastreams import AudioStreamTrack, VideoStreamTrack
from av import AudioFrame, VideoFrame

from icey import _core
from icey.errors import ClosedError, OfferError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DEADLINE_S = 15.0


class Camera(VideoStreamTrack):
    """Pictures of one shade, 30 a second."""

    def __init__(self, shade: int) -> None:
        super().__init__()
        self._shade = shade

    async def recv(self) -> VideoFrame:
        pts, time_base = await self.next_timestamp()
        picture = np.full((180, 320, 3), self._shade, dtype=np.uint8)
        frame = VideoFrame.from_ndarray(picture, "rgb24")
        frame.pts, frame.time_base = pts, time_base
        return frame


class Client:
    """An aiortc client and its peer."""

    def __init__(self, peer: _core.Peer) -> None:
        self.peer = peer
        self.client = RTCPeerConnection()
        self.pictures: list[float] = []
        self.sounds = 0
        self._tasks: list[asyncio.Task[None]] = []
        self.client.on("track", self._on_track)

    def _on_track(self, track: object) -> None:
        self._tasks.append(asyncio.ensure_future(self._consume(track)))

    async def _consume(self, track) -> None:
        while track.readyState == "live":
            frame = await track.recv()
            if isinstance(frame, VideoFrame):
                self.pictures.append(float(frame.to_ndarray(format="gray").mean()))
            elif isinstance(frame, AudioFrame):
                self.sounds += 1

    async def connect(self) -> str:
        """Exchange descriptions; the answer."""
        await self.client.setLocalDescription(await self.client.createOffer())
        answer = self.peer.accept_offer(self.client.localDescription.sdp)
        await self.client.setRemoteDescription(RTCSessionDescription(answer, "answer"))
        return answer

    def has_shown(self, shade: int) -> bool:
        return any(abs(picture - shade) < 10 for picture in self.pictures)

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.client.close()
        self.peer.close()


def source(engine: _core.Engine, shade: int, codec: str = "H264", max_bitrate: int = 0) -> Client:
    """A client that sends pictures of a shade, and sound."""
    peer = engine.create_peer(direction="receive", deliver="packets", max_bitrate=max_bitrate)
    sender = Client(peer)
    sender.client.addTrack(AudioStreamTrack())
    sender.client.addTrack(Camera(shade))
    offered = RTCRtpSender.getCapabilities("video").codecs
    wanted = [c for c in offered if c.name in (codec, "rtx")]
    sender.client.getTransceivers()[1].setCodecPreferences(wanted)
    return sender


async def viewer(engine: _core.Engine, *tracks: _core.Track) -> Client:
    """A client that watches tracks."""
    watching = Client(engine.create_peer())
    for track in tracks:
        engine.attach(watching.peer, track)
    for kind in ("video", "audio"):
        watching.client.addTransceiver(kind, direction="recvonly")
    await watching.connect()
    return watching


async def eventually(holds: Callable[[], bool]) -> None:
    """Wait until something holds that no event tells of."""
    async with asyncio.timeout(DEADLINE_S):
        while not holds():
            await asyncio.sleep(0.02)


async def packets_told_of(watching: Client) -> int:
    """The packets of video that the server's reports to a viewer tell of; 0 before the first."""
    reports = (await watching.client.getStats()).values()
    told = [r for r in reports if r.type == "remote-outbound-rtp" and r.kind == "video"]
    return told[0].packetsSent if told else 0


async def wait_for_media(engine: _core.Engine, peer: _core.Peer) -> None:
    """Wait until both streams of a peer have begun."""
    kinds: set[str] = set()

    def begun() -> bool:
        events = engine.poll_events()
        started = [e for e in events if isinstance(e, _core.MediaStarted) and e.peer == peer.id]
        assert all(event.layer == "" for event in started)
        kinds.update(event.kind for event in started)
        return kinds == {"video", "audio"}

    await eventually(begun)


@pytest.fixture
def engine() -> Iterator[_core.Engine]:
    """An engine on loopback in which nothing panics."""
    engine = _core.Engine(host="127.0.0.1")
    yield engine
    assert engine.stats().panics == 0
    engine.close()


async def test_viewers_go_on_from_one_source_to_the_next(engine: _core.Engine) -> None:
    """Viewers decode what a source sends, stay when it leaves, and go on with the next."""
    video, audio = engine.create_track("video"), engine.create_track("audio")
    watching = [await viewer(engine, video, audio) for _ in range(2)]
    for shade in (60, 200):
        sender = source(engine, shade)
        await sender.connect()
        await wait_for_media(engine, sender.peer)
        assert (sender.peer.codecs, sender.peer.layers) == (("h264", "opus"), ())
        engine.route(sender.peer, video)
        engine.route(sender.peer, audio)
        heard = [client.sounds for client in watching]
        for client, sounds in zip(watching, heard, strict=True):
            await eventually(lambda c=client, s=shade: c.has_shown(s))  # type: ignore[misc]
            await eventually(lambda c=client, n=sounds: c.sounds > n + 20)  # type: ignore[misc]
        assert video.frames > 0
        assert audio.frames > 20
        assert video.bitrate > 0
        assert sender.peer.pull() == []
        await sender.close()
    events = engine.poll_events()
    assert not any(isinstance(event, _core.KeyframeRequested) for event in events)
    assert all(client.peer.stats().connected for client in watching)
    await eventually(lambda: video.bitrate == 0)
    for client in watching:
        await client.close()


@pytest.mark.parametrize(
    "profile", rtcdtlstransport.SRTP_PROFILES, ids=lambda p: p.openssl_profile.decode()
)
async def test_every_kind_of_keys_is_sent_with(
    engine: _core.Engine, profile: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A viewer decodes pictures and sound with each SRTP profile, and its reports are read."""
    monkeypatch.setattr(rtcdtlstransport, "SRTP_PROFILES", [profile])
    video, audio = engine.create_track("video"), engine.create_track("audio")
    watching, sender = await viewer(engine, video, audio), source(engine, 120)
    await sender.connect()
    await wait_for_media(engine, sender.peer)
    engine.route(sender.peer, video)
    engine.route(sender.peer, audio)
    await eventually(lambda: watching.has_shown(120) and watching.sounds > 20)
    await eventually(lambda: watching.peer.stats().loss == 0.0)
    async with asyncio.timeout(DEADLINE_S):  # a sender report comes each second or so
        while not await packets_told_of(watching):
            await asyncio.sleep(0.02)
    await sender.close()
    await watching.close()


async def test_a_track_without_a_route_gets_nothing(engine: _core.Engine) -> None:
    """After unroute, nothing of the source reaches the track; its viewers stay."""
    video, audio = engine.create_track("video"), engine.create_track("audio")
    watching = await viewer(engine, video, audio)
    sender = source(engine, 90)
    await sender.connect()
    await wait_for_media(engine, sender.peer)
    engine.route(sender.peer, video)
    engine.route(sender.peer, audio)
    await eventually(lambda: len(watching.pictures) > 5)
    engine.unroute(video)
    watching.peer.stats()  # a reply: the thread has come so far
    frames, sounds = video.frames, watching.sounds
    await eventually(lambda: watching.sounds > sounds + 25)
    assert video.frames == frames
    video.close()
    with pytest.raises(ClosedError):
        engine.route(sender.peer, video)
    await sender.close()
    with pytest.raises(ClosedError):
        sender.peer.limit_bitrate(1)
    await watching.close()


async def test_a_source_is_told_its_limit(engine: _core.Engine) -> None:
    """The answer limits the video, and only that."""
    sender = source(engine, 90, max_bitrate=700_000)
    answer = await sender.connect()
    sections = answer.split("m=")
    assert ["b=TIAS:700000" in section for section in sections] == [False, False, True]
    await wait_for_media(engine, sender.peer)
    sender.peer.limit_bitrate(0)
    await sender.close()


async def test_what_no_viewer_takes_is_refused(engine: _core.Engine) -> None:
    """A source that offers VP8 alone is refused with a reason."""
    sender = source(engine, 90, codec="VP8")
    with pytest.raises(OfferError, match=r"no H\.264 that all viewers take"):
        await sender.connect()
    await sender.close()
    with pytest.raises(ValueError, match="frames or packets"):
        engine.create_peer(direction="receive", deliver="pictures")  # type: ignore[arg-type]
