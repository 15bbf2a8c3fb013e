"""Clips are made of a lane of their own or of a viewer's, without a missing picture."""

from __future__ import annotations

import time
from itertools import pairwise

import av
import pytest

from icey.config.intelligence import ClipSettings
from icey.config.model import MediaSettings
from icey.errors import ClosedError
from icey.intelligence.clip import Clips
from icey.media.pipeline import Pipeline
from icey.media.source import parse_source
from icey.sessions.filming import OWN, Filming
from integration.media.material import Film, bar_number, make

pytestmark = pytest.mark.alone

RATE = 30


def until(condition, within_s=15.0):
    """Wait until a condition holds; fail where it does not in time."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "it did not come to that in time"
        time.sleep(0.01)


class Noted(Clips):
    """Clips that only write down what they are given."""

    def __init__(self):
        super().__init__(ClipSettings(), None, on_finished=lambda _: None)
        self.units = []
        self.packets = []

    def video(self, data, at_ns, *, keyframe):
        super().video(data, at_ns, keyframe=keyframe)
        self.units.append((data, at_ns, keyframe))

    def sound(self, data, at_ns):
        self.packets.append(at_ns)


class Viewer:
    """A sink that counts, until it is closed."""

    def __init__(self):
        self.frames = 0
        self.closed = False

    def push(self, data, timestamp, captured_ns, keyframe):
        if self.closed:
            raise ClosedError("closed")
        self.frames += 1


@pytest.fixture
def stage(tmp_path):
    """A pipeline on a film that shows its numbers, what films it, and what is filmed."""
    film = make(tmp_path / "film.mp4", Film(frames=360, audio_seconds=12.0))
    settings = MediaSettings.model_validate({"video": {"width": 320, "height": 180}})
    pipeline = Pipeline(parse_source(str(film)), settings, on_event=lambda _: None)
    pipeline.prepare()
    clips = Noted()
    filming = Filming(clips, pipeline, settings.video.bitrate)
    yield pipeline, filming, clips
    filming.close()
    pipeline.stop()
    assert pipeline.join(10)


def watch(pipeline, filming, number, bitrate):
    """Let a viewer come, on a lane of this number."""
    viewer = Viewer()
    video, audio = filming.tee(number, viewer, Viewer())
    return viewer, pipeline.add_lane(video=video, audio=audio, bitrate=bitrate)


def left_out(pipeline):
    """The moments of pictures that the pipeline leaves out where the machine is late; fills up."""
    moments = set()
    take, encode = pipeline._take_picture, pipeline._encode

    def taking(now):
        taken = take(now)
        if taken is not None:
            moments.add(taken[1])
        return taken

    def encoding(picture, due):
        moments.discard(due)
        encode(picture, due)

    pipeline._take_picture, pipeline._encode = taking, encoding
    return moments


def decoded(units):
    """The numbers modulo 16 of what was filmed, by one decoder from beginning to end."""
    decoder = av.CodecContext.create("h264", "r")
    decoder.thread_count = 1
    frames = [frame for data, _, _ in units for frame in decoder.decode(av.Packet(data))]
    return [
        bar_number(frame.to_ndarray(format="gray")) for frame in [*frames, *decoder.decode(None)]
    ]


def test_nobody_then_somebody_then_nobody(stage):
    """Through a viewer's coming and going no picture is missing; all can be decoded in one go."""
    pipeline, filming, clips = stage
    late = left_out(pipeline)
    filming.follow({})
    pipeline.start()
    until(lambda: len(clips.units) > 20)
    assert filming._own is not None

    viewer, lane = watch(pipeline, filming, 0, 2_000_000)
    filming.follow({0: lane})
    until(lambda: viewer.frames > 20)
    filming.follow({0: lane})
    assert filming._own is None  # no second encoder while somebody watches
    assert len(pipeline._lanes) <= 2
    until(lambda: len(pipeline._lanes) == 1)

    filming.follow({})
    lane.close()
    count = len(clips.units)
    until(lambda: len(clips.units) > count + 20)
    numbers = decoded(clips.units)
    steps = [(later - earlier) % 16 for earlier, later in pairwise(numbers)]
    # At a change the same picture may come from both.
    assert sum(max(step - 1, 0) for step in steps) <= len(late)
    assert steps.count(0) <= 2
    assert clips.packets == sorted(set(clips.packets))
    gaps = [round((b - a) / 1e6) for a, b in pairwise(clips.packets)]
    assert gaps.count(20) >= len(gaps) - 2
    assert set(gaps) <= {20, 40, 60}  # at a change a packet may be missing


def test_slow_viewer(stage):
    """The lane of a viewer on a slow path is not filmed; a faster viewer's is."""
    pipeline, filming, clips = stage
    slow_viewer, slow = watch(pipeline, filming, 0, 400_000)
    filming.follow({0: slow})
    pipeline.start()
    until(lambda: len(clips.units) > 5 and slow_viewer.frames > 5)
    assert filming._selector.current == OWN
    _, fast = watch(pipeline, filming, 1, 1_900_000)
    filming.follow({0: slow, 1: fast})
    until(lambda: filming._selector.current == 1)
    filming.follow({0: slow, 1: fast})
    assert filming._own is None
    fast.set_bitrate(1_100_000)  # not each small change matters
    filming.follow({0: slow, 1: fast})
    assert filming._selector.wanted == 1
    fast.set_bitrate(900_000)
    filming.follow({0: slow, 1: fast})
    until(lambda: filming._selector.current == OWN)
    fast.set_bitrate(1_300_000)
    filming.follow({0: slow, 1: fast})
    assert filming._selector.wanted == OWN


def test_viewer_who_leaves(stage):
    """A viewer's closed sink ends his lane; the clips go on with one of their own."""
    pipeline, filming, clips = stage
    viewer, lane = watch(pipeline, filming, 0, 2_000_000)
    filming.follow({0: lane})
    pipeline.start()
    until(lambda: viewer.frames > 5)
    viewer.closed = True
    until(lambda: lane.closed)
    filming.follow({})
    count = len(clips.units)
    until(lambda: len(clips.units) > count + 5)
    assert filming._selector.current == OWN


def test_keyframes(stage):
    """While it is filmed there is a keyframe each two seconds, and hardly more."""
    pipeline, filming, clips = stage
    filming.follow({})
    pipeline.start()

    def filmed_for_5_s():
        filming.follow({})
        return clips.units and clips.units[-1][1] - clips.units[0][1] > 5_000_000_000

    until(filmed_for_5_s)
    keyframes = [at for _, at, keyframe in clips.units if keyframe]
    assert len(keyframes) == 3
    assert all(1.9e9 < b - a < 2.7e9 for a, b in pairwise(keyframes))


def test_passed_through(tmp_path):
    """Of a source that is passed through, its own access units are filmed; nothing is encoded."""
    options = {"profile": "baseline", "bf": "0", "g": "30", "preset": "ultrafast"}
    film = make(tmp_path / "film.mp4", Film(frames=300, audio_seconds=10.0, options=options))
    settings = MediaSettings.model_validate({"passthroughVideo": True})
    pipeline = Pipeline(parse_source(str(film)), settings, on_event=lambda _: None)
    pipeline.prepare()
    clips = Noted()
    filming = Filming(clips, pipeline, settings.video.bitrate)
    try:
        filming.follow({})
        pipeline.start()

        def filmed_for_3_s():
            filming.follow({})
            return clips.units and clips.units[-1][1] - clips.units[0][1] > 3_000_000_000

        until(filmed_for_3_s)
        keyframes = [at for _, at, keyframe in clips.units if keyframe]
        assert {round((b - a) / 1e9, 1) for a, b in pairwise(keyframes)} == {1.0}
        assert {(b - a) % 16 for a, b in pairwise(decoded(clips.units))} == {1}
    finally:
        filming.close()
        pipeline.stop()
        assert pipeline.join(10)
