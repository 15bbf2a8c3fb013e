"""A recorder writes the frames of a browser that the test plays into files."""

import shutil
import subprocess
import sys
import threading
import time
from collections import deque
from fractions import Fraction
from itertools import pairwise
from types import SimpleNamespace

import av
import numpy as np
import pytest

from icey._core import ReceivedFrame
from icey.config.model import MediaSettings
from icey.recording.events import (
    RecordingEnded,
    RecordingFailed,
    RecordingFinished,
    RecordingStarted,
)
from icey.recording.library import Library
from icey.recording.recorder import Recorder
from integration.recording.played_source import SECOND, Browser, PlayedSource, changed

BOTH = ("h264", "opus")


class Recorded(list):
    """The events of a recorder, and where they are waited for."""

    def __init__(self):
        super().__init__()
        self.news = threading.Condition()

    def tell(self, event):
        with self.news:
            self.append(event)
            self.news.notify_all()

    def wait_for(self, kind, count=1):
        """Wait for so many events of a kind."""
        with self.news:
            there = self.news.wait_for(lambda: len(self.all(kind)) >= count, timeout=10)
        assert there, f"{kind.__name__} not among {list(self)}"
        return self.all(kind)

    def all(self, kind):
        return [event for event in self if isinstance(event, kind)]


def recorder(source, folder, codecs=BOTH, peer="alice", limits=None, **record):
    """A recorder, not yet started, and its events."""
    settings = {"record": {"minFreeBytes": 0, **record}, "video": {"width": 320, "height": 240}}
    events = Recorded()
    made = Recorder(
        source,
        peer_name=peer,
        folder=folder,
        media=MediaSettings.model_validate(settings),
        codecs=codecs,
        on_event=events.tell,
        limits=limits,
    )
    return made, events


def record(frames, folder, codecs=BOTH, **settings):
    """Record all of it at once; the events."""
    made, events = recorder(PlayedSource(deque(frames)), folder, codecs, **settings)
    made.start()
    made.stop()
    assert made.join(20)
    assert isinstance(events[-1], RecordingEnded)
    return events


def only_file(folder):
    [path] = folder.iterdir()
    return path


def look(path):
    """Decode a whole file strictly; times and sizes of pictures, samples and length of sound."""
    pictures, samples = [], []
    with av.open(str(path)) as container:
        for stream in container.streams:
            stream.codec_context.options = {"err_detect": "explode"}
        mono = av.AudioResampler("s16", "mono", 48_000)
        for frame in container.decode():
            if isinstance(frame, av.VideoFrame):
                pictures.append((frame.time, (frame.width, frame.height)))
            else:
                samples += [part.to_ndarray()[0] for part in mono.resample(frame)]
        return SimpleNamespace(
            pictures=pictures,
            sound=np.concatenate(samples) if samples else np.zeros(0),
            duration=container.duration / 1e6,
            codecs=[stream.codec_context.name for stream in container.streams],
        )


@pytest.mark.parametrize(
    ("settings", "codecs"),
    [
        ({}, ["h264", "opus"]),
        ({"audio": "aac"}, ["h264", "aac"]),
        ({"video": "transcode"}, ["h264", "opus"]),
        ({"video": "transcode", "audio": "aac"}, ["h264", "aac"]),
    ],
    ids=["copy", "aac", "transcode", "all anew"],
)
def test_a_whole_call(tmp_path, settings, codecs):
    """A file has all pictures and all sound, from 0 on, the right length, and its final name."""
    events = record(Browser().seconds(4), tmp_path, **settings)
    path = only_file(tmp_path)
    assert events[0] == RecordingStarted(path.name)
    assert events[1] == RecordingFinished(path.name, pytest.approx(4.0, abs=0.05))  # type: ignore[arg-type]
    seen = look(path)
    assert seen.codecs == [c.replace("opus", "opus") for c in codecs]
    assert len(seen.pictures) == 120
    assert seen.pictures[0][0] == 0
    assert seen.duration == pytest.approx(4.0, abs=0.05)
    assert len(seen.sound) / 48_000 == pytest.approx(4.0, abs=0.05)
    assert min(np.abs(part).max() for part in np.array_split(seen.sound[4800:-4800], 40)) > 3000


def test_nothing_is_decoded_on_a_copy(tmp_path):
    """The file has the access units that were received."""
    frames = Browser().seconds(1)
    record(frames, tmp_path)
    sent = [f.data for f in frames if f.kind == "video"]
    with av.open(str(only_file(tmp_path))) as container:
        kept = [bytes(p) for p in container.demux(video=0) if p.size]
    # Start codes of three or four bytes have become lengths; everything behind them is the same.
    assert [unit[-50:] for unit in kept] == [unit[-50:] for unit in sent]


@pytest.mark.parametrize("video", ["copy", "transcode"])
def test_another_size_in_mid_call(tmp_path, video):
    """A recording of several sizes plays; where it is copied, the header declares the largest."""
    browser = Browser((160, 120))
    frames = browser.seconds(2)
    browser.resize((640, 360))
    frames += browser.seconds(2)
    record(frames, tmp_path, video=video)
    seen = look(only_file(tmp_path))
    assert len(seen.pictures) == 120
    sizes = [size for _, size in seen.pictures]
    [listed] = Library(tmp_path).list_recordings()
    if video == "copy":
        assert sizes == [(160, 120)] * 60 + [(640, 360)] * 60
        assert (listed.width, listed.height) == (640, 360)
    else:
        assert sizes == [(320, 240)] * 120


def test_it_begins_with_a_keyframe(tmp_path):
    """A recording has no picture before its first keyframe."""
    frames = Browser().seconds(3)
    record([f for f in frames if f.arrived_ns > 5 * SECOND + SECOND // 2], tmp_path)
    seen = look(only_file(tmp_path))
    assert len(seen.pictures) == 60
    assert seen.pictures[0][0] == 0
    assert len(seen.sound) / 48_000 == pytest.approx(2.0, abs=0.05)


def test_status_of_an_open_file(tmp_path):
    """While it is open, the status has the file's name, its length in 0.1 s, and the counters."""
    source = PlayedSource(deque(Browser().seconds(3)), lost=2)
    made, events = recorder(source, tmp_path)
    assert made.status()["state"] == "waiting"
    made.start()
    [started] = events.wait_for(RecordingStarted)
    deadline = time.monotonic() + 10
    while made.status()["framesLost"] == 0 and time.monotonic() < deadline:
        time.sleep(0.01)
    status = made.status()
    assert status.pop("bytes") > 1000
    assert status.pop("framesAudio") in range(148, 153)
    assert status == {
        "file": started.name,
        "state": "recording",
        "seconds": 3.0,
        "framesVideo": 90,
        "framesLost": 2,
        "gaps": 0,
        "transcoding": False,
    }
    made.stop()
    assert made.join(20)
    assert made.status()["state"] == "ended"


def test_a_gap_keeps_its_length(tmp_path):
    """Pictures that are lost leave a gap of the right length, and are counted."""
    frames = []
    for frame in Browser().seconds(4):
        at = (frame.arrived_ns - 5 * SECOND) / SECOND
        if frame.kind == "video" and 1.2 <= at < 1.999:
            continue
        lost = frame.kind == "video" and 1.999 <= at < 2.02
        frames.append(changed(frame, after_loss=lost))
    made, _ = recorder(PlayedSource(deque(frames)), tmp_path)
    made.start()
    made.stop()
    assert made.join(20)
    assert made.status()["gaps"] == 1
    seen = look(only_file(tmp_path))
    longest = max(after[0] - before[0] for before, after in pairwise(seen.pictures))
    assert longest == pytest.approx(0.83, abs=0.05)
    assert seen.duration == pytest.approx(4.0, abs=0.05)


@pytest.mark.parametrize("without", [(0.0, 2.0), (1.0, 3.0), (2.0, 9.0)], ids=str)
def test_sound_that_is_missing_is_silence(tmp_path, without):
    """Where sound begins late, is muted or ends early, silence fills the gap and the rest stays."""
    begin, end = (5 * SECOND + round(t * SECOND) for t in without)
    frames = [
        f for f in Browser().seconds(4) if f.kind == "video" or not begin <= f.arrived_ns < end
    ]
    record(frames, tmp_path)
    seen = look(only_file(tmp_path))
    # The middle of each half second: at the edges a decoder fades.
    halves = [part[6000:18_000] for part in np.array_split(seen.sound, 8)]
    loud = [bool(np.abs(part).max() > 3000) for part in halves]
    middle = [0.25 + 0.5 * n for n in range(8)]
    assert loud == [not without[0] <= t < without[1] for t in middle]
    assert len(seen.sound) / 48_000 == pytest.approx(4.0, abs=0.06)


def test_pictures_alone_and_sound_alone(tmp_path):
    """A call without a microphone has no track of sound, one without a camera none of pictures."""
    record(Browser().seconds(1, sound=False), tmp_path / "a", ("h264",))
    assert look(only_file(tmp_path / "a")).codecs == ["h264"]
    sound = [f for f in Browser().seconds(1) if f.kind == "audio"]
    record(sound, tmp_path / "b", ("opus",))
    alone = look(only_file(tmp_path / "b"))
    assert alone.codecs == ["opus"]
    assert alone.duration == pytest.approx(1.0, abs=0.05)


def test_nothing_that_came_is_no_file(tmp_path):
    """A call that sent nothing leaves no file, and is no failure."""
    assert record([], tmp_path / "folder") == [RecordingEnded()]
    assert not (tmp_path / "folder").exists()


def test_vp8_is_encoded_again(tmp_path, caplog):
    """VP8 is transcoded, and the log says so."""
    encoder = av.CodecContext.create("libvpx", "w")
    encoder.width, encoder.height, encoder.pix_fmt = 320, 240, "yuv420p"
    encoder.time_base = Fraction(1, 30)
    encoder.options = {"deadline": "realtime", "lag-in-frames": "0"}
    frames = []
    for n in range(60):
        picture = av.VideoFrame.from_ndarray(np.full((360, 320), 60 + n, np.uint8), "yuv420p")
        picture.pts = n
        sent = ReceivedFrame(codec="vp8", data=b"", timestamp=n * 3000, arrived_ns=n * SECOND // 30)
        frames += [
            changed(sent, data=bytes(packet), keyframe=packet.is_keyframe)
            for packet in encoder.encode(picture)
        ]
    record(frames, tmp_path, ("vp8",))
    seen = look(only_file(tmp_path))
    assert seen.codecs == ["h264"]
    assert len(seen.pictures) == len(frames)
    assert "encoded again" in caplog.text


def test_rubbish_from_a_browser_stops_nothing(tmp_path):
    """Broken access units and packets end no recording; the rest is recorded."""
    frames = []
    for n, frame in enumerate(Browser().seconds(2)):
        if n % 17 == 5 and not (frame.kind == "video" and frame.keyframe):
            frame = changed(frame, data=bytes(range(n % 50)))  # noqa: PLW2901
        frames.append(frame)
    for settings in ({}, {"audio": "aac"}, {"video": "transcode"}):
        events = record(frames, tmp_path, **settings)
        assert not events.all(RecordingFailed), settings
        assert events.all(RecordingFinished), settings


def test_segments_lose_nothing(tmp_path):
    """Segments begin at keyframes that the recorder requests; together they are the whole call."""
    source = PlayedSource()
    made, events = recorder(source, tmp_path, segmentSeconds=1)
    browser = Browser()
    made.start()
    asked = 0
    deadline = time.monotonic() + 20
    while len(events.all(RecordingFinished)) < 3 and time.monotonic() < deadline:
        key = source.keyframes_asked > asked
        asked = source.keyframes_asked
        source.frames += [browser.picture(keyframe=key)]
        source.frames += [browser.sound() for _ in range(2 if browser.count % 3 else 1)]
        time.sleep(0.01)  # three times as fast as life
    made.stop()
    assert made.join(20)
    files = sorted(tmp_path.iterdir())
    assert len(files) >= 4
    assert sum(len(look(path).pictures) for path in files) == browser.count
    assert [event.name for event in events.all(RecordingFinished)] == [p.name for p in files]


def test_sound_that_is_added_in_mid_call(tmp_path):
    """A track that the open file has no room for begins a new file, at the next keyframe."""
    browser = Browser()
    source = PlayedSource(deque(browser.seconds(1, sound=False)))
    made, events = recorder(source, tmp_path, ("h264",))
    made.start()
    events.wait_for(RecordingStarted)
    browser.blocks = 50
    source.frames += browser.seconds(2)
    made.stop()
    assert made.join(20)
    assert source.keyframes_asked >= 1
    first, second = (look(path) for path in sorted(tmp_path.iterdir()))
    assert first.codecs == ["h264"]
    assert second.codecs == ["h264", "opus"]
    assert len(first.pictures) + len(second.pictures) == 90


def test_the_folder_is_removed(tmp_path):
    """A recorder whose folder was removed fails, with a reason for the caller."""
    folder = tmp_path / "folder"
    source = PlayedSource(deque(Browser().seconds(1)))
    made, events = recorder(source, folder)
    made.start()
    events.wait_for(RecordingStarted)
    shutil.rmtree(folder)
    [failed] = events.wait_for(RecordingFailed)
    assert failed.reason == "the folder of recordings is gone"
    assert made.join(20)
    assert not folder.exists()


def test_below_the_floor_nothing_begins(tmp_path):
    """With less free space than minFreeBytes no file is made; the reason names the setting."""
    events = record(Browser().seconds(1), tmp_path, minFreeBytes=2**50)
    [failed] = events.all(RecordingFailed)
    assert "media.record.minFreeBytes" in failed.reason
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kib", [48, 100, 160])
def test_a_full_disk_keeps_what_was_written(tmp_path, kib):
    """After a full disk the file plays up to its last whole fragment, under a final name."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={kib}k", "none", disk],
        capture_output=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip("this user may not mount, so no disk here is small")
    try:
        events = record(Browser().seconds(12), disk)
        [failed] = events.all(RecordingFailed)
        assert failed.reason == "the disk is full"
        [finished] = events.all(RecordingFinished)
        assert finished.name.endswith(".recovered.mp4")
        seen = look(disk / finished.name)
        assert seen.duration == pytest.approx(finished.seconds, abs=0.1)
        assert len(seen.pictures) >= 30
        assert only_file(disk).name == finished.name
    finally:
        subprocess.run(["umount", "--lazy", disk], check=True)


def test_names_are_never_taken_twice(tmp_path):
    """Recorders that begin in the same moment under the same name write different files."""
    made = []
    for _ in range(4):
        recording, events = recorder(PlayedSource(deque(Browser().seconds(1))), tmp_path)
        made.append((recording, events))
    for recording, _ in made:
        recording.start()
        recording.stop()
    names = []
    for recording, events in made:
        assert recording.join(20)
        names += [event.name for event in events.all(RecordingFinished)]
    assert len(set(names)) == 4
    assert sorted(names) == sorted(path.name for path in tmp_path.iterdir())


def test_a_bug_ends_the_recording_and_says_so(tmp_path, caplog):
    """After an internal error the file is kept, the caller gets a reason, and the thread ends."""

    class Faulty(PlayedSource):
        def request_keyframe(self):
            raise ZeroDivisionError

        def stats(self):
            raise ZeroDivisionError

    made, events = recorder(Faulty(deque(Browser().seconds(1))), tmp_path)
    made.start()
    events.wait_for(RecordingEnded)
    assert events.all(RecordingFailed) == [RecordingFailed("internal error")]
    assert "ZeroDivisionError" in caplog.text
    assert look(only_file(tmp_path)).pictures


def test_ten_minutes_stay_in_sync(tmp_path):
    """With a sound card that is 100 ppm fast, sound ends with the picture after ten minutes."""
    if sys.gettrace() is not None:
        pytest.skip("too slow under a tracer")
    browser = Browser((64, 48))
    pictures = [browser.picture(keyframe=n % 300 == 0) for n in range(30)]
    packet = next(f for f in (browser.sound() for _ in range(9)) if f.data)
    frames = []
    for n in range(600 * 10):  # ten pictures a second suffice
        arrived = n * SECOND // 10
        report = (1_700_000_000 * SECOND + n // 10 * SECOND, n // 10 * 90_000)
        frame = pictures[0] if n % 300 == 0 else pictures[1]
        frames.append(changed(frame, timestamp=n * 9000, arrived_ns=arrived, report=report))
    fast = 1.0001
    for n in range(round(600 * 50 * fast)):
        arrived = round(n * SECOND / 50 / fast)
        at = arrived // (5 * SECOND) * 5
        report = (1_700_000_000 * SECOND + at * SECOND, round(at * 48_000 * fast))
        frames.append(changed(packet, timestamp=n * 960, arrived_ns=arrived, report=report))
    frames.sort(key=lambda frame: frame.arrived_ns)
    record(frames, tmp_path)
    with av.open(str(only_file(tmp_path))) as container:
        video, audio = container.streams.video[0], container.streams.audio[0]
        ends = [float(s.duration * s.time_base) for s in (video, audio)]
        assert audio.frames == pytest.approx(30_000, abs=2)
    assert ends[0] == pytest.approx(600, abs=0.2)
    assert abs(ends[1] - ends[0]) < 0.06
