"""The locked file that FFmpeg writes into."""

from __future__ import annotations

import errno
import fcntl
import os
import threading

import pytest

from icey.storage.sink import FileSink, lock


def test_what_is_written_is_there(tmp_path):
    """Writes go in order, over old bytes, and behind a gap; the size is the end of the file."""
    sink = FileSink(tmp_path / "a.part")
    sink.write(b"abcdef")
    assert (sink.tell(), sink.size) == (6, 6)
    assert sink.seek(2) == 2
    sink.write(b"XY")
    assert (sink.tell(), sink.size) == (4, 6)
    assert sink.seek(-1, os.SEEK_END) == 5
    assert sink.seek(1, os.SEEK_CUR) == 6
    sink.write(b"!")
    sink.sync()
    sink.release()
    assert (tmp_path / "a.part").read_bytes() == b"abXYef!"


def test_it_never_takes_a_file_that_is_there(tmp_path):
    """A name that is taken is an error, and its file stays as it is."""
    (tmp_path / "a.part").write_bytes(b"mine")
    with pytest.raises(FileExistsError):
        FileSink(tmp_path / "a.part")
    assert (tmp_path / "a.part").read_bytes() == b"mine"


def test_fragments_are_struck_out_only_when_the_rest_is_on_the_disk(tmp_path, monkeypatch):
    """Before bytes are written over, all that was written is synced to the disk."""
    done = []
    real = os.pwrite
    monkeypatch.setattr(os, "fdatasync", lambda _: done.append("sync"))
    monkeypatch.setattr(os, "pwrite", lambda fd, b, at: done.append(at) or real(fd, b, at))
    sink = FileSink(tmp_path / "a.part")
    sink.write(b"fragments")
    sink.write(b"index")
    sink.seek(4)
    sink.write(b"mdat")
    assert done == [0, 9, "sync", 4]
    sink.release()


def test_after_an_error_the_file_stays_as_it_is(tmp_path, monkeypatch):
    """After a full disk the file stays as it is, no more is written, and the error is raised."""
    sink = FileSink(tmp_path / "a.part")
    sink.write(b"whole")

    def full(*_):
        raise OSError(errno.ENOSPC, "full")

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", full)
        with pytest.raises(OSError, match="full"):
            sink.write(b"x")
    sink.seek(0)
    with pytest.raises(OSError, match="full"):
        sink.write(b"WHOLE")
    with pytest.raises(OSError, match="full"):
        sink.check()
    sink.freeze(OSError("later"))
    assert sink.error.errno == errno.ENOSPC
    assert (tmp_path / "a.part").read_bytes() == b"whole"
    sink.release()


def test_a_file_is_locked_while_it_is_open(tmp_path):
    """Nobody else gets the lock before the release."""
    path = tmp_path / "a.part"
    sink = FileSink(path)
    assert lock(path) is None
    assert sink.is_in_place()
    sink.release()
    descriptor = lock(path)
    assert descriptor is not None
    assert lock(path) is None
    os.close(descriptor)
    assert lock(tmp_path / "gone.part") is None


def test_a_file_that_was_removed_is_not_in_place(tmp_path):
    """A file that was removed, or replaced by another of its name, is not in place."""
    path = tmp_path / "a.part"
    sink = FileSink(path)
    path.unlink()
    assert not sink.is_in_place()
    path.write_bytes(b"another")
    assert not sink.is_in_place()
    sink.release()


def test_a_repair_that_was_faster_costs_nothing(tmp_path, monkeypatch):
    """A file that a repair removes between its making and its locking is made again."""
    path = tmp_path / "a.part"
    real = fcntl.flock
    locked, removed = threading.Event(), []

    def steal():
        descriptor = os.open(path, os.O_RDWR)
        real(descriptor, fcntl.LOCK_EX)
        locked.set()
        path.unlink()
        removed.append(True)
        os.close(descriptor)

    def late(descriptor, operation):
        if not removed:
            thread = threading.Thread(target=steal)
            thread.start()
            locked.wait(5)
            thread.join(5)
        real(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", late)
    sink = FileSink(path)
    assert removed
    assert sink.is_in_place()
    sink.release()
