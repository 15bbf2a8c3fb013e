"""Pacing, lanes, keyframes, bitrate and an end that leaves nothing behind."""

import gc
import threading
import time
from itertools import pairwise

import numpy as np
import psutil
import pytest

from icey.errors import ClosedError, SourceError
from icey.media.demo import STRIP_BLOCKS, STRIP_HEIGHT, decode_strip
from icey.media.events import SourceEnded
from icey.media.h264 import nal_types
from icey.media.pipeline import Pipeline
from icey.media.source import parse_source
from integration.media.material import Film, make
from integration.media.sinks import (
    CollectingSink,
    Player,
    decode_audio,
    decode_video,
    pitch,
    rate_of,
    settings,
)

FAST = {"preset": "ultrafast"}


@pytest.mark.alone
def test_demo_plays_on_time():
    """The demo gives 30 pictures a second, pushed within milliseconds of their capture."""
    with Player("demo:", settings(size=(640, 360))) as player:
        units = player.video.wait_count(60)
        sound = player.audio.wait_count(90)
    assert units[0].keyframe
    assert rate_of(units) == pytest.approx(30, rel=0.1)
    late = sorted((unit.pushed_ns - unit.captured_ns) / 1e6 for unit in units)
    assert late[len(late) // 2] < 15
    samples = decode_audio(sound)[:, 0]
    assert 0.05 < np.abs(samples[24_000:43_000]).mean() < 0.08
    assert pitch(samples[24_000:43_000]) == pytest.approx(440, abs=4)


def test_demo_strip_survives_the_encoder():
    """The wall clock is read out of decoded pictures, and is the moment of their capture."""
    offset = time.time_ns() - time.monotonic_ns()
    with Player("demo:", settings(size=(1280, 720), bitrate=600_000)) as player:
        units = player.video.wait_count(40)
    delays = []
    for unit, luma in zip(units, decode_video(units), strict=True):
        wall = strip_of(luma)
        assert wall is not None
        delays.append(wall - (unit.captured_ns + offset) / 1e6)
    assert -2 <= np.median(delays) < 15


def test_tap_may_keep_pictures():
    """What a tap gets of the demo stays as it was, also once the next pictures are drawn."""

    class Keeper:
        def __init__(self):
            self.kept = []

        def picture(self, picture, media_ns, due_ns):
            self.kept.append((picture, strip_of(picture.to_ndarray(format="gray"))))

        def sound(self, *_):
            pass

    keeper = Keeper()
    with Player("demo:", settings(size=(640, 360)), tap=keeper) as player:
        player.video.wait_count(20)
    clocks = [strip_of(picture.to_ndarray(format="gray")) for picture, _ in keeper.kept]
    assert clocks == [then for _, then in keeper.kept]
    assert len(set(clocks)) == len(clocks) >= 19


def strip_of(luma):
    """The wall clock in a picture of the demo, of shape (h, w)."""
    height, width = luma.shape
    row = luma[int(height * STRIP_HEIGHT / 2)]
    return decode_strip(
        [float(row[int((i + 0.5) * width / STRIP_BLOCKS)]) for i in range(STRIP_BLOCKS)]
    )


@pytest.mark.alone
def test_first_picture_is_there_at_start():
    """Start gives a keyframe within 100 ms: the source and an encoder are open by then."""
    player = Player("demo:", settings(size=(1280, 720)))
    player.pipeline.prepare()
    player.pipeline.add_lane(video=player.video, audio=None, bitrate=1_000_000)
    started = time.monotonic_ns()
    player.pipeline.start()
    first = player.video.wait_count(1)[0]
    player.pipeline.stop()
    assert player.pipeline.join(5)
    assert first.pushed_ns - started < 100e6
    assert first.keyframe


@pytest.mark.alone
def test_keyframe_on_request_is_an_idr_with_headers():
    """A request makes the next frame an IDR with SPS and PPS, and it can be decoded alone."""
    with Player("demo:") as player:
        player.video.wait_count(12)
        asked = len(player.video.units)
        player.lane.request_keyframe()
        units = player.video.wait(lambda u: any(unit.keyframe for unit in u[asked:]))
    found = next(unit for unit in units[asked:] if unit.keyframe)
    assert {5, 7, 8} <= set(nal_types(found.data))
    assert decode_video([found])[0].shape == (180, 320)
    assert found.captured_ns - units[asked - 1].captured_ns < 200e6


def test_keyframes_are_at_most_one_in_300_ms():
    """Whoever asks all the time gets a keyframe each 300 ms, and not one more."""
    with Player("demo:") as player:
        deadline = time.monotonic() + 1.6
        while time.monotonic() < deadline:
            player.lane.request_keyframe()
            player.video.wait_count(len(player.video.units) + 1)
        keys = [unit.captured_ns for unit in player.video.units if unit.keyframe]
    gaps = [(b - a) / 1e6 for a, b in pairwise(keys)]
    assert len(gaps) >= 3
    assert min(gaps) >= 299


def noisy_film(tmp_path):
    """A film that no encoder can make small."""
    return make(
        tmp_path / "noise.mkv",
        Film(size=(640, 360), frames=90, noise=70, audio=None, options={**FAST, "crf": "18"}),
    )


@pytest.mark.alone
def test_bitrate_follows_down_and_up(tmp_path):
    """On the running encoder the rate is down within a second, and up again later."""

    def rate(units, start_s, end_s):
        origin = units[0].timestamp
        inside = [u for u in units if start_s <= (u.timestamp - origin) / 90_000 < end_s]
        return sum(len(u.data) for u in inside) * 8 / (end_s - start_s)

    media = settings(size=(640, 360))
    with Player(noisy_film(tmp_path), media) as player:
        player.video.wait_count(60)
        player.lane.set_bitrate(300_000)
        assert player.lane.bitrate == 300_000
        player.video.wait_count(150)
        player.lane.set_bitrate(9_000_000)
        assert player.lane.bitrate == 2_000_000
        units = player.video.wait_count(240)
        player.lane.set_bitrate(1)
        assert player.lane.bitrate == 150_000
    assert rate(units, 1, 2) > 1_500_000
    assert rate(units, 3, 5) < 400_000
    assert rate(units, 7, 8) > 1_200_000
    assert max(len(u.data) for u in units) < 100_000


def test_each_lane_has_its_own_encoder():
    """Lanes come at any time, start with a keyframe, and have bitrates of their own."""
    with Player("demo:") as player:
        player.video.wait_count(10)
        second = CollectingSink()
        lane = player.pipeline.add_lane(video=second, audio=None, bitrate=200_000)
        units = second.wait_count(10)
        assert units[0].keyframe
        assert len(player.pipeline._lanes) == 2
        assert sum(lane.bitrate for lane in player.pipeline._lanes) == 2_200_000
        lane.close()
        player.video.wait_count(len(player.video.units) + 5)
        closed_at = len(second.units)
        player.video.wait_count(len(player.video.units) + 5)
        assert len(second.units) == closed_at
        assert len(player.pipeline._lanes) == 1


def test_closed_sink_closes_its_lane_only():
    """A track that was closed under the pipeline ends its lane, and nobody else's."""

    class Closed:
        def push(self, data, timestamp, captured_ns, keyframe):
            raise ClosedError("closed")

    with Player("demo:") as player:
        lane = player.pipeline.add_lane(video=Closed(), audio=Closed(), bitrate=200_000)
        player.video.wait_count(15)
        assert lane.closed


def left_out(units):
    """How many pictures of 30 a second are missing between the first unit and the last."""
    return (units[-1].timestamp - units[0].timestamp) // 3000 + 1 - len(units)


@pytest.mark.alone
def test_slow_sink_builds_no_latency():
    """Where a frame takes longer than it lasts, frames are dropped, not queued."""

    class Slow(CollectingSink):
        def push(self, data, timestamp, captured_ns, keyframe):
            time.sleep(0.05)
            super().push(data, timestamp, captured_ns, keyframe)

    player = Player("demo:")
    player.video = Slow()
    with player:
        units = player.video.wait_count(40)
    assert left_out(units) > 5
    assert max(unit.pushed_ns - unit.captured_ns for unit in units[5:]) < 300e6


@pytest.mark.alone
def test_slow_machine_drops_frames_of_a_file(tmp_path):
    """The same for a file: it stays in time, and skips pictures."""

    class Slow(CollectingSink):
        def push(self, data, timestamp, captured_ns, keyframe):
            time.sleep(0.05)
            super().push(data, timestamp, captured_ns, keyframe)

    player = Player(make(tmp_path / "a.mp4", Film(frames=120, audio=None, options=FAST)))
    player.video = Slow()
    with player:
        units = player.video.wait_count(40)
    assert left_out(units) > 5
    assert max(unit.pushed_ns - unit.captured_ns for unit in units[5:]) < 400e6


@pytest.mark.parametrize("kind", ["demo", "file"])
def test_nothing_stays_behind(kind, tmp_path):
    """After stop and join there are as many threads and descriptors as before, 20 times over."""
    source = "demo:" if kind == "demo" else make(tmp_path / "a.mp4", Film(options=FAST))

    def play():
        with Player(source) as player:
            player.video.wait_count(2)

    play()
    process = psutil.Process()
    gc.collect()
    before = threading.active_count(), process.num_threads(), process.num_fds()
    for _ in range(20):
        play()
    gc.collect()
    assert (threading.active_count(), process.num_threads(), process.num_fds()) == before


def test_memory_is_flat(tmp_path):
    """Thirty players after each other leave less than an eighth of what one leak each would."""
    source = make(tmp_path / "a.mp4", Film(size=(640, 360), frames=30, options=FAST))

    def rss_after(count):
        for _ in range(count):
            with Player(source, settings(size=(640, 360))) as player:
                player.video.wait_count(2)
        gc.collect()
        return psutil.Process().memory_info().rss

    first = rss_after(30)
    assert rss_after(30) - first < 30 << 20  # a player is 8 MB in this size


def test_one_thread_for_a_file(tmp_path):
    """A local file is decoded, encoded and sent by a single thread, codecs' own included."""
    source = make(tmp_path / "a.mp4", Film(options=FAST))
    tasks = psutil.Process().num_threads()
    with Player(source) as player:
        player.video.wait_count(10)
        assert psutil.Process().num_threads() == tasks + 1


def test_stop_without_start(tmp_path):
    """A pipeline that was prepared but never started frees everything on stop."""
    path = make(tmp_path / "a.mp4", Film(options=FAST))
    player = Player(path)
    fds = psutil.Process().num_fds()
    player.pipeline.prepare()
    player.pipeline.stop()
    player.pipeline.stop()
    assert player.pipeline.join(1)
    assert psutil.Process().num_fds() == fds
    player.pipeline.start()
    assert player.pipeline._state == "stopped"


def test_stop_during_prepare(tmp_path, monkeypatch):
    """A stop that comes while the source is opened makes prepare fail, and frees the source."""
    path = make(tmp_path / "a.mp4", Film(options=FAST))
    player = Player(path)
    original = player.pipeline._reader.open

    def open_and_stop():
        original()
        player.pipeline.stop()

    monkeypatch.setattr(player.pipeline._reader, "open", open_and_stop)
    with pytest.raises(SourceError, match="stopped"):
        player.pipeline.prepare()
    assert player.pipeline.join(1)


def test_start_before_prepare_is_refused():
    """Starting what was not prepared is an error of the caller, said so."""
    pipeline = Pipeline(parse_source("demo:"), settings(), on_event=lambda _: None)
    with pytest.raises(SourceError, match="not prepared"):
        pipeline.start()


def test_lane_after_stop_pushes_nothing():
    """A lane added to a stopped pipeline is closed."""
    with Player("demo:") as player:
        player.video.wait_count(1)
    sink = CollectingSink()
    assert player.pipeline.add_lane(video=sink, audio=None, bitrate=1).closed
    assert sink.units == []


def test_end_of_file_with_many_lanes(tmp_path):
    """All lanes get every frame of a short film, and the end is told once."""
    path = make(tmp_path / "a.mp4", Film(frames=20, options=FAST))
    player = Player(path, settings(loop=False))
    other = CollectingSink()
    player.pipeline.add_lane(video=other, audio=None, bitrate=300_000)
    with player:
        player.wait_event(SourceEnded)
    assert len(other.units) == len(player.video.units) == 20
    assert player.events == [SourceEnded()]
