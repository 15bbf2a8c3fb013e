"""Detectors on a film that really plays, beside its way to a viewer."""

import itertools
import logging
import threading
import time

import numpy as np
import pytest

from icey.intelligence.branch import MAX_FAILURES
from icey.intelligence.detector import Detection, Region
from icey.media.events import SourceEnded
from integration.intelligence.observed import BOTH, FPS, MOVES, Watch, write
from integration.intelligence.spoken import SPOKEN_AT
from integration.media.sinks import Player, settings

ENOUGH = 5.5 * FPS * 0.9
"""Pictures of a film that arrive: a busy machine may leave a few out, without detectors too. That
these cost none is measured against a stream without, in tests/e2e/test_detectors.py."""


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    """The film, and the second at which its sentence ends."""
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    return path, write(path)


def play(path, watch, **media):
    """Play a film to its end, once, with a viewer; return how many pictures he got."""
    with Player(path, settings(size=(640, 360), loop=False, **media), tap=watch.analysis) as player:
        player.wait_event(SourceEnded, timeout=20)
        return len(player.video.units)


def play_until(path, watch, holds):
    """Play a film until the events are as wanted."""
    with Player(path, settings(size=(640, 360)), tap=watch.analysis):
        watch.wait(holds)


@pytest.mark.parametrize("passthrough", [False, True])
def test_events_come_where_they_belong(film, passthrough):
    """Motion is told while the box crosses, speech within 300 ms of its truth, nothing else.

    Also where the source is passed through: then it is decoded beside.
    """
    path, end = film
    with Watch(**BOTH) as watch:
        units = play(path, watch, passthrough_video=passthrough)
        watch.wait(lambda events: any(e.data["type"] == "speech:end" for e in events))
    assert units >= ENOUGH

    moved = [data["frame"]["ptsUsec"] / 1e6 for data in watch.of("motion")]
    assert moved
    assert all(MOVES[0] - 0.05 <= at <= MOVES[1] + 0.25 for at in moved)
    assert moved[0] <= MOVES[0] + 0.25
    assert moved[-1] >= MOVES[1] - 0.65
    for data in watch.of("motion"):
        assert data["detections"][0]["region"]["height"] == pytest.approx(72 / 360, abs=0.12)
        assert (data["frame"]["width"], data["frame"]["height"]) == (640, 360)
        assert data["data"]["latencyUsec"] < 1_000_000

    heard = {data["type"]: data["time"] / 1e6 for data in watch.of("energy")}
    assert heard["speech:start"] == pytest.approx(SPOKEN_AT, abs=0.3)
    assert heard["speech:end"] == pytest.approx(end, abs=0.3)

    tally = watch.analysis.tally
    assert tally.vision.counts["seen"] >= ENOUGH
    assert tally.vision.counts["sampled"] == pytest.approx(5.5 * 5, abs=3)
    assert tally.vision.counts["dropped"] == 0
    assert tally.vision.counts["emitted"] == len(moved)


class Sleeps:
    """Takes five seconds over a picture."""

    woken = threading.Event()

    def process(self, frame, context):
        self.woken.wait(5)
        return []


class Raises:
    """Cannot do anything."""

    def process(self, frame, context):
        raise RuntimeError("no such model")


@pytest.mark.alone
def test_bad_detectors_cost_the_stream_nothing(film, caplog):
    """One that sleeps loses its own samples, one that raises is switched off, all else goes on."""
    Sleeps.woken.clear()
    each = {"everyNthFrame": 1, "minIntervalUsec": 0, "queueDepth": 4}
    with (
        caplog.at_level(logging.WARNING),
        Watch(
            ("sleeps", "pictures", Sleeps),
            ("raises", "pictures", Raises),
            vision={"enabled": True, **each},
        ) as watch,
    ):
        units = play(film[0], watch)
        Sleeps.woken.set()
    assert units >= ENOUGH
    tally = watch.analysis.tally.vision
    motion, sleeps, raises = (tally.detectors[name] for name in ("motion", "sleeps", "raises"))
    assert motion["sampled"] == motion["seen"] >= ENOUGH
    assert motion["processed"] >= ENOUGH
    assert motion["emitted"] > 0
    assert sleeps["dropped"] > 100
    assert raises["failed"] == MAX_FAILURES
    assert "RuntimeError" in tally.off["raises"]
    assert "RuntimeError: no such model" in caplog.text
    assert caplog.text.count("detector raises is switched off") == 1


class Looks:
    """Tells what it was given."""

    def __init__(self):
        self.seen = []

    def process(self, frame, context):
        self.seen.append((frame, context))
        bright = float((frame[:, :, 1] > 200).mean())
        return [Detection("bright", bright, Region(0, 0, 1, 1), data={"mean": frame.mean()})]


def test_what_a_detector_is_given(film):
    """Pictures come as RGB of the size that is asked for, sampled, with their times."""
    made = []

    def make():
        made.append(Looks())
        return made[-1]

    vision = {"normalize": {"width": 160, "height": 90}, "minIntervalUsec": 500_000}
    with Watch(("looks", "pictures", make), vision=vision) as watch:
        play_until(film[0], watch, lambda events: len(events) >= 5)
    (looks,) = made
    frame, context = looks.seen[3]
    assert frame.shape == (90, 160, 3)
    assert frame.dtype == np.uint8
    assert (context.source, context.width, context.height) == ("film.mp4", 160, 90)
    times = [c.timestamp_usec for _, c in looks.seen]
    assert all(490_000 <= b - a <= 540_000 for a, b in itertools.pairwise(times))
    assert abs(time.time() - context.received_at_usec / 1e6) < 60
    data = watch.of("looks")[3]
    assert data["detections"][0]["label"] == "bright"
    assert data["frame"]["frameId"] == context.frame
    assert data["frame"]["width"] == 160


class Listens:
    """Finds what is loud."""

    def process(self, samples, context):
        assert samples.dtype == np.float32
        assert samples.shape == (context.sample_rate // 50, context.channels)
        loud = float(np.abs(samples).max())
        return [Detection("loud", loud)] if loud > 0.2 else []


def test_a_sound_detector(film):
    """Sound comes as floats in runs of 20 ms; what it hears is told as icey:speech."""
    path, end = film
    with Watch(("listens", "sound", Listens)) as watch:
        play_until(path, watch, lambda events: len(events) >= 5)
    heard = [data["time"] / 1e6 for data in watch.of("listens")]
    assert heard
    assert all(SPOKEN_AT - 0.1 <= at <= end + 0.1 for at in heard)


def test_failing_evidence_is_not_the_detectors_failure(film, caplog):
    """Where a snapshot cannot be written the event goes out without it."""

    class FullDisk:
        def keep(self, event):
            raise OSError("no space left")

    with Watch(**BOTH) as watch:
        watch.analysis._evidence = (FullDisk(),)
        play_until(film[0], watch, lambda _: watch.of("motion"))
    assert watch.analysis.tally.vision.off == {}
    assert "could not be kept" in caplog.text


def test_the_end_does_not_wait_for_a_sleeper(film):
    """Stopping is quick although a detector is at work."""
    Sleeps.woken.clear()
    watch = Watch(("sleeps", "pictures", Sleeps))
    with Player(film[0], settings(size=(640, 360)), tap=watch.analysis) as player:
        player.video.wait_count(10)
    began = time.monotonic()
    watch.analysis.stop()
    watch.analysis.join()
    assert time.monotonic() - began < 2
    Sleeps.woken.set()
