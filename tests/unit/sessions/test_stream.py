"""Calls of stream mode, with a packet engine and a pipeline that are played by the test."""

import asyncio
import threading
from types import SimpleNamespace

import pytest

from icey._core import (
    BitrateEstimated,
    KeyframeRequested,
    PeerConnected,
    PeerDisconnected,
    PeerReached,
)
from icey.config.model import Settings
from icey.errors import OfferError, SourceError
from icey.media.events import SourceBroken, SourceEnded, SourceLost, SourceRestored
from icey.sessions import feed as feed_module
from icey.sessions import stream
from icey.sessions.stream import StreamMode
from unit.sessions.played_engine import ALICE, BOB, CANDIDATE, INIT, OFFER, Conversation


class PlayedPipeline:
    """A pipeline that opens when the test lets it."""

    all: list["PlayedPipeline"] = []
    gate = threading.Event()
    failure: Exception | None = None
    passes_through = False
    pictures = (0, 0)

    def __init__(self, source, settings, *, on_event, start_bitrate=None, tap=None):
        self.on_event, self.started, self.stopped, self.lanes = on_event, 0, 0, []
        self.tap = tap
        self.all.append(self)

    losses = 2, 3

    def punctuality(self):
        return self.pictures

    def prepare(self):
        assert self.gate.wait(5)
        if self.failure:
            raise self.failure

    def start(self):
        self.started += 1

    def add_lane(self, *, video, audio, bitrate, backlog_ms):
        lane = SimpleNamespace(keyframes=0, bitrates=[bitrate], closed=False, sound_bytes=0)
        lane.request_keyframe = lambda: setattr(lane, "keyframes", lane.keyframes + 1)
        lane.set_bitrate = lane.bitrates.append
        lane.close = lambda: setattr(lane, "closed", True)
        self.lanes.append(lane)
        return lane

    def stop(self):
        self.stopped += 1

    def join(self, timeout_s):
        return True


@pytest.fixture
def played(monkeypatch):
    """Put the played parts in the places of the real ones."""
    monkeypatch.setattr(feed_module, "Pipeline", PlayedPipeline)
    monkeypatch.setattr(PlayedPipeline, "all", [])
    monkeypatch.setattr(PlayedPipeline, "gate", threading.Event())
    monkeypatch.setattr(PlayedPipeline, "failure", None)
    PlayedPipeline.gate.set()


class House(Conversation):
    """The calls of stream mode, which leave nothing open."""

    def __init__(self, limits=None, **media):
        settings = Settings.model_validate(
            {"media": {"source": "demo:", **media}, "limits": limits or {}}
        )
        super().__init__(
            lambda engine, work: StreamMode(
                settings, engine, work, publish=lambda *_: None, sign=lambda path: path
            ),
            limits=settings.limits,
        )

    async def __aexit__(self, *_):
        await super().__aexit__()
        assert all(pipeline.stopped for pipeline in PlayedPipeline.all)

    @property
    def load(self):
        """What is bounded, as the status has it."""
        return self.calls.status()["load"]

    async def watch(self, who, *, network=""):
        """Call, offer and connect."""
        peer = await self.call(who, network=network)
        await self.until(lambda: self.heard(who, "call:answer"))
        self.engine.tell(PeerConnected(peer=peer.id))
        await self.until(lambda: PlayedPipeline.all[-1].started)
        return peer


pytestmark = pytest.mark.usefixtures("played")


async def test_a_call_from_init_to_hangup():
    """Init is accepted, the offer answered, media start on connection, a hang-up frees it all."""
    async with House(pipeline="per-peer") as house:
        peer = await house.call(ALICE)
        await house.until(lambda: house.heard(ALICE, "call:answer"))
        assert house.heard(ALICE, "call:answer") == [{"type": "answer", "sdp": "answer to v=0"}]
        pipeline = PlayedPipeline.all[0]
        assert not pipeline.started
        house.engine.tell(PeerConnected(peer=peer.id))
        await house.until(lambda: pipeline.started)
        assert house.calls.status()["sessions"] == {"active": 1, "total": 1}
        lost = {"framesDropped": 2, "framesIncomplete": 3}
        assert house.calls.status()["stream"] == lost
        house.calls.deliver(ALICE, {"subtype": "call:hangup", "data": {"reason": "bye"}})
        assert peer.closed
        assert pipeline.stopped
        assert house.calls.status()["sessions"] == {"active": 0, "total": 1}
        assert house.calls.status()["stream"] == lost


async def test_candidates_in_the_same_breath_as_the_offer():
    """Candidates that arrive before the offer, or right behind it, reach the peer."""
    async with House() as house:
        house.calls.deliver(ALICE, INIT)
        house.calls.deliver(ALICE, CANDIDATE)
        await house.until(lambda: house.heard(ALICE, "call:accept"))
        house.calls.deliver(ALICE, OFFER)
        house.calls.deliver(ALICE, CANDIDATE)
        assert len(house.engine.peers[0].candidates) == 2


async def test_pictures_wait_for_a_source_that_opens_slowly():
    """Where the caller is connected before the source is open, pictures start when it is."""
    PlayedPipeline.gate.clear()
    async with House() as house:
        peer = await house.call(ALICE)
        house.engine.tell(PeerConnected(peer=peer.id))
        await house.until(lambda: house.calls.is_active("call-1"))
        assert not PlayedPipeline.all[0].started
        PlayedPipeline.gate.set()
        await house.until(lambda: PlayedPipeline.all[0].started)


async def test_hang_up_while_the_source_opens():
    """A caller who leaves during the opening leaves nothing behind, and nothing starts."""
    PlayedPipeline.gate.clear()
    async with House(pipeline="per-peer") as house:
        await house.call(ALICE)
        house.calls.caller_left(ALICE)
        PlayedPipeline.gate.set()
        await house.until(lambda: not house.calls._work._tasks)
        assert not PlayedPipeline.all[0].started
        assert house.heard(ALICE, "call:hangup") == []


async def test_a_source_that_cannot_be_opened():
    """Everybody who waits for the source is told why, and the next caller gets a new try."""
    PlayedPipeline.failure = SourceError("camera: device is busy")
    async with House() as house:
        await house.call(ALICE)
        await house.until(lambda: house.heard(ALICE, "call:hangup"))
        reason = "source unavailable: camera: device is busy"
        assert house.heard(ALICE, "call:hangup") == [{"reason": reason}]
        PlayedPipeline.failure = None
        await house.watch(BOB)
        assert len(PlayedPipeline.all) == 2


async def test_a_missing_file_is_refused_before_anything_is_opened(tmp_path):
    """`call:init` on a file that is gone is rejected, without its folder in the reason."""
    async with House(source=str(tmp_path / "gone.mp4")) as house:
        house.calls.deliver(ALICE, INIT)
        await house.until(lambda: house.heard(ALICE, "call:reject"))
        reason = "source unavailable: gone.mp4: no such file"
        assert house.heard(ALICE, "call:reject") == [{"reason": reason}]
        assert PlayedPipeline.all == []


async def test_an_offer_that_cannot_be_answered():
    """The engine's reason goes to the caller, at once."""
    async with House() as house:
        house.engine.refusal = OfferError("no", reason="codec: browser offers no H.264")
        await house.call(ALICE)
        await house.until(lambda: house.heard(ALICE, "call:reject"))
        assert house.heard(ALICE, "call:reject") == [{"reason": "codec: browser offers no H.264"}]
        assert house.engine.peers[0].closed


async def test_a_second_offer_is_answered_by_the_same_peer():
    """A renegotiation or an ICE restart makes no second peer."""
    async with House() as house:
        peer = await house.watch(ALICE)
        house.calls.deliver(ALICE, OFFER)
        await house.until(lambda: len(house.heard(ALICE, "call:answer")) == 2)
        assert house.engine.peers == [peer]
        assert len(peer.offers) == 2


async def test_live_sources_are_shared_and_files_are_not(tmp_path):
    """`auto`: one pipeline for all viewers of a live source, one each for a file."""
    async with House() as house:
        await house.watch(ALICE)
        await house.watch(BOB)
        assert len(PlayedPipeline.all) == 1
        assert {peer.estimation for peer in house.engine.peers} == {"remb"}
    PlayedPipeline.all.clear()
    clip = tmp_path / "clip.mp4"
    clip.touch()
    async with House(source=str(clip)) as house:
        await house.watch(ALICE)
        await house.watch(BOB)
        assert len(PlayedPipeline.all) == 2
        assert {peer.estimation for peer in house.engine.peers} == {"twcc"}
        assert {peer.start_bitrate for peer in house.engine.peers} == {stream.START_BITRATE}


async def test_a_shared_source_outlives_its_last_viewer_a_little(monkeypatch):
    """A reload finds the source open; without anybody it is closed after a while."""
    monkeypatch.setattr(stream, "LINGER_SECONDS", 0.2)
    async with House() as house:
        await house.watch(ALICE)
        house.calls.caller_left(ALICE)
        await house.watch(BOB)
        assert len(PlayedPipeline.all) == 1
        await asyncio.sleep(0.3)  # longer than the linger: BOB still watches, so nothing closes
        assert not PlayedPipeline.all[0].stopped
        house.calls.caller_left(BOB)
        await house.until(lambda: PlayedPipeline.all[0].stopped)


async def test_nothing_is_encoded_for_a_viewer_who_is_not_connected():
    """On a source that already runs, a viewer's encoder waits for the connection too."""
    async with House() as house:
        await house.watch(ALICE)
        house.calls.caller_left(ALICE)
        peer = await house.call(BOB)
        await house.until(lambda: house.heard(BOB, "call:answer"))
        assert len(PlayedPipeline.all) == len(PlayedPipeline.all[0].lanes) == 1
        house.engine.tell(PeerConnected(peer=peer.id))
        await house.until(lambda: len(PlayedPipeline.all[0].lanes) == 2)


async def test_keyframes_and_bitrates_reach_the_viewers_encoder():
    """Keyframe requests and estimates of a viewer reach its encoder."""
    async with House() as house:
        peer = await house.watch(ALICE)
        lane = PlayedPipeline.all[0].lanes[0]
        video = next(track for track in house.engine.tracks if track.kind == "video")
        house.engine.tell(
            KeyframeRequested(peer=peer.id, track=video.id),
            BitrateEstimated(peer=peer.id, bitrate=600_000),
        )
        await house.until(lambda: lane.keyframes and lane.bitrates[-1] < 600_000)
        house.engine.tell(
            KeyframeRequested(peer=99, track=video.id), BitrateEstimated(peer=99, bitrate=1)
        )
        await house.until(lambda: not house.engine._events)
        assert lane.keyframes == 1


async def test_a_slow_viewer_moves_to_another_encoder():
    """Two viewers of unlike paths end on two encoders, and the fast one keeps its rate."""
    async with House() as house:
        alice, bob = await house.watch(ALICE), await house.watch(BOB)
        house.engine.tell(
            BitrateEstimated(peer=alice.id, bitrate=5_000_000),
            BitrateEstimated(peer=bob.id, bitrate=400_000),
        )
        await house.until(lambda: len(PlayedPipeline.all[0].lanes) == 2)
        fast, slow = PlayedPipeline.all[0].lanes
        assert fast.bitrates[-1] == 2_000_000
        assert slow.bitrates[0] < 400_000
        house.calls.caller_left(BOB)
        assert slow.closed
        assert not fast.closed


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        (SourceEnded(), "source ended"),
        (SourceBroken("clip.mp4: invalid data"), "source unavailable: clip.mp4: invalid data"),
    ],
)
async def test_the_end_of_a_source_is_the_end_of_its_calls(event, reason):
    """Every viewer of the source is hung up with the reason."""
    async with House() as house:
        await house.watch(ALICE)
        await house.watch(BOB)
        PlayedPipeline.all[0].on_event(event)
        await house.until(lambda: house.heard(BOB, "call:hangup"))
        assert house.heard(ALICE, "call:hangup") == [{"reason": reason}]
        assert house.heard(BOB, "call:hangup") == [{"reason": reason}]
        assert house.calls.status()["sessions"]["active"] == 0


async def test_a_lost_live_source_keeps_its_viewers():
    """The loss is a warning in the status until the source is back; nobody is hung up."""
    async with House() as house:
        await house.watch(ALICE)
        PlayedPipeline.all[0].on_event(SourceLost("connection refused", 1.0))
        await house.until(lambda: house.calls.status()["warnings"])
        assert house.calls.status()["state"] == "degraded"
        assert house.calls.status()["source"] == {
            "healthy": False,
            "detail": "source lost: connection refused",
        }
        assert house.calls.status()["sessions"]["active"] == 1
        PlayedPipeline.all[0].on_event(SourceRestored())
        await house.until(lambda: not house.calls.status()["warnings"])
        assert house.calls.status()["source"]["healthy"]


async def test_a_lost_path_ends_the_call():
    """The engine's reason hangs up the call."""
    async with House() as house:
        peer = await house.watch(ALICE)
        house.engine.tell(PeerDisconnected(peer=peer.id, reason="connection lost"))
        await house.until(lambda: house.heard(ALICE, "call:hangup"))
        assert house.heard(ALICE, "call:hangup") == [{"reason": "connection lost"}]


async def test_a_bug_in_one_call_ends_that_call_alone(monkeypatch):
    """An unexpected exception hangs up its call; the others play on."""
    async with House() as house:
        alice = await house.watch(ALICE)
        alice.refusal = ZeroDivisionError("a bug")
        bob = await house.watch(BOB)
        house.calls.deliver(ALICE, OFFER)
        await house.until(lambda: house.heard(ALICE, "call:hangup"))
        assert house.heard(ALICE, "call:hangup") == [{"reason": "internal error"}]
        assert alice.closed
        assert not bob.closed


async def test_closing_hangs_everybody_up():
    """The reason of the shutdown reaches each caller, and later messages are ignored."""
    async with House() as house:
        await house.watch(ALICE)
        await house.calls.close("server is shutting down")
        assert house.heard(ALICE, "call:hangup") == [{"reason": "server is shutting down"}]
        house.calls.deliver(BOB, INIT)
        assert house.calls.status()["sessions"]["active"] == 0


@pytest.fixture
def clip(tmp_path):
    """A file to be played."""
    path = tmp_path / "clip.mp4"
    path.touch()
    return str(path)


async def test_nothing_is_opened_for_who_only_writes(clip):
    """Before the first check nothing is opened, neither of a file nor of a live source."""
    for source in (clip, "demo:"):
        async with House(source=source) as house:
            peer = await house.call(ALICE, reached=False)
            await house.until(lambda: house.heard(ALICE, "call:answer"))
            house.mode.tick()
            assert PlayedPipeline.all == []
            assert house.load["encoders"] == 0
            assert house.load["unconnectedCalls"] == 1
            house.engine.tell(PeerReached(peer=peer.id))
            await house.until(lambda: PlayedPipeline.all)
            assert not PlayedPipeline.all[0].started
        PlayedPipeline.all.clear()


async def test_one_more_than_encoders_shares(clip):
    """With `auto` the last encoder is for all who come too late; it is given back with the rest."""
    async with House(source=clip, maxEncoders=3) as house:
        callers = [f"viewer|{number}" for number in range(6)]
        for caller in callers:
            await house.watch(caller)
        assert len(PlayedPipeline.all) == 3
        assert house.load["encoders"] == house.load["encodersMost"] == 3
        assert house.load["viewersSharing"] == 4
        estimations = [peer.estimation for peer in house.engine.peers]
        assert estimations == ["twcc", "twcc", *["remb"] * 4]
        house.calls.caller_left(callers[0])
        assert house.load["encoders"] == 2
        await house.watch("late|9")
        assert len(PlayedPipeline.all) == 4
        for caller in [*callers, "late|9"]:
            house.calls.caller_left(caller)
        assert house.load["encoders"] == 1  # the shared one lingers
    assert house.load["encoders"] == 0


async def test_one_more_than_encoders_is_refused(clip):
    """With `per-peer` it is rejected, with the setting's name, and counted."""
    async with House(source=clip, pipeline="per-peer", maxEncoders=1) as house:
        await house.watch(ALICE)
        house.calls.deliver(BOB, INIT)
        await house.until(lambda: house.heard(BOB, "call:accept"))
        house.calls.deliver(BOB, OFFER)
        await house.until(lambda: house.heard(BOB, "call:reject"))
        [reject] = house.heard(BOB, "call:reject")
        assert reject["reason"] == "too many viewers: all 1 encoders run (media.maxEncoders)"
        assert house.refusals.counts == {"encoders": 1}
        assert len(house.engine.peers) == 1


async def test_of_two_who_come_at_once_one_is_refused(clip):
    """An offer takes no encoder; of two that came while one was free, the first there has it."""
    async with House(source=clip, pipeline="per-peer", maxEncoders=1) as house:
        slow = await house.call(ALICE, reached=False)
        await house.watch(BOB)
        house.engine.tell(PeerConnected(peer=slow.id))
        await house.until(lambda: house.heard(ALICE, "call:hangup"))
        assert "media.maxEncoders" in house.heard(ALICE, "call:hangup")[0]["reason"]
        assert house.refusals.counts == {"encoders": 1}
        assert not house.heard(BOB, "call:hangup")


async def test_one_network_leaves_encoders_to_others(clip):
    """A bound by address leaves the rest of the encoders to other networks."""
    limits = {"encodersPerAddress": 2}
    async with House(source=clip, pipeline="per-peer", maxEncoders=4, limits=limits) as house:
        await house.watch("a|1", network="192.0.2.1")
        await house.watch("b|2", network="192.0.2.1")
        house.calls.deliver("c|3", OFFER, "192.0.2.1")
        await house.until(lambda: house.heard("c|3", "call:reject"))
        await house.watch("d|4", network="192.0.2.2")
        assert len(PlayedPipeline.all) == 3


async def test_a_passed_through_file_needs_no_encoder(clip, monkeypatch):
    """What sends the source's own H.264 takes none, or gives back what it took at first."""
    monkeypatch.setattr(PlayedPipeline, "passes_through", True)
    for passthrough in (True, "auto"):
        async with House(source=clip, maxEncoders=2, passthroughVideo=passthrough) as house:
            for number in range(4):
                await house.watch(f"viewer|{number}")
            assert house.load["encoders"] == 0
            assert house.load["viewersSharing"] == 0


async def test_encoders_behind_time_degrade_the_server(clip, monkeypatch):
    """Late pictures are a warning, and newcomers share although slots are free."""
    async with House(source=clip, maxEncoders=4) as house:
        await house.watch(ALICE)
        await house.watch(BOB)
        house.mode.tick()
        assert house.calls.status()["state"] == "running"
        monkeypatch.setattr(PlayedPipeline, "pictures", (150, 90))
        house.mode.tick()
        status = house.calls.status()
        assert status["state"] == "degraded"
        [warning] = status["warnings"]
        assert warning.startswith("2 of 2 pipelines are behind time: up to 60% of their pictures")
        assert status["load"]["pipelinesBehind"] == 2
        assert status["load"]["latePictures"] == 180
        await house.watch("late|3")
        assert house.load["viewersSharing"] == 1
