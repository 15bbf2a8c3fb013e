"""The list of finished recordings in a folder."""

from __future__ import annotations

from collections import deque
from datetime import UTC, datetime
from typing import Any

import pytest

from icey.config.model import MediaSettings
from icey.recording import library as library_module
from icey.recording.library import Library
from icey.recording.recorder import Recorder
from icey.storage.paths import name_recording
from integration.recording.played_source import Browser, PlayedSource


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    """The bytes of a recording of one second that grew from 160x120 to 320x240."""
    folder = tmp_path_factory.mktemp("film")
    browser = Browser((160, 120))
    frames = browser.seconds(0.5)
    browser.resize((320, 240))
    source: Any = PlayedSource(deque(frames + browser.seconds(0.5)))
    recorder = Recorder(
        source,
        peer_name="alice",
        folder=folder,
        media=MediaSettings.model_validate({"record": {"minFreeBytes": 0}}),
        codecs=("h264", "opus"),
        on_event=lambda _: None,
    )
    recorder.start()
    recorder.stop()
    assert recorder.join(20)
    return next(folder.iterdir()).read_bytes()


def put(folder, data, minute=0, ending=".mp4"):
    name = name_recording("alice", datetime(2026, 11, 24, 10, minute, tzinfo=UTC))
    path = folder / name.replace(".mp4", ending)
    path.write_bytes(data)
    return path


def test_what_is_told_of_a_recording(tmp_path, film):
    """Each recording has name, size, start, duration, codecs, largest picture and status."""
    put(tmp_path, film)
    put(tmp_path, film, 5, ".recovered.mp4")
    recovered, whole = Library(tmp_path).list_recordings()
    assert whole.name == "alice-20261124T100000.000Z.mp4"
    assert whole.size_bytes == len(film)
    assert whole.start == datetime(2026, 11, 24, 10, tzinfo=UTC)
    assert whole.duration_s == pytest.approx(1.0, abs=0.05)
    assert (whole.video_codec, whole.audio_codec) == ("h264", "opus")
    assert (whole.width, whole.height) == (320, 240)
    assert (whole.status, recovered.status) == ("complete", "recovered")


def test_each_file_is_read_once(tmp_path, film, monkeypatch):
    """A file is read again only after a change; a broken one is not, and is logged once."""
    looked = []
    real = library_module._probe
    monkeypatch.setattr(
        library_module,
        "_probe",
        lambda path, status: looked.append(path.name) or real(path, status),
    )
    one, two = put(tmp_path, film), put(tmp_path, b"rubbish", 1)
    library = Library(tmp_path)
    for _ in range(3):
        assert len(library.list_recordings()) == 1
    assert sorted(looked) == [one.name, two.name]
    two.write_bytes(film)
    assert len(library.list_recordings()) == 2
    assert looked.count(two.name) == 2
    one.unlink()
    assert [recording.name for recording in library.list_recordings()] == [two.name]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0\0\0\x10moov\0\0\0\x08tkhd",
        b"\0\0\0\x14moov\0\0\0\x0ctkhd\xff\xff\xff\xff",
        b"\0\0\0\x14moov\0\0\0\x0cstsd\xff\xff\xff\xff",
    ],
    ids=["empty", "empty header", "short header", "short table"],
)
def test_a_file_that_is_none_hides_no_other(tmp_path, film, data):
    """A file with the name of a recording that cannot be read is left out."""
    put(tmp_path, film)
    put(tmp_path, data, 1)
    assert len(Library(tmp_path).list_recordings()) == 1


def test_only_finished_recordings_are_listed(tmp_path, film):
    """Parts, other files, folders, and links, which might lead anywhere, are not listed."""
    put(tmp_path, film, 0, ".mp4.part")
    (tmp_path / "holiday.mp4").write_bytes(film)
    (tmp_path / "alice-20261124T100900.000Z.mp4").mkdir()
    (tmp_path / "alice-20261124T100800.000Z.mp4").symlink_to(tmp_path / "holiday.mp4")
    assert Library(tmp_path).list_recordings() == []
    assert Library(tmp_path / "not there").list_recordings() == []
