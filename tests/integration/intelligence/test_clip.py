"""Clips: where they begin and end, what is in them, and what becomes of them in trouble."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import av
import pytest

from icey.config.intelligence import ClipSettings
from icey.config.model import RecordSettings
from icey.errors import RecordingError
from icey.intelligence import clip as clip_module
from icey.intelligence.clip import Clips
from icey.intelligence.shelf import CLIPS, Shelf
from icey.storage.paths import ENDING
from integration.intelligence.filmed import FPS, Stream, shown_in, start_of

INTERVAL_S = 2.0


def until(condition, within_s=10.0):
    """Wait until a condition holds; fail where it does not in time."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "it did not come to that in time"
        time.sleep(0.005)


class Maker:
    """Clips in a folder, and those that are finished."""

    def __init__(self, folder, *, record=None, **settings):
        self.folder = folder
        self.finished = []
        self.shelf = Shelf(CLIPS, folder, record or RecordSettings(min_free_bytes=0), ENDING)
        self.clips = Clips(
            ClipSettings.model_validate(settings), self.shelf, on_finished=self.finished.append
        )

    @property
    def files(self):
        return sorted(self.folder.glob("*"))

    def is_written(self):
        """Whether all that came so far is in a file."""
        clip = self.clips._clip
        return clip is None or not clip.pending

    def has_fragment(self):
        """Whether there is something on the disk that a crash would leave."""
        return self.folder.exists() and any(b"moof" in path.read_bytes() for path in self.files)

    def wait(self, count=1):
        until(lambda: len(self.finished) == count)
        return self.files

    def stop(self):
        self.clips.stop()
        assert self.clips.join(10)


@pytest.fixture
def make(tmp_path):
    """What makes clips in a folder that is not there yet."""
    made = []

    def maker(**options):
        made.append(Maker(tmp_path / "clips", **options))
        return made[-1]

    yield maker
    for one in made:
        one.stop()


@pytest.mark.parametrize(("pre_s", "post_s"), [(1.0, 3.0), (0.0, 0.0), (3.5, 0.5)])
@pytest.mark.parametrize("event_s", [7.9, 8.0, 9.3])
def test_begins_and_ends_where_it_should(make, pre_s, post_s, event_s):
    """It begins at most a keyframe interval before the pre-roll, and ends with the post-roll."""
    maker = make(preRollUsec=round(pre_s * 1e6), postRollUsec=round(post_s * 1e6))
    stream = Stream(maker.clips, keyframe_s=INTERVAL_S)
    stream.run(event_s + 0.3)
    reference = maker.clips.keep(stream.event(event_s))["clip"]
    stream.run(event_s + post_s + 1)
    (path,) = maker.wait()
    shown = shown_in(path)
    numbers = [number for number, _ in shown]
    assert numbers == list(range(numbers[0], numbers[-1] + 1))  # every picture, in order
    assert numbers[0] % (INTERVAL_S * FPS) == 0
    assert 0 <= event_s - pre_s - numbers[0] / FPS < INTERVAL_S
    assert numbers[-1] / FPS == pytest.approx(event_s + post_s, abs=1.5 / FPS)
    for number, at in shown:
        assert at == pytest.approx((number - numbers[0]) / FPS, abs=0.006)
    assert reference == {"path": f"clips/{path.name}", "url": f"/artifacts/clips/{path.name}"}


def test_is_called_after_detector_and_start(make):
    """Its name says which detector, and when its first picture was, UTC."""
    maker = make()
    stream = Stream(maker.clips)
    stream.run(5)
    maker.clips.keep(stream.event(4.5, "colour.blob"))
    stream.run(8)
    (path,) = maker.wait()
    assert path.name.startswith("colour_blob-")
    began = time.time() - (time.monotonic_ns() - stream.at(2)) / 1e9
    assert start_of(path) == pytest.approx(began, abs=0.1)
    (finished,) = maker.finished
    assert finished.detector == "colour.blob"
    assert finished.start.timestamp() == pytest.approx(began, abs=0.1)
    assert finished.seconds == pytest.approx(5.5, abs=0.1)


def test_has_the_sound(make):
    """The sound of the stream is in it, as long as the picture and in step with it."""
    maker = make(postRollUsec=1_000_000)
    stream = Stream(maker.clips)
    stream.run(5)
    maker.clips.keep(stream.event(4.5))
    stream.run(6)
    (path,) = maker.wait()
    with av.open(str(path)) as container:
        video, audio = container.streams.video[0], container.streams.audio[0]
        assert (video.codec_context.name, audio.codec_context.name) == ("h264", "opus")
        seconds = [float(s.duration * s.time_base) for s in (video, audio)]
    assert seconds[0] == pytest.approx(seconds[1], abs=0.1)


def test_silent_stream(make):
    """A stream without sound gives a clip without a track for it."""
    maker = make(postRollUsec=0)
    stream = Stream(maker.clips, sound=False)
    stream.run(5)
    maker.clips.keep(stream.event(4.5))
    stream.run(6)
    (path,) = maker.wait()
    with av.open(str(path)) as container:
        assert [stream.type for stream in container.streams] == ["video"]


def test_goes_on_while_events_do(make):
    """Events while it is open make it longer, and all name the same file."""
    maker = make(postRollUsec=1_000_000)
    stream = Stream(maker.clips)
    stream.run(3)
    references = []
    for second in (3.0, 3.8, 4.6, 5.4):
        stream.run(second)
        references.append(maker.clips.keep(stream.event(second)))
    stream.run(8)
    (path,) = maker.wait()
    assert [reference["clip"]["path"] for reference in references] == [f"clips/{path.name}"] * 4
    assert shown_in(path)[-1][0] / FPS == pytest.approx(6.4, abs=1.5 / FPS)


def test_event_after_the_end_begins_another(make):
    """When a clip is over the next event begins a new one, whose pre-roll may overlap."""
    maker = make(postRollUsec=500_000)
    stream = Stream(maker.clips)
    stream.run(4)
    first = maker.clips.keep(stream.event(3.9))
    stream.run(5)
    maker.wait()
    second = maker.clips.keep(stream.event(5))
    stream.run(6)
    assert len(maker.wait(2)) == 2
    assert first != second


def test_event_that_comes_late(make):
    """An event of a slow detector, about a picture of long ago, still has its pre-roll."""
    maker = make(preRollUsec=1_000_000, postRollUsec=0)
    stream = Stream(maker.clips)
    stream.run(10)
    maker.clips.keep(stream.event(8.1))
    (path,) = maker.wait()
    numbers = [number for number, _ in shown_in(path)]
    assert numbers[0] == 6 * FPS
    assert numbers[-1] / FPS == pytest.approx(8.1, abs=1.5 / FPS)


def test_before_the_first_keyframe(make):
    """Where nothing is encoded yet there is no clip, and no folder."""
    maker = make()
    stream = Stream(maker.clips, first_keyframe=5)
    assert maker.clips.keep(stream.event(0)) == {}
    stream.run(1)
    assert maker.clips.keep(stream.event(1)) == {}
    assert not maker.folder.exists()


def test_pre_roll_of_a_young_stream(make):
    """What is asked for from before the stream begins with the stream."""
    maker = make(preRollUsec=60_000_000, postRollUsec=0)
    stream = Stream(maker.clips)
    stream.run(1)
    maker.clips.keep(stream.event(0.5))
    (path,) = maker.wait()
    assert shown_in(path)[0][0] == 0


def test_several_detectors_at_once(make):
    """Detectors that see the same thing at the same moment make one clip."""
    maker = make()
    stream = Stream(maker.clips)
    stream.run(3)
    with ThreadPoolExecutor(8) as pool:
        kept = list(pool.map(lambda n: maker.clips.keep(stream.event(2.5, f"d{n}")), range(8)))
    assert len({one["clip"]["path"] for one in kept}) == 1
    maker.stop()
    assert len(maker.files) == 1


def test_end_of_the_stream(make):
    """When the stream ends, the clip that is open is finished with what there is."""
    maker = make()
    stream = Stream(maker.clips)
    stream.run(3)
    maker.clips.keep(stream.event(2.9))
    maker.stop()
    (path,) = maker.wait()
    assert shown_in(path)[-1][0] == 3 * FPS - 1
    assert maker.clips.keep(stream.event(2.95)) == {}


def test_stream_that_stands_still(make, monkeypatch):
    """Where no picture comes any more, the clip is finished all the same."""
    monkeypatch.setattr(clip_module, "STALLED_NS", 0)
    maker = make(postRollUsec=0)
    stream = Stream(maker.clips)
    stream.run(0.2)
    maker.clips.keep(stream.event(0.1))
    assert len(maker.wait()) == 1


def test_longest_clip(make, monkeypatch):
    """What goes on for very long is cut into several clips."""
    monkeypatch.setattr(clip_module, "MAX_CLIP_NS", 2_000_000_000)
    maker = make(postRollUsec=500_000)
    stream = Stream(maker.clips)
    for tenth in range(1, 80):
        stream.run(tenth / 10)
        maker.clips.keep(stream.event(tenth / 10))
        if tenth % 8 == 0:
            until(maker.is_written)
    maker.stop()
    assert 2 <= len(maker.files) <= 5
    assert all(finished.seconds < 5 for finished in maker.finished)


@pytest.mark.parametrize("trouble", ["file in the way", "disk is full"])
def test_folder_that_cannot_be_used(make, monkeypatch, caplog, trouble):
    """Where no clip can be written the event goes without one; the log says so once."""
    maker = make()
    if trouble == "disk is full":

        def no_room():
            raise RecordingError("the disk has 1 MiB free, and 512 MiB are to stay free")

        monkeypatch.setattr(maker.shelf, "prepare", no_room)
    else:
        maker.folder.write_text("in the way")
    stream = Stream(maker.clips)
    stream.run(3)
    assert maker.clips.keep(stream.event(2)) == {}
    assert maker.clips.keep(stream.event(2.5)) == {}
    assert maker.clips.failed == 2
    assert len([r for r in caplog.records if "a clip cannot be made" in r.message]) == 1


def test_disk_that_fills_up(make, monkeypatch):
    """A clip that runs out of room keeps what it has, and plays; later ones go on."""
    monkeypatch.setattr(clip_module, "ROOM_EVERY_NS", 0)
    maker = make()
    stream = Stream(maker.clips)
    stream.run(3)
    maker.clips.keep(stream.event(2.9))
    until(maker.has_fragment)

    def no_room():
        raise RecordingError("full")

    with monkeypatch.context() as patch:
        patch.setattr(maker.shelf, "prepare", no_room)
        stream.run(4)
        until(lambda: maker.clips.failed == 1)
    until(lambda: [path.suffix for path in maker.files] == [".mp4"])
    assert shown_in(maker.files[0])[0][0] == 0
    assert maker.clips.keep(stream.event(4))
    stream.run(8)
    maker.wait(1)


def test_slow_disk(make, monkeypatch):
    """The stream waits for no disk: what is too much is counted, and it goes on at a keyframe."""
    monkeypatch.setattr(clip_module, "MAX_BYTES", 4000)
    maker = make(postRollUsec=20_000_000)
    gate, entered = threading.Event(), threading.Event()
    prepare = maker.shelf.prepare

    def slow():
        if threading.current_thread().name == "icey-clip":
            entered.set()
            gate.wait(10)
        prepare()

    monkeypatch.setattr(maker.shelf, "prepare", slow)
    stream = Stream(maker.clips, sound=False)
    stream.run(1)
    maker.clips.keep(stream.event(0.9))
    assert entered.wait(5)
    began = time.monotonic()
    stream.run(9)
    assert time.monotonic() - began < 8
    assert maker.clips.dropped > 0
    gate.set()
    until(lambda: maker.clips._clip.pending_bytes == 0)
    stream.run(14)
    maker.stop()
    (path,) = maker.files
    numbers = [number for number, _ in shown_in(path)]
    gaps = [b for a, b in pairwise(numbers) if b != a + 1]
    assert len(gaps) == 1
    assert gaps[0] % (INTERVAL_S * FPS) == 0


def test_asks_for_keyframes():
    """Keyframes are wanted as soon as a clip would begin too early."""
    clips = Clips(ClipSettings(), None, on_finished=lambda _: None)
    assert clips.wants_keyframe(0)
    clips.video(b"\0\0\1\x65", 5, keyframe=True)
    assert not clips.wants_keyframe(5 + clip_module.KEYFRAME_NS - 1)
    assert clips.wants_keyframe(5 + clip_module.KEYFRAME_NS)


def test_crash(make):
    """What a crash leaves of a clip is saved at the next start."""
    maker = make()
    stream = Stream(maker.clips)
    stream.run(3)
    maker.clips.keep(stream.event(2.9))
    until(maker.has_fragment)
    (part,) = maker.files
    left = part.parent.parent / "left" / part.name
    left.parent.mkdir()
    left.write_bytes(part.read_bytes())
    Shelf(CLIPS, left.parent, RecordSettings(min_free_bytes=0), ENDING).repair_blocking()
    (saved,) = left.parent.iterdir()
    assert saved.name.endswith(".recovered.mp4")
    assert shown_in(saved)[0][0] == 0
