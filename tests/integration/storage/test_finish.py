"""Finishing a file: its index and its name."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess

import pytest

from icey.media.h264 import parameter_sets
from icey.storage import finish as finish_module
from icey.storage.boxes import boxes_of_file, declared_size
from icey.storage.finish import FASTSTART_BYTES, finish_file
from icey.storage.mp4 import PartFile
from integration.recording.played_source import Browser
from integration.recording.test_recorder import look


@pytest.fixture
def closed(tmp_path):
    """A closed part of two seconds, and the sets of its larger pictures."""
    browser = Browser((160, 120))
    frames = browser.seconds(1)
    browser.resize((320, 240))
    larger = browser.seconds(1)
    first = next(f.data for f in frames if f.kind == "video")
    sets = parameter_sets(next(f.data for f in larger if f.kind == "video"), None)
    part = PartFile(tmp_path / "a.mp4.part", video=first, sound="opus")
    for frame in frames + larger:
        if frame.kind == "video":
            at = frame.timestamp - 1_000_000
            part.write_video(frame.data, at, 3000, keyframe=frame.keyframe)
        else:
            part.write_sound(frame.data, frame.timestamp - 7_000_000, 960)
    part.close()
    part.sink.release()
    return part.path, sets


def layout(path):
    with path.open("rb") as file:
        return [box.kind.decode() for box in boxes_of_file(file, path.stat().st_size)]


def declared(path):
    with path.open("rb") as file:
        boxes = list(boxes_of_file(file, path.stat().st_size))
        [index] = [box for box in boxes if box.kind == b"moov"]
        file.seek(index.start)
        return declared_size(file.read(index.size))


def assert_all_there(path):
    seen = look(path)
    assert len(seen.pictures) == 60
    assert len(seen.sound) / 48_000 == pytest.approx(2.0, abs=0.05)
    assert seen.duration == pytest.approx(2.0, abs=0.05)


def test_the_index_comes_first_and_tells_the_largest_size(closed, tmp_path):
    """A small file becomes header, index, media; no other file stays in the folder."""
    part, sets = closed
    finish_file(part, tmp_path / "a.mp4", sets)
    assert layout(tmp_path / "a.mp4") == ["ftyp", "moov", "mdat"]
    assert declared(tmp_path / "a.mp4") == (320, 240)
    assert_all_there(tmp_path / "a.mp4")
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


def test_a_large_file_is_not_copied(closed, tmp_path, monkeypatch):
    """A large file is not copied: its index stays behind the media, with the right size."""
    part, sets = closed
    inode = part.stat().st_ino
    monkeypatch.setattr(finish_module, "_index_in_front", lambda *_: pytest.fail("it was copied"))
    finish_file(part, tmp_path / "a.mp4", sets, faststart_bytes=part.stat().st_size - 1)
    assert (tmp_path / "a.mp4").stat().st_ino == inode
    assert layout(tmp_path / "a.mp4") == ["ftyp", "free", "mdat", "free", "moov"]
    assert declared(tmp_path / "a.mp4") == (320, 240)
    assert_all_there(tmp_path / "a.mp4")


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="FFmpeg's own tools are not installed")
def test_ffmpeg_finds_no_fault(closed, tmp_path):
    """``ffmpeg -v error -f null`` reports no error in a finished file."""
    part, sets = closed
    finish_file(part, tmp_path / "a.mp4", sets)
    command = ["ffmpeg", "-v", "error", "-i", tmp_path / "a.mp4", "-f", "null", "-"]
    done = subprocess.run(command, capture_output=True, check=True)
    assert done.stdout + done.stderr == b""


@pytest.mark.parametrize("step", ["_declare", "_index_in_front"])
def test_a_disk_that_fills_up_at_the_end(closed, tmp_path, monkeypatch, step):
    """On a full disk the file keeps its index at the end, takes its name and plays."""
    part, sets = closed
    if step == "_index_in_front":

        def full(_, ahead):
            ahead.write_bytes(b"half")
            raise OSError(errno.ENOSPC, "full")

        monkeypatch.setattr(finish_module, step, full)
    else:
        real, calls = os.fsync, []

        def first_fails(descriptor):
            calls.append(descriptor)
            if len(calls) == 1:
                raise OSError(errno.ENOSPC, "full")
            real(descriptor)

        monkeypatch.setattr(os, "fsync", first_fails)
    finish_file(part, tmp_path / "a.mp4", sets)
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]
    assert declared(tmp_path / "a.mp4") == ((160, 120) if step == "_declare" else (320, 240))
    assert_all_there(tmp_path / "a.mp4")


def test_a_name_that_is_taken_is_an_error(closed, tmp_path):
    """A name that is taken is an error, and both files stay as they are."""
    part, sets = closed
    (tmp_path / "a.mp4").write_bytes(b"mine")
    for limit in (0, FASTSTART_BYTES):
        with pytest.raises(FileExistsError):
            finish_file(part, tmp_path / "a.mp4", sets, faststart_bytes=limit)
        assert (tmp_path / "a.mp4").read_bytes() == b"mine"
        assert_all_there(part)
    assert len(list(tmp_path.iterdir())) == 2


def test_a_crash_between_the_two_indexes(closed, tmp_path, monkeypatch):
    """A file whose second index was just written, before the first is struck out, plays."""

    class Killed(BaseException):
        """As a kill."""

    part, sets = closed
    real, synced = os.fsync, []

    def killed(descriptor):
        real(descriptor)
        synced.append(descriptor)
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", killed)
        with pytest.raises(Killed):
            finish_file(part, tmp_path / "a.mp4", sets)
    assert layout(part).count("moov") == 2
    assert_all_there(part)
