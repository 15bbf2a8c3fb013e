"""Recorders with broken senders, failing disks and removed files."""

from __future__ import annotations

import errno
import os
import time
from collections import deque
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from icey.config.limits import LimitsSettings
from icey.errors import ClosedError, RecordingError
from icey.media.h264 import nal_units
from icey.recording import recorder as recorder_module
from icey.recording.events import (
    RecordingBounded,
    RecordingDelayed,
    RecordingEnded,
    RecordingFailed,
    RecordingFinished,
    RecordingLost,
    RecordingTroubled,
)
from icey.recording.events import RecordingStarted as Started
from icey.storage import mp4 as mp4_module
from icey.storage.continuity import SILENCE
from icey.storage.disk import sync_folder
from icey.storage.finish import finish_file
from icey.storage.repair import repair_folder
from integration.media.parameter_sets import sequence_set, unit
from integration.recording.played_source import SECOND, Browser, PlayedSource, changed
from integration.recording.test_recorder import look, only_file, record, recorder


def test_a_keyframe_of_which_nothing_can_be_made(tmp_path):
    """After garbage, broken sets or a huge picture a recording begins with the next keyframe."""
    _, pps, _, slice_ = nal_units(Browser().picture().data)
    for number, first in enumerate(
        (
            b"rubbish",
            unit(b"\x67rub", b"\x68bish", b"\x65" + bytes(500)),
            unit(sequence_set(900, 900), pps, slice_),
        )
    ):
        frames = Browser().seconds(2)
        index = next(i for i, f in enumerate(frames) if f.kind == "video")
        frames[index] = changed(frames[index], data=first)
        folder = tmp_path / str(number)
        events = record(frames, folder)
        assert not events.all(RecordingFailed)
        assert len(events.all(RecordingFinished)) == 1
        seen = look(only_file(folder))
        assert len(seen.pictures) >= 29
        assert seen.pictures[0][0] == 0


def test_what_cannot_be_copied_is_encoded_from_the_same_keyframe_on(tmp_path, monkeypatch, caplog):
    """H.264 that cannot be copied is transcoded without a lost picture; log and status say so."""
    real = mp4_module.PartFile._add_video
    refused = []

    def fussy(self, access_unit):
        if not refused:
            refused.append(True)
            raise RecordingError("the browser's H.264 cannot be put into an MP4 as it is")
        return real(self, access_unit)

    monkeypatch.setattr(mp4_module.PartFile, "_add_video", fussy)
    made, events = recorder(PlayedSource(deque(Browser().seconds(2))), tmp_path)
    made.start()
    made.stop()
    assert made.join(20)
    assert made.status()["transcoding"]
    assert "encoded again" in caplog.text
    assert len(look(only_file(tmp_path)).pictures) == 60
    assert len(events.all(Started)) == 1


def test_a_decoder_that_is_lost_asks_for_a_keyframe(tmp_path, monkeypatch):
    """Where a picture that is to be encoded again is broken, the recorder requests a keyframe."""
    monkeypatch.setattr(recorder_module, "LOOK_SECONDS", 0.0)
    frames = Browser().seconds(1)
    broken = [f for f in frames if f.kind == "video"][10:]
    frames = [f for f in frames if f not in broken[1:]]
    frames = [changed(f, data=b"\0\0\1\x41\xff") if f is broken[0] else f for f in frames]
    source = PlayedSource(deque(frames))
    made, _ = recorder(source, tmp_path, video="transcode")
    made._pull()
    made._maintain()
    assert source.keyframes_asked == 1
    made._finish()


def test_a_source_that_is_closed_is_asked_for_nothing_more(tmp_path, monkeypatch):
    """A call that ends while a new segment is due finishes its file without an error."""

    class Closed(PlayedSource):
        def request_keyframe(self):
            raise ClosedError("closed")

        def stats(self):
            raise ClosedError("closed")

    monkeypatch.setattr(recorder_module, "LOOK_SECONDS", 0.0)
    made, events = recorder(Closed(deque(Browser().seconds(2))), tmp_path, segmentSeconds=1)
    made.start()
    events.wait_for(Started)
    made._ask_for_cut()
    made.stop()
    assert made.join(20)
    assert not events.all(RecordingFailed)
    finished = [event.name for event in events.all(RecordingFinished)]
    assert finished == sorted(path.name for path in tmp_path.iterdir())


def test_the_sound_of_segments_is_whole(tmp_path):
    """Sound that comes late or early at a cut is in its own segment, without silence."""
    frames = []
    for frame in Browser().seconds(6):
        late = 0 if frame.kind == "video" else 150_000_000
        frames.append(changed(frame, arrived_ns=frame.arrived_ns + late))
    frames.sort(key=lambda f: f.arrived_ns)
    frames = [f if f.kind == "video" else _reported(f) for f in frames]
    frames = [_reported(f) if f.kind == "video" else f for f in frames]
    source = PlayedSource()
    made, _ = recorder(source, tmp_path, segmentSeconds=1)
    for start in range(0, len(frames), 16):
        source.frames += frames[start : start + 16]
        made._pull()
        if made._take and made._take.seconds >= 2:
            made._ask_for_cut()
    made._finish()
    files = sorted(tmp_path.iterdir())
    assert len(files) >= 2
    lengths = []
    for path in files:
        seen = look(path)
        video = len(seen.pictures) / 30
        assert len(seen.sound) / 48_000 == pytest.approx(video, abs=0.05)
        lengths.append(video)
        # The tone is there from the first to the last tenth of a second.
        parts = np.array_split(seen.sound[960:], round(video * 10))
        assert min(np.abs(part).max() for part in parts[1:-1]) > 3000, path.name
    assert sum(lengths) == pytest.approx(6.0, abs=0.01)


def _reported(frame):
    """The same frame, with a report of the moment when it was sent."""
    rate, begun = (90_000, 1_000_000) if frame.kind == "video" else (48_000, 7_000_000)
    at = (frame.timestamp - begun) * SECOND // rate // SECOND
    return changed(frame, report=(1_700_000_000 * SECOND + at * SECOND, begun + at * rate))


@pytest.mark.parametrize(("audio", "least_s"), [("opus", 2.2), ("aac", 1.8)])
def test_a_microphone_that_is_late_costs_no_picture_in_a_crash(tmp_path, audio, least_s):
    """The first pictures are on the disk although no sound has come yet."""
    frames = Browser().seconds(3)
    made, _ = recorder(PlayedSource(), tmp_path, audio=audio)
    kept = []
    for frame in frames:
        if frame.kind == "video":
            made._source.frames.append(frame)
            made._pull()
            kept.append(_playable_s(only_file(tmp_path)))
    assert kept[-1] >= least_s
    assert max(n / 30 - seconds for n, seconds in enumerate(kept)) < 1.25
    made._finish()
    assert len(look(only_file(tmp_path)).pictures) == 90


def _playable_s(part):
    """How much could be played if the process was killed now."""
    try:
        with av.open(str(part)) as container:
            packets = [packet for packet in container.demux(video=0) if packet.size]
            return max((float(p.pts * p.time_base) for p in packets), default=0.0)
    except av.error.InvalidDataError:
        return 0.0


def test_aac_is_where_opus_is(tmp_path):
    """The delay of the AAC encoder is not in the file: a tone begins where it began as Opus."""
    begins = []
    for audio in ("opus", "aac"):
        frames = [
            changed(f, data=SILENCE) if f.kind == "audio" and f.arrived_ns < 6 * SECOND else f
            for f in Browser().seconds(2)
        ]
        record(frames, tmp_path / audio, audio=audio)
        sound = look(only_file(tmp_path / audio)).sound
        begins.append(np.flatnonzero(np.abs(sound) > 400)[0] / 48_000)
    assert begins[0] == pytest.approx(begins[1], abs=0.012)


def test_the_disk_runs_below_the_floor(tmp_path, monkeypatch):
    """Where a disk runs low the file is finished, and the caller gets the reason."""
    monkeypatch.setattr(recorder_module, "LOOK_SECONDS", 0.0)
    made, events = recorder(PlayedSource(deque(Browser().seconds(2))), tmp_path)
    made.start()
    events.wait_for(Started)

    def low(*_):
        raise RecordingError("the disk has 1 MiB free")

    monkeypatch.setattr(recorder_module, "check_room", low)
    [failed] = events.wait_for(RecordingFailed)
    assert made.join(20)
    assert failed.reason == "the disk has 1 MiB free"
    [finished] = events.all(RecordingFinished)
    assert only_file(tmp_path).name == finished.name
    assert not finished.name.endswith(".recovered.mp4")
    assert len(look(only_file(tmp_path)).pictures) == 60
    assert isinstance(events[-1], RecordingEnded)


def test_the_file_is_removed(tmp_path, monkeypatch):
    """A recording whose file alone was removed ends, with that reason."""
    monkeypatch.setattr(recorder_module, "LOOK_SECONDS", 0.0)
    made, events = recorder(PlayedSource(deque(Browser().seconds(1))), tmp_path)
    made.start()
    events.wait_for(Started)
    only_file(tmp_path).unlink()
    [failed] = events.wait_for(RecordingFailed)
    assert failed.reason == "the file of this recording was removed"
    assert made.join(20)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("where", ["write", "sync", "index", "rename"])
def test_a_disk_that_fails_at_any_step(tmp_path, monkeypatch, where):
    """An I/O error gives the caller a reason; what was whole by then plays or can be repaired."""
    monkeypatch.setattr(recorder_module, "LOOK_SECONDS", 0.0)
    made, events = recorder(PlayedSource(deque(Browser().seconds(4))), tmp_path, syncIntervalMs=1)
    if where != "write":
        made._pull()

    def failing(*_, **__):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch:
        if where == "write":
            real, written = os.pwrite, []

            def limited(descriptor, data, at):
                written.append(len(data))
                return failing() if sum(written) > 60_000 else real(descriptor, data, at)

            patch.setattr(os, "pwrite", limited)
        elif where == "sync":
            patch.setattr(os, "fdatasync", failing)
        elif where == "index":
            patch.setattr("icey.storage.sink.os.pwrite", failing)
        else:
            patch.setattr("icey.storage.take.finish_file", failing)
        made.start()
        if where in {"index", "rename"}:
            made.stop()
        assert made.join(20)
    [failed] = events.all(RecordingFailed)
    assert failed.reason == "the disk reports an error"
    [kept] = tmp_path.iterdir()
    assert [event.name for event in events.all(RecordingFinished)] == [kept.name]
    assert len(look(kept).pictures) >= (15 if where == "write" else 90)


def test_a_name_that_is_taken_at_the_last_moment(tmp_path, monkeypatch):
    """Where another recorder makes the same file first, the recorder takes the next name."""
    real = os.open
    stolen = []

    def thief(path, flags, *rest):
        if flags & os.O_EXCL and not stolen:
            stolen.append(Path(path))
            stolen[0].write_bytes(b"theirs")
        return real(path, flags, *rest)

    monkeypatch.setattr("icey.storage.sink.os.open", thief)
    events = record(Browser().seconds(1), tmp_path)
    [finished] = events.all(RecordingFinished)
    assert stolen[0].read_bytes() == b"theirs"
    assert finished.name == stolen[0].name.replace(".mp4.part", "-2.mp4")
    assert (tmp_path / finished.name).exists()


def test_pictures_that_stand_still_in_time(tmp_path):
    """Timestamps that repeat or go back become the smallest steps; no picture is refused."""
    frames = [f for f in Browser().seconds(2) if f.kind == "video"]
    odd = [changed(f, timestamp=f.timestamp - (n % 3) * 3000) for n, f in enumerate(frames)]
    record(odd, tmp_path, ("h264",))
    with av.open(str(only_file(tmp_path))) as container:
        times = [packet.pts for packet in container.demux(video=0) if packet.pts is not None]
    assert len(times) == 60
    assert all(after > before for before, after in pairwise(times))


def test_a_mute_that_stops_the_clock(tmp_path):
    """Where a sender does not count its muted time, the tone goes on where it was heard again."""
    frames = []
    for frame in Browser().seconds(8):
        at = frame.arrived_ns - 5 * SECOND
        if frame.kind == "audio" and 2 * SECOND <= at < 5 * SECOND:
            continue
        gone = 3 * 48_000 if frame.kind == "audio" and at >= 5 * SECOND else 0
        frames.append(changed(frame, timestamp=frame.timestamp - gone))
    record(frames, tmp_path)
    sound = look(only_file(tmp_path)).sound
    loud = [bool(np.abs(part[2000:-2000]).max() > 3000) for part in np.array_split(sound, 80)]
    del loud[50]  # a decoder that was in silence needs a moment
    assert loud == [not 20 <= n < 50 for n in range(80) if n != 50]


@pytest.mark.parametrize("where", ["before", "after"])
def test_a_finish_without_descriptors_is_tried_again(tmp_path, monkeypatch, where):
    """Where nothing can be opened for a moment, its caller hears so, and then of the whole file.

    Also where the file had its name already, and only the folder could not be opened to sync it.
    """
    monkeypatch.setattr("icey.storage.closing.PAUSES_S", (0.05, 0.05, 0.05))
    tries = []

    def full(real):
        def open_or_not(*arguments, **options):
            if len(tries) < (2 if where == "before" else 1):
                tries.append(arguments)
                raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
            return real(*arguments, **options)

        return open_or_not

    name = {"before": "icey.storage.take.finish_file", "after": "icey.storage.finish.sync_folder"}
    real = {"before": finish_file, "after": sync_folder}
    monkeypatch.setattr(name[where], full(real[where]))
    events = record(Browser().seconds(1), tmp_path)
    assert tries
    [delayed] = events.all(RecordingDelayed)
    assert "Too many open files" in delayed.reason
    [finished] = events.all(RecordingFinished)
    assert only_file(tmp_path).name == finished.name == delayed.name
    assert len(look(only_file(tmp_path)).pictures) == 30
    assert events.all(RecordingFailed) == []


def test_a_finish_that_never_comes_is_told(tmp_path, monkeypatch):
    """After the last try the caller hears that its file is not finished; a repair finds it."""
    monkeypatch.setattr("icey.storage.closing.PAUSES_S", (0.05, 0.05))

    def full(*_, **__):
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    with monkeypatch.context() as patch:
        patch.setattr("icey.storage.take.finish_file", full)
        patch.setattr("icey.storage.take.repair_part", full)
        events = record(Browser().seconds(1), tmp_path)
    [lost] = events.all(RecordingLost)
    assert "Too many open files" in lost.reason
    assert events.all(RecordingFinished) == []
    [repaired] = repair_folder(tmp_path)
    assert repaired.name is not None
    assert len(look(tmp_path / repaired.name).pictures) == 30


def test_pictures_of_no_use_are_told_and_end_the_call(tmp_path, monkeypatch):
    """A caller of whose pictures none can be recorded is told, and then hung up with the reason."""
    monkeypatch.setattr(recorder_module, "LOOK_SECONDS", 0.02)
    monkeypatch.setattr("icey.recording.usability.TOLD_AFTER_S", 0.3)
    monkeypatch.setattr("icey.recording.usability.HOPELESS_AFTER_S", 0.9)
    source = PlayedSource()
    made, events = recorder(source, tmp_path)
    made.start()
    deadline = time.monotonic() + 20
    while not events.all(RecordingFailed) and time.monotonic() < deadline:
        source.lost += 1  # pictures without a keyframe, which the engine keeps to itself
        time.sleep(0.02)
    assert made.join(20)
    kinds = [type(event) for event in events]
    assert kinds == [RecordingTroubled, RecordingFailed, RecordingEnded]
    assert "no keyframe" in events.all(RecordingFailed)[0].reason


def test_a_call_at_its_bound_is_finished(tmp_path, monkeypatch):
    """At its bound a call's file is finished and whole, and the bound is told by its name."""
    monkeypatch.setattr(recorder_module, "LOOK_SECONDS", 0.0)
    made, events = recorder(
        PlayedSource(deque(Browser().seconds(4))),
        tmp_path,
        limits=LimitsSettings(recording_bytes=1000),
    )
    made.start()
    assert made.join(20)
    [bounded] = events.all(RecordingBounded)
    assert bounded.bound == "recordingBytes"
    assert [event.name for event in events.all(RecordingFinished)] == [only_file(tmp_path).name]
    assert events.all(RecordingFailed) == []
