"""The file on the disk while a part is open, as a crash would leave it."""

from __future__ import annotations

import pytest

from icey.errors import RecordingError
from icey.storage.boxes import boxes_of_file
from icey.storage.mp4 import PartFile
from icey.storage.take import FIRST_SILENCE
from integration.recording.played_source import Browser
from integration.recording.test_recorder import look


def fragments(path):
    with path.open("rb") as file:
        return sum(box.kind == b"moof" for box in boxes_of_file(file, path.stat().st_size))


def on_the_disk(path):
    """What could be decoded now, s of pictures."""
    copy = path.with_name("copy.mp4")
    copy.write_bytes(path.read_bytes())
    seen = look(copy)
    return seen.pictures[-1][0] if seen.pictures else 0.0


def opened(tmp_path, frames, sound="opus"):
    first = next(f.data for f in frames if f.kind == "video")
    return PartFile(tmp_path / "a.mp4.part", video=first, sound=sound)


def write(part, frame):
    if frame.kind == "video":
        at = frame.timestamp - 1_000_000
        part.write_video(frame.data, at, 3000, keyframe=frame.keyframe)
    else:
        part.write_sound(frame.data, frame.timestamp - 7_000_000, 960)


@pytest.mark.parametrize("sound", ["opus", "aac"])
def test_every_half_second_is_on_the_disk(tmp_path, sound):
    """A copy of the open file plays all that was written more than a second ago."""
    frames = Browser().seconds(4)
    part = opened(tmp_path, frames, sound)
    begun = frames[0].arrived_ns
    for number, frame in enumerate(frames):
        write(part, frame)
        passed = (frame.arrived_ns - begun) / 1e9
        if number % 40 == 39 and passed > 1.0:
            assert on_the_disk(part.path) >= passed - 0.9
    assert fragments(part.path) >= 6
    assert part.sink.size == part.path.stat().st_size
    part.close()
    part.sink.release()
    assert len(look(part.path).pictures) == 120


def test_sound_that_does_not_come_holds_no_picture_back(tmp_path):
    """Pictures get to the disk where a single packet of sound was written."""
    frames = [f for f in Browser().seconds(3) if f.kind == "video"]
    part = opened(tmp_path, frames)
    part.write_sound(FIRST_SILENCE, 0, 120)
    for frame in frames:
        write(part, frame)
    assert on_the_disk(part.path) >= 2.0
    part.abandon()
    part.sink.release()


def test_pictures_that_do_not_come_hold_no_sound_back(tmp_path):
    """Sound gets to the disk while a camera is switched off for ten seconds."""
    frames = Browser().seconds(12)
    part = opened(tmp_path, frames)
    for frame in frames:
        if frame.kind == "audio" or frame.arrived_ns < frames[0].arrived_ns + 1e9:
            write(part, frame)
    copy = tmp_path / "copy.mp4"
    copy.write_bytes(part.path.read_bytes())
    assert len(look(copy).sound) / 48_000 >= 11.0
    part.abandon()
    part.sink.release()


def test_abandoning_adds_nothing(tmp_path):
    """Abandoning a part leaves the file as it is, to the byte."""
    frames = Browser().seconds(2)
    part = opened(tmp_path, frames)
    for frame in frames:
        write(part, frame)
    before = part.path.read_bytes()
    part.abandon()
    assert part.path.read_bytes() == before
    part.sink.release()


def test_what_is_no_picture_makes_no_file(tmp_path):
    """An access unit that FFmpeg cannot read makes no file."""
    with pytest.raises(RecordingError, match="as it is"):
        PartFile(tmp_path / "a.mp4.part", video=b"\0\0\1\x65rubbish", sound="opus")
    assert list(tmp_path.iterdir()) == []


def test_a_file_without_a_track_ignores_its_frames(tmp_path):
    """A part without an audio or a video track ignores packets of that kind."""
    frames = Browser().seconds(1)
    for number, part in enumerate(
        (
            PartFile(tmp_path / "0", video=None, sound="opus"),
            PartFile(tmp_path / "1", video=frames[0].data, sound=None),
        )
    ):
        for frame in frames:
            write(part, frame)
        part.close()
        part.sink.release()
        assert len(look(part.path).codecs) == 1
        assert (len(look(part.path).pictures) > 0) == bool(number)
