"""Detectors in stream mode: when they look, and who is told; with a played engine and pipeline."""

import asyncio
import json
import sys
from types import SimpleNamespace

import av
import numpy as np
import pytest

from icey._core import PeerConnected
from icey.config.model import Settings
from icey.errors import SourceError
from icey.media.events import SourceBroken
from icey.sessions import feed as feed_module
from icey.sessions.stream import StreamMode
from unit.sessions.played_engine import ALICE, BOB, Conversation

BOTH = {"vision": {"enabled": True, "minIntervalUsec": 0}, "speech": {"enabled": True}}


class PlayedPipeline:
    """A pipeline whose tap the test feeds."""

    all: list["PlayedPipeline"] = []
    failures: list[Exception] = []

    def __init__(self, source, settings, *, on_event, start_bitrate=None, tap=None):
        self.on_event, self.tap, self.started, self.stopped = on_event, tap, 0, 0
        self.pictures = self.runs = 0
        self.all.append(self)

    passes_through = False
    losses = 0, 0

    def punctuality(self):
        return 0, 0

    def prepare(self):
        if self.failures:
            raise self.failures.pop(0)

    def start(self):
        self.started += 1

    def add_lane(self, *, video, audio, bitrate, backlog_ms):
        return SimpleNamespace(
            close=lambda: None, set_bitrate=lambda _: None, closed=False, sound_bytes=0
        )

    def stop(self):
        self.stopped += 1

    def join(self, _timeout):
        return True

    def move(self):
        """Show seven pictures, of which the sampled ones differ."""
        for _ in range(7):
            frame = av.VideoFrame(64, 36, "yuv420p")
            plane = frame.planes[0]
            rows = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
            rows[:] = 100
            left = self.pictures * 2 % 48
            rows[10:26, left : left + 16] = 220
            self.tap.picture(frame, self.pictures * 600_000_000, 0)
            self.pictures += 1

    def speak(self):
        """Let a loud run of sound be heard."""
        self.tap.sound(np.full((960, 2), 9000, np.int16), 48_000, self.runs * 20_000_000, 0)
        self.runs += 1


@pytest.fixture(autouse=True)
def played(monkeypatch):
    """Put the played parts in the places of the real ones."""
    monkeypatch.setattr(feed_module, "Pipeline", PlayedPipeline)
    monkeypatch.setattr(PlayedPipeline, "all", [])
    monkeypatch.setattr(PlayedPipeline, "failures", [])


class House(Conversation):
    """The calls of stream mode with detectors."""

    def __init__(self, intelligence=BOTH, **media):
        media = {"source": "demo:", "intelligence": intelligence, **media}
        self.published = []
        super().__init__(
            lambda engine, work: StreamMode(
                Settings.model_validate({"media": media}),
                engine,
                work,
                publish=lambda kind, data: self.published.append((kind, data)),
                sign=lambda path: path,
            )
        )

    async def __aexit__(self, *_):
        await super().__aexit__()
        assert all(pipeline.stopped for pipeline in PlayedPipeline.all)

    async def watch(self, who):
        """Call, offer, connect; return the pipeline that he watches."""
        peer = await self.call(who)
        await self.until(lambda: self.heard(who, "call:answer"))
        self.engine.tell(PeerConnected(peer=peer.id))
        await self.until(lambda: PlayedPipeline.all[-1].started)
        return PlayedPipeline.all[-1]


async def test_a_live_source_is_watched_without_viewers():
    """The detectors look at a shared live source from the start on, and others are told."""
    async with House() as house:
        await house.until(lambda: PlayedPipeline.all and PlayedPipeline.all[0].started)
        (pipeline,) = PlayedPipeline.all
        await house.until(lambda: pipeline.move() or house.published)
        pipeline.speak()
        await house.until(
            lambda: {kind for kind, _ in house.published} == {"icey:vision", "icey:speech"}
        )
        assert house.said == []
        status = house.calls.status()["intelligence"]
        assert status["vision"]["active"]
        assert status["vision"]["emitted"] > 0
        assert status["speech"]["emitted"] == 1
        assert house.published[0][1]["frame"]["streamId"] == "stream/shared"


async def test_viewers_of_a_shared_source_are_all_told():
    """Each viewer of a shared source gets each event, of the stream that he watches."""
    async with House() as house:
        await house.watch(ALICE)
        pipeline = await house.watch(BOB)
        assert PlayedPipeline.all == [pipeline]
        await house.until(lambda: pipeline.move() or house.published)
        for who in (ALICE, BOB):
            event = house.heard(who, "icey:vision")[0]
            assert event["frame"]["streamId"] == f"stream/{who}"
            assert event["detections"][0]["label"] == "motion"
            json.dumps(event, allow_nan=False)
        assert pipeline.started == 1


async def test_it_stays_open_when_the_last_viewer_leaves(monkeypatch):
    """The detectors go on after the last viewer, and he is told nothing more."""
    monkeypatch.setattr("icey.sessions.stream.LINGER_SECONDS", 0.01)
    async with House() as house:
        pipeline = await house.watch(ALICE)
        house.calls.caller_left(ALICE)
        await asyncio.sleep(0.05)
        assert pipeline.stopped == 0
        await house.until(lambda: pipeline.move() or house.published)
        assert house.heard(ALICE, "icey:vision") == []


async def test_each_viewer_of_a_file_has_detectors_of_his_own(tmp_path):
    """A file is looked at for each viewer, who is told of his own pictures alone."""
    path = tmp_path / "clip.mp4"
    path.touch()
    async with House(source=str(path)) as house:
        assert PlayedPipeline.all == []
        first, second = await house.watch(ALICE), await house.watch(BOB)
        assert first is not second
        await house.until(lambda: second.move() or house.published)
        assert house.heard(ALICE, "icey:vision") == []
        assert house.heard(BOB, "icey:vision")
        assert house.published[0][1]["frame"]["streamId"] == f"stream/{BOB}"
        assert house.published[0][1]["source"] == "clip.mp4"

        def vision():
            return house.calls.status()["intelligence"]["vision"]

        await house.until(lambda: vision()["emitted"])  # counted just after it is published
        before = vision()
        assert before["streams"] == 2
        house.calls.caller_left(BOB)
        await house.until(lambda: vision()["streams"] == 1)
        after = vision()
        assert after["emitted"] >= before["emitted"] > 0


async def test_a_source_that_is_away_is_tried_again(monkeypatch):
    """Where the source cannot be opened for the detectors it is a warning, and tried again."""
    monkeypatch.setattr("icey.backoff.Backoff.FIRST_S", 0.01)
    PlayedPipeline.failures += [SourceError("demo: no answer"), SourceError("demo: no answer")]
    async with House() as house:
        await house.until(lambda: house.calls.status()["warnings"])
        status = house.calls.status()
        assert status["warnings"] == ["source unavailable: demo: no answer"]
        assert status["state"] == "degraded"
        await house.until(lambda: PlayedPipeline.all[-1].started)
        assert len(PlayedPipeline.all) == 3
        assert house.calls.status()["warnings"] == []
        assert house.calls.status()["state"] == "running"


async def test_a_source_that_breaks_is_opened_again(monkeypatch):
    """Where the source of the detectors ends, its viewers are hung up and it is opened anew."""
    monkeypatch.setattr("icey.backoff.Backoff.FIRST_S", 0.01)
    async with House() as house:
        pipeline = await house.watch(ALICE)
        pipeline.on_event(SourceBroken("demo: internal error"))
        await house.until(lambda: house.heard(ALICE, "call:hangup"))
        await house.until(lambda: len(PlayedPipeline.all) == 2 and PlayedPipeline.all[1].started)


@pytest.mark.parametrize("pipeline", ["per-peer", "auto"])
async def test_nothing_is_open_without_need(pipeline):
    """Without detectors, or with a pipeline a viewer, nothing is opened before somebody calls."""
    off = {} if pipeline == "auto" else BOTH
    async with House(off, pipeline=pipeline) as house:
        await asyncio.sleep(0.05)
        assert PlayedPipeline.all == []
        assert house.calls.status()["intelligence"]["vision"]["seen"] == 0
        await house.watch(ALICE)
        assert (PlayedPipeline.all[0].tap is None) == (pipeline == "auto")


async def test_a_detector_that_is_switched_off_is_a_warning(tmp_path):
    """A detector that is switched off is a warning in the status, and degrades it."""
    bad = tmp_path / "bad.py"
    bad.write_text(
        "class Bad:\n    def process(self, frame, context):\n        raise ValueError(7)\n"
    )
    entry = {"use": f"{bad}:Bad", "everyNthFrame": 1, "minIntervalUsec": 0}
    async with House({"detectors": [entry]}) as house:
        await house.until(lambda: PlayedPipeline.all and PlayedPipeline.all[0].started)
        PlayedPipeline.all[0].move()
        await house.until(lambda: house.calls.status()["warnings"])
        (warning,) = house.calls.status()["warnings"]
        assert warning == (
            "detector Bad is switched off after 5 failures in a row (ValueError): see the log"
        )
        assert house.calls.status()["state"] == "degraded"


async def test_detectors_in_python_must_share(tmp_path):
    """With detectors of the user's own no thread keeps the interpreter for long."""
    before = sys.getswitchinterval()
    mine = tmp_path / "mine.py"
    mine.write_text("class Mine:\n    def process(self, frame, context):\n        return []\n")
    try:
        async with House(BOTH):
            assert sys.getswitchinterval() == before
        async with House({"detectors": [{"use": f"{mine}:Mine"}]}):
            assert sys.getswitchinterval() <= 0.0002
    finally:
        sys.setswitchinterval(before)
