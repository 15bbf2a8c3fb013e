"""The engine's binary against aiortc, an independent client, over loopback."""

from __future__ import annotations

import asyncio
import gc
import select
import subprocess
import sys
import time
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import numpy as np
import pytest
from aiortc import RTCPeerConnection, RTCSessionDescription
from aiortc.rtp import RTCP_PSFB_APP, RtcpPsfbPacket, pack_remb_fci

from icey import _core
from icey.errors import (
    AddressInUseError,
    CandidateError,
    ClosedError,
    EngineError,
    OfferError,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

DEADLINE_S = 15.0
CHROMIUM = Path(__file__).parents[2] / "rust/engine/tests/offers/chromium.sdp"
FRAME_NS = 1_000_000_000 // 30
CODEC_FREE = "v=0\r\no=- 1 2 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n"


class Clip:
    """Two seconds of encoded media: a keyframe each half second, and Opus."""

    def __init__(self) -> None:
        video = av.CodecContext.create("libx264", "w")
        video.width, video.height, video.pix_fmt = 320, 180, "yuv420p"
        video.time_base, video.gop_size = Fraction(1, 30), 15
        video.options = {"preset": "ultrafast", "tune": "zerolatency", "profile": "baseline"}
        self.video: list[tuple[bytes, bool]] = []
        for n in range(60):
            picture = np.full((180, 320, 3), n * 4, dtype=np.uint8)
            frame = av.VideoFrame.from_ndarray(picture, "rgb24")
            frame.pts = n
            self.video += [(bytes(packet), packet.is_keyframe) for packet in video.encode(frame)]
        audio = av.CodecContext.create("libopus", "w")
        audio.sample_rate, audio.layout, audio.format = 48000, "stereo", "s16"
        self.audio: list[bytes] = []
        for n in range(100):
            tone = np.sin((np.arange(960) + n * 960) / 48000 * 2 * np.pi * 440) * 9000
            samples = np.repeat(tone.astype(np.int16), 2).reshape(1, -1)
            sound = av.AudioFrame.from_ndarray(samples, "s16", "stereo")
            sound.sample_rate, sound.pts = 48000, n * 960
            self.audio += [bytes(packet) for packet in audio.encode(sound)]


class Events:
    """Every event of an engine, in order, as the loop hears of them."""

    def __init__(self, engine: _core.Engine) -> None:
        self.seen: list[_core.Event] = []
        self._engine = engine
        self._arrived = asyncio.Event()
        asyncio.get_running_loop().add_reader(engine.event_fd, self._read)

    def _read(self) -> None:
        self.seen += self._engine.poll_events()
        self._arrived.set()

    async def wait_for(self, wanted: Callable[[_core.Event], bool]) -> _core.Event:
        """The first event, seen or to come, that fits."""
        async with asyncio.timeout(DEADLINE_S):
            while True:
                for event in self.seen:
                    if wanted(event):
                        return event
                self._arrived.clear()
                await self._arrived.wait()

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._engine.event_fd)


class Viewer:
    """An aiortc client of a peer; counts what it decodes."""

    def __init__(self, engine: _core.Engine, *, estimation: str = "remb") -> None:
        self.peer = engine.create_peer(estimation=estimation)  # type: ignore[arg-type]
        self.client = RTCPeerConnection()
        self.client.on("track", self._on_track)
        self.frames: dict[str, list[Any]] = {"video": [], "audio": []}
        self._tasks: list[asyncio.Task[None]] = []

    async def connect(self, events: Events) -> None:
        for kind in ("video", "audio"):
            self.client.addTransceiver(kind, direction="recvonly")
        await self.client.setLocalDescription(await self.client.createOffer())
        answer = self.peer.accept_offer(self.client.localDescription.sdp)
        await self.client.setRemoteDescription(RTCSessionDescription(answer, "answer"))
        await events.wait_for(
            lambda e: isinstance(e, _core.PeerConnected) and e.peer == self.peer.id
        )

    def _on_track(self, track: object) -> None:
        self._tasks.append(asyncio.ensure_future(self._consume(track)))

    async def _consume(self, track) -> None:
        while track.readyState == "live":
            self.frames[track.kind].append(await track.recv())

    async def receive(self, video: int, audio: int) -> None:
        """Wait until so much has been decoded."""
        async with asyncio.timeout(DEADLINE_S):
            while len(self.frames["video"]) < video or len(self.frames["audio"]) < audio:
                await asyncio.sleep(0.02)

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.client.close()
        self.peer.close()


class Playback:
    """Pushes a clip in real time, over and over."""

    def __init__(self, clip: Clip, video: _core.Track, audio: _core.Track) -> None:
        self._task = asyncio.ensure_future(self._play(clip, video, audio))

    async def _play(self, clip: Clip, video: _core.Track, audio: _core.Track) -> None:
        start, n, a = time.monotonic_ns(), 0, 0
        while True:
            due = start + n * FRAME_NS
            await asyncio.sleep(max(0.0, (due - time.monotonic_ns()) / 1e9))
            data, keyframe = clip.video[n % len(clip.video)]
            video.push(data, n * 3000, due, keyframe)
            while a * 20_000_000 <= n * FRAME_NS:
                sound = clip.audio[a % len(clip.audio)]
                audio.push(sound, a * 960, start + a * 20_000_000, True)
                a += 1
            n += 1

    async def stop(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


@pytest.fixture(scope="module")
def clip() -> Clip:
    return Clip()


@pytest.fixture
def engine() -> Iterator[_core.Engine]:
    engine = _core.Engine(host="127.0.0.1")
    yield engine
    assert engine.stats().panics == 0
    engine.close()


@pytest.fixture
async def events(engine: _core.Engine) -> AsyncIterator[Events]:
    events = Events(engine)
    yield events
    events.close()


def fds() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def engine_threads() -> int:
    tasks = Path("/proc/self/task").iterdir()
    return sum((task / "comm").read_text().strip() == "icey-engine" for task in tasks)


async def eventually(holds: Callable[[], bool]) -> None:
    """Wait until something holds that no event tells of."""
    async with asyncio.timeout(DEADLINE_S):
        while not holds():
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("estimation", ["remb", "twcc"])
async def test_video_and_sound_reach_every_viewer(
    engine: _core.Engine, events: Events, clip: Clip, estimation: str
) -> None:
    """What one track is given, each of its viewers decodes, picture and sound."""
    video, audio = engine.create_track("video"), engine.create_track("audio")
    viewers = [Viewer(engine, estimation=estimation) for _ in range(2)]
    for viewer in viewers:
        engine.attach(viewer.peer, video)
        engine.attach(viewer.peer, audio)
        await viewer.connect(events)
    await eventually(lambda: (video.viewers, audio.viewers) == (2, 2))
    playback = Playback(clip, video, audio)
    for viewer in viewers:
        await viewer.receive(video=30, audio=50)
        picture = viewer.frames["video"][0].to_ndarray(format="rgb24")
        assert picture.shape == (180, 320, 3)
        assert picture.std() < 8, "the clip's pictures are of one colour each"
        loudest = max(np.abs(frame.to_ndarray()).max() for frame in viewer.frames["audio"])
        assert loudest > 5000
        stats = viewer.peer.stats()
        assert stats.connected
        assert stats.packets_sent > 80
        assert stats.remote_address.count(":") == 1
    await playback.stop()
    for viewer in viewers:
        await viewer.close()
    await eventually(lambda: engine.stats().peers == 0 and video.viewers == 0)


async def test_a_pli_becomes_a_keyframe_request(
    engine: _core.Engine, events: Events, clip: Clip
) -> None:
    """A viewer that asks for a keyframe is heard, and its request names peer and track."""
    video, audio = engine.create_track("video"), engine.create_track("audio")
    viewer = Viewer(engine)
    engine.attach(viewer.peer, video)
    await viewer.connect(events)
    playback = Playback(clip, video, audio)
    await viewer.receive(video=5, audio=0)
    events.seen.clear()
    receiver: Any = viewer.client.getTransceivers()[0].receiver
    (ssrc,) = receiver._RTCRtpReceiver__active_ssrc
    await receiver._send_rtcp_pli(ssrc)
    request = await events.wait_for(lambda e: isinstance(e, _core.KeyframeRequested))
    assert isinstance(request, _core.KeyframeRequested)
    assert (request.peer, request.track) == (viewer.peer.id, video.id)
    await playback.stop()
    await viewer.close()


async def test_a_remb_becomes_an_estimate(engine: _core.Engine, events: Events, clip: Clip) -> None:
    """What the viewer says its path carries is told, and stands in its statistics."""
    video, audio = engine.create_track("video"), engine.create_track("audio")
    viewer = Viewer(engine)
    engine.attach(viewer.peer, video)
    await viewer.connect(events)
    playback = Playback(clip, video, audio)
    await viewer.receive(video=5, audio=0)
    receiver: Any = viewer.client.getTransceivers()[0].receiver
    (ssrc,) = receiver._RTCRtpReceiver__active_ssrc
    remb = RtcpPsfbPacket(
        fmt=RTCP_PSFB_APP, ssrc=1, media_ssrc=0, fci=pack_remb_fci(123_000, [ssrc])
    )
    await receiver.transport._send_rtp(bytes(remb))
    await events.wait_for(
        lambda e: isinstance(e, _core.BitrateEstimated) and 122_000 < e.bitrate <= 123_000
    )
    await playback.stop()
    await viewer.close()


async def test_each_side_hears_that_the_other_closed(engine: _core.Engine, events: Events) -> None:
    """A client that closes is gone at once; a client is told when the server closes."""
    leaving, left = Viewer(engine), Viewer(engine)
    await leaving.connect(events)
    await left.connect(events)
    await leaving.client.close()
    gone = await events.wait_for(lambda e: isinstance(e, _core.PeerDisconnected))
    assert isinstance(gone, _core.PeerDisconnected)
    assert (gone.peer, gone.reason) == (leaving.peer.id, "closed by peer")
    with pytest.raises(ClosedError):
        leaving.peer.stats()
    left.peer.close()
    await eventually(lambda: left.client.connectionState == "closed")
    assert not any(
        isinstance(e, _core.PeerDisconnected) and e.peer == left.peer.id for e in events.seen
    )
    await left.close()


async def test_a_change_of_track_is_seamless(
    engine: _core.Engine, events: Events, clip: Clip
) -> None:
    """A viewer goes over to another track without a new offer and keeps decoding."""
    one, two = engine.create_track("video"), engine.create_track("video")
    audio = engine.create_track("audio")
    viewer = Viewer(engine)
    engine.attach(viewer.peer, one)
    await viewer.connect(events)
    first = Playback(clip, one, audio)
    await viewer.receive(video=10, audio=0)
    engine.attach(viewer.peer, two)
    second = Playback(clip, two, audio)
    await eventually(lambda: (one.viewers, two.viewers) == (0, 1))
    await first.stop()
    await viewer.receive(video=len(viewer.frames["video"]) + 20, audio=0)
    times = [frame.pts for frame in viewer.frames["video"]]
    assert all(0 < b - a < 30_000 for a, b in pairwise(times))
    await second.stop()
    await viewer.close()


def test_a_port_in_use_is_named() -> None:
    """The exception says which address and port, and the port is free after a close."""
    first = _core.Engine(host="127.0.0.1")
    with pytest.raises(AddressInUseError) as caught:
        _core.Engine(host="127.0.0.1", port=first.port)
    assert (caught.value.host, caught.value.port) == ("127.0.0.1", first.port)
    first.close()
    first.close()
    _core.Engine(host="127.0.0.1", port=first.port).close()


@pytest.mark.parametrize("host", ["192.0.2.77", "nowhere", ""])
def test_an_address_that_is_not_ours_is_refused(host: str) -> None:
    """Neither another machine's address nor something that is none can be bound."""
    with pytest.raises(EngineError):
        _core.Engine(host=host)
    with pytest.raises(EngineError):
        _core.Engine(host="127.0.0.1", additional_hosts=[host, "example.org"])


def test_every_local_address_and_the_additional_ones_are_advertised() -> None:
    """The answer carries a candidate for each, all with the one port."""
    engine = _core.Engine(additional_hosts=["203.0.113.9"])
    assert {"127.0.0.1", "203.0.113.9"} <= set(engine.addresses)
    offer = CHROMIUM.read_bytes().decode()
    answer = engine.create_peer().accept_offer(offer)
    candidates = [line.split() for line in answer.splitlines() if line.startswith("a=candidate")]
    assert {(c[4], c[5]) for c in candidates} == {(a, str(engine.port)) for a in engine.addresses}
    engine.close()


def test_an_offer_without_h264_is_refused_with_a_reason_for_the_user(engine: _core.Engine) -> None:
    """The reason can go into call:reject as it is."""
    offer = (
        f"{CODEC_FREE}m=video 9 UDP/TLS/RTP/SAVPF 96\r\n"
        "a=mid:0\r\na=recvonly\r\na=rtpmap:96 VP8/90000\r\n"
    )
    with pytest.raises(OfferError) as caught:
        engine.create_peer().accept_offer(offer)
    assert caught.value.reason == "codec: browser offers no H.264"


@pytest.mark.parametrize("sdp", ["", "hello", CODEC_FREE, "v=0\r\n" * 20_000, "v=0\r\nm=\0"])
def test_broken_offers_are_refused(engine: _core.Engine, sdp: str) -> None:
    """Text that is no offer ends in OfferError, whatever it is."""
    with pytest.raises(OfferError):
        engine.create_peer().accept_offer(sdp)


def test_candidates_are_read_ignored_or_refused(engine: _core.Engine) -> None:
    """Prefixes do not matter, mDNS and TCP are ignored, and the evidence is on the exception."""
    peer = engine.create_peer()
    for text in (
        "candidate:1 1 udp 1 192.0.2.7 5000 typ host",
        "a=candidate:1 1 udp 1 192.0.2.7 5000 typ host",
        "1 1 udp 1 192.0.2.7 5000 typ host",
        "candidate:1 1 udp 1 9f1c8d9e.local 5000 typ host",
        "candidate:1 1 tcp 1 192.0.2.7 9 typ host tcptype active",
        "",
    ):
        peer.add_candidate(text)
    with pytest.raises(CandidateError) as caught:
        peer.add_candidate("no candidate " + "x" * 500)
    assert caught.value.candidate.startswith("no candidate ")
    assert len(caught.value.candidate) == 200


def test_a_push_of_what_cannot_be_sent_says_so(engine: _core.Engine) -> None:
    """Empty data, data without a NAL unit, and too much of it are refused."""
    video, audio = engine.create_track("video"), engine.create_track("audio")
    for track, data in (
        (video, b""),
        (video, b"no start code"),
        (video, bytes(5 << 20)),
        (audio, b""),
        (audio, bytes(1401)),
    ):
        with pytest.raises(ValueError, match=r"bytes|NAL unit"):
            track.push(data, 0, time.monotonic_ns(), True)


def test_odd_times_are_taken(engine: _core.Engine) -> None:
    """Negative media time, and moments of capture long ago or still to come."""
    audio = engine.create_track("audio")
    for captured in (0, time.monotonic_ns(), time.monotonic_ns() + 10**12, 2**64 - 1):
        audio.push(b"opus", -5, captured, True)


def test_closed_things_refuse_and_close_again(engine: _core.Engine) -> None:
    """After close() every call but close() raises ClosedError."""
    peer, track, open_track = (
        engine.create_peer(),
        engine.create_track("video"),
        engine.create_track("video"),
    )
    peer.close()
    track.close()
    calls: tuple[Callable[[], object], ...] = (
        lambda: peer.accept_offer("v=0"),
        lambda: peer.add_candidate(""),
        peer.stats,
        lambda: track.push(b"\0\0\1\x65", 0, 0, True),
        lambda: engine.attach(peer, track),
    )
    for call in calls:
        with pytest.raises(ClosedError):
            call()
    engine.attach(peer, open_track)  # a peer may go at any moment: no error
    peer.close()
    track.close()
    engine.close()
    for call in (engine.create_peer, lambda: engine.create_track("audio")):
        with pytest.raises(ClosedError):
            call()
    assert engine.poll_events() == []


def test_wrong_words_are_refused(engine: _core.Engine) -> None:
    """A kind or estimation that does not exist is a ValueError."""
    with pytest.raises(ValueError, match="video or audio"):
        engine.create_track("text")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="remb or twcc"):
        engine.create_peer(estimation="guess")  # type: ignore[arg-type]


def test_a_collected_handle_closes_what_it_stood_for(engine: _core.Engine) -> None:
    """Nobody has to remember close(): the last reference does it."""
    peer, track = engine.create_peer(), engine.create_track("video")
    offer = CHROMIUM.read_bytes().decode()
    peer.accept_offer(offer)  # answered after the commands before it: they are done
    assert (engine.stats().peers, engine.stats().tracks) == (1, 1)
    del peer, track
    gc.collect()
    other = engine.create_peer()
    other.accept_offer(offer)
    assert (engine.stats().peers, engine.stats().tracks) == (1, 0)


def test_the_event_descriptor_is_readable_while_events_wait(engine: _core.Engine) -> None:
    """It is a flag for a selector: down without events."""
    assert select.select([engine.event_fd], [], [], 0)[0] == []
    assert engine.poll_events() == []


def test_engines_leave_neither_threads_nor_descriptors() -> None:
    """Twenty engines, made and closed or just dropped, leave the process as it was."""
    _core.Engine(host="127.0.0.1").close()
    gc.collect()  # what other tests left
    before = fds()
    for n in range(20):
        engine = _core.Engine(host="127.0.0.1")
        engine.create_peer().stats()  # a reply: the thread runs
        assert engine_threads() == 1
        if n % 2:
            engine.close()
        del engine
    gc.collect()
    assert (fds(), engine_threads()) == (before, 0)


def test_events_frames_and_counters_are_made_by_name() -> None:
    """Every field can be given by its name; what is left out is empty, nothing or 0."""
    gone = _core.PeerDisconnected(peer=7, reason="connection lost")
    assert (gone.peer, gone.reason, gone.pairs) == (7, "connection lost", [])
    assert repr(gone) == 'PeerDisconnected(peer=7, reason="connection lost", pairs=[])'
    assert isinstance(gone, _core.Event)
    started = _core.MediaStarted(peer=7, kind="audio")
    assert (started.kind, started.layer) == ("audio", "")
    frame = _core.ReceivedFrame(codec="vp8", data=b"abc", timestamp=5, arrived_ns=6)
    assert (frame.kind, frame.codec, frame.data, frame.report) == ("video", "vp8", b"abc", None)
    assert frame.keyframe
    assert not frame.after_loss
    stats = _core.PeerStats(frames_lost=3, loss=0.5)
    assert (stats.frames_lost, stats.loss, stats.rtt_ms, stats.pairs) == (3, 0.5, None, [])
    assert _core.EngineStats(peers=2).packets_sent == 0
    with pytest.raises(ValueError, match="h264, vp8 or opus"):
        _core.ReceivedFrame(codec="av1", data=b"", timestamp=0, arrived_ns=0)  # type: ignore[arg-type]


def test_the_stub_describes_the_binary() -> None:
    """Stubtest finds no difference between _core.pyi and the extension."""
    done = subprocess.run(
        [sys.executable, "-m", "mypy.stubtest", "icey._core"],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
