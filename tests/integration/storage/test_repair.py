"""Repair after a crash at every point."""

from __future__ import annotations

import errno
import os
from collections import deque
from typing import Any

import av
import pytest

from icey.config.model import MediaSettings
from icey.recording.recorder import Recorder
from icey.storage import finish as finish_module
from icey.storage import repair as repair_module
from icey.storage.repair import repair_folder
from icey.storage.sink import lock
from integration.recording.played_source import Browser, PlayedSource

NAME = "alice-20261124T101112.345Z"


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The bytes of an open part of three seconds, and of the same file when it is closed."""
    folder = tmp_path_factory.mktemp("written")
    source: Any = PlayedSource(deque(Browser().seconds(3)))
    recorder = Recorder(
        source,
        peer_name="alice",
        folder=folder,
        media=MediaSettings.model_validate({"record": {"minFreeBytes": 0}}),
        codecs=("h264", "opus"),
        on_event=lambda _: None,
    )
    recorder._pull()
    take = recorder._take
    part = take.part.read_bytes()
    take.file.close()
    closed = take.part.read_bytes()
    take.file.sink.release()
    return part, closed


def leave(folder, data, name=NAME):
    part = folder / f"{name}.mp4.part"
    part.write_bytes(data)
    return part


def seconds_of(path):
    """Decode all of it strictly; where the last picture begins, s."""
    with av.open(str(path)) as container:
        for stream in container.streams:
            stream.codec_context.options = {"err_detect": "explode"}
        return max(f.time for f in container.decode() if isinstance(f, av.VideoFrame))


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_part_cut_off_anywhere(tmp_path, written):
    """Each length of a part gives a file that plays up to its last whole fragment, or none."""
    part, _ = written
    last = 0.0
    for number, length in enumerate(range(0, len(part), len(part) // 23)):
        folder = tmp_path / str(number)
        folder.mkdir()
        leave(folder, part[:length])
        [repaired] = repair_folder(folder)
        if repaired.name is None:
            assert last == 0.0
            assert names(folder) == []
            continue
        assert names(folder) == [f"{NAME}.recovered.mp4"]
        kept = seconds_of(folder / repaired.name)
        assert kept >= last
        assert kept == pytest.approx(repaired.seconds, abs=0.1)
        last = kept
    assert last >= 2.0


def test_a_crash_after_the_last_fragment_loses_nothing(tmp_path, written):
    """A part that was closed, but not yet renamed, is repaired, whatever index it has."""
    _, closed = written
    moov = closed[closed.rindex(b"moov") - 4 :]
    for number, data in enumerate((closed, closed + moov, closed + moov[:100])):
        folder = tmp_path / str(number)
        folder.mkdir()
        leave(folder, data)
        [repaired] = repair_folder(folder)
        assert seconds_of(folder / repaired.name) == pytest.approx(3.0, abs=0.05)


def test_a_repair_is_done_once(tmp_path, written):
    """A second repair changes nothing."""
    leave(tmp_path, written[0])
    repair_folder(tmp_path)
    [name] = names(tmp_path)
    before = (tmp_path / name).read_bytes()
    assert repair_folder(tmp_path) == []
    assert names(tmp_path) == [name]
    assert (tmp_path / name).read_bytes() == before
    assert repair_folder(tmp_path / "not there") == []


def test_nothing_is_ever_replaced(tmp_path, written):
    """Where the name is taken, repair takes the next one, and touches no other file."""
    for name in (f"{NAME}.recovered.mp4", f"{NAME}.mp4", "holiday.mp4", "notes.part"):
        (tmp_path / name).write_bytes(b"mine")
    leave(tmp_path, written[0])
    [repaired] = repair_folder(tmp_path)
    assert repaired.name == f"{NAME}-2.recovered.mp4"
    kept = [path for path in tmp_path.iterdir() if path.name != repaired.name]
    assert len(kept) == 4
    assert all(path.read_bytes() == b"mine" for path in kept)


def test_a_part_that_is_being_written_is_left_alone(tmp_path, written):
    """Repair leaves a locked part and its copy, and removes a copy without a part."""
    part = leave(tmp_path, written[0])
    copy = part.with_name(part.name + ".tmp")
    copy.write_bytes(b"half")
    orphan = tmp_path / "bob-20261124T101112.345Z.mp4.part.tmp.tmp"
    orphan.write_bytes(b"half")
    holder = lock(part)
    assert repair_folder(tmp_path) == []
    assert part.exists()
    assert copy.exists()
    assert not orphan.exists()
    os.close(holder)
    assert len(repair_folder(tmp_path)) == 1
    assert names(tmp_path) == [f"{NAME}.recovered.mp4"]


@pytest.mark.parametrize("ending", [".mp4", ".recovered.mp4"])
def test_a_crash_between_the_last_two_steps(tmp_path, written, ending):
    """A part that has its final name as well loses only the name of the part."""
    part = leave(tmp_path, written[1])
    (tmp_path / f"{NAME}{ending}").hardlink_to(part)
    assert repair_folder(tmp_path) == []
    assert names(tmp_path) == [f"{NAME}{ending}"]
    assert (tmp_path / f"{NAME}{ending}").read_bytes() == written[1]


@pytest.mark.parametrize("step", ["_copy_with_index", "finish_file"])
def test_a_crash_in_the_middle_of_a_repair(tmp_path, written, step, monkeypatch):
    """A repair that is interrupted leaves the part, so the next start repairs it."""

    class Killed(BaseException):
        """As a kill: nothing after it is run."""

    leave(tmp_path, written[0])
    real = getattr(repair_module, step)

    def killed(*arguments, **options):
        real(*arguments, **options)
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(repair_module, step, killed)
        with pytest.raises(Killed):
            repair_folder(tmp_path)
    assert f"{NAME}.mp4.part" in names(tmp_path)
    [repaired] = repair_folder(tmp_path)
    assert seconds_of(tmp_path / repaired.name) >= 2.0
    assert not [name for name in names(tmp_path) if ".part" in name]


@pytest.mark.parametrize("where", ["before", "within"])
def test_no_room_for_a_copy(tmp_path, written, monkeypatch, where):
    """On a full disk the part itself takes the name, and plays."""
    leave(tmp_path, written[0] + b"half a fragment")
    floor = 0
    if where == "before":
        floor = 2**62
    else:

        def full(*_):
            raise OSError(errno.ENOSPC, "full")

        monkeypatch.setattr(repair_module, "finish_file", full)
    [repaired] = repair_folder(tmp_path, min_free_bytes=floor)
    assert names(tmp_path) == [f"{NAME}.recovered.mp4"]
    assert repaired.seconds == pytest.approx(2.5, abs=0.3)
    assert seconds_of(tmp_path / repaired.name) >= 2.0


def test_what_cannot_be_read_is_put_aside(tmp_path, written):
    """A part that FFmpeg cannot read is kept under another name, and stops no other repair."""
    part, _ = written
    broken = bytearray(part)
    at = broken.index(b"moov")
    broken[at + 12 : at + 400] = bytes(388)
    leave(tmp_path, broken, "aaa-20261124T101112.345Z")
    leave(tmp_path, part)
    first, second = repair_folder(tmp_path)
    assert first.name is None
    assert "aaa-20261124T101112.345Z.mp4.part.broken" in str(first)
    assert second.name == f"{NAME}.recovered.mp4"
    assert (tmp_path / f"{first.part}.broken").stat().st_size > 0
    assert repair_folder(tmp_path) == []


def test_a_hole_in_the_middle_costs_nothing_behind_it(tmp_path, written, monkeypatch):
    """Of a part with a hole the beginning is saved, and the whole is kept aside."""
    monkeypatch.setattr(repair_module, "CUT_OFF_BYTES", 10_000)
    part, _ = written
    holed = bytearray(part)
    at = [i for i in range(len(part)) if part.startswith(b"moof", i)][2]
    holed[at - 4 : at + 40] = bytes(44)
    leave(tmp_path, holed)
    [repaired] = repair_folder(tmp_path)
    assert seconds_of(tmp_path / repaired.name) > 0.5
    assert (tmp_path / f"{NAME}.mp4.part.broken").read_bytes() == holed


@pytest.mark.parametrize(
    ("data", "kept"),
    [
        (b"", False),
        (b"\0\0", False),
        (b"\0\0\0\x24ft", False),
        (b"\0\0\0\x24ftypisom", False),
        (bytes(5000), True),
        (b"rubbish!" * 50, True),
        (b"\0\0\0\x24ftyp" + bytes(9 << 20), True),
    ],
    ids=["empty", "two bytes", "half a name", "half a box", "zeros", "rubbish", "huge"],
)
def test_what_holds_no_fragment(tmp_path, data, kept):
    """A part without a fragment is removed; a file of another kind is kept aside."""
    part = leave(tmp_path, data)
    [repaired] = repair_folder(tmp_path)
    assert repaired.name is None
    assert names(tmp_path) == ([f"{part.name}.broken"] if kept else [])


def test_a_disk_that_fails_leaves_the_part(tmp_path, written, monkeypatch, caplog):
    """Another error than a full disk leaves the part for the next start."""

    def failing(*_):
        raise OSError(errno.EIO, "broken disk")

    leave(tmp_path, written[0])
    monkeypatch.setattr(repair_module, "finish_file", failing)
    assert repair_folder(tmp_path) == []
    assert names(tmp_path) == [f"{NAME}.mp4.part"]
    assert "left as it is" in caplog.text


def test_a_disk_without_links(tmp_path, written, monkeypatch):
    """On a file system without links the file is renamed, and replaces none."""

    def no_links(*_):
        raise OSError(errno.EPERM, "no links")

    monkeypatch.setattr(os, "link", no_links)
    leave(tmp_path, written[0])
    [repaired] = repair_folder(tmp_path)
    assert names(tmp_path) == [repaired.name]
    (tmp_path / "a").write_bytes(b"a")
    (tmp_path / "b").write_bytes(b"b")
    with pytest.raises(FileExistsError):
        finish_module.take_name(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "b").read_bytes() == b"b"
