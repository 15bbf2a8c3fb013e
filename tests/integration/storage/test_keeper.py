"""The folder of recordings on a real file system."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta

import pytest

from icey.config.model import RecordSettings
from icey.errors import RecordingError
from icey.storage.keeper import Keeper
from icey.storage.paths import name_recording, part_of


def keeper(folder, **settings):
    return Keeper(folder, RecordSettings.model_validate({"minFreeBytes": 0, **settings}))


def leave(folder, age_s, size=100, peer="alice"):
    path = folder / name_recording(peer, datetime.now(UTC) - timedelta(seconds=age_s))
    path.write_bytes(bytes(size))
    return path


def test_a_folder_is_made_and_left_empty(tmp_path):
    """The check makes the folder where it is missing, and leaves nothing in it."""
    folder = tmp_path / "a" / "b"
    keeper(folder).check_blocking()
    assert list(folder.iterdir()) == []


def test_reasons_name_no_path(tmp_path):
    """A file in the folder's place, and minFreeBytes above the disk's size, are typed errors."""
    (tmp_path / "file").write_bytes(b"")
    for folder, settings in (
        (tmp_path / "file", {}),
        (tmp_path / "file" / "below", {}),
        (tmp_path / "ok", {"minFreeBytes": 2**50}),
    ):
        with pytest.raises(RecordingError) as caught:
            keeper(folder, **settings).check_blocking()
        assert str(tmp_path) not in str(caught.value)


def test_old_recordings_go_and_nothing_else(tmp_path):
    """Retention leaves parts, other files and folders, however old they are."""
    old, new = leave(tmp_path, 100), leave(tmp_path, 10)
    part = tmp_path / part_of(name_recording("bob", datetime(2020, 1, 1, tzinfo=UTC)))
    part.write_bytes(b"open")
    for name in ("holiday.mp4", f"{part.name}.broken", f"{part.name}.tmp"):
        (tmp_path / name).write_bytes(b"mine")
    folder = tmp_path / name_recording("carol", datetime(2020, 1, 1, tzinfo=UTC))
    folder.mkdir()
    removed = keeper(tmp_path, maxAgeSeconds=60).keep_blocking()
    assert removed == [old.name]
    assert len(list(tmp_path.iterdir())) == 6
    assert new.exists()
    assert folder.is_dir()


def test_the_total_is_kept(tmp_path):
    """Retention removes the oldest files until the rest fits."""
    paths = [leave(tmp_path, age, 1000, f"p{age}") for age in (50, 40, 30, 20)]
    assert keeper(tmp_path, maxTotalBytes=2500).keep_blocking() == [p.name for p in paths[:2]]


def test_without_limits_nothing_is_looked_at(tmp_path):
    """By default all recordings are kept for ever; a folder that is not there is no error."""
    leave(tmp_path, 10**8)
    assert keeper(tmp_path).keep_blocking() == []
    assert keeper(tmp_path / "not there", maxAgeSeconds=1).keep_blocking() == []


def test_what_cannot_be_removed_stops_nothing(tmp_path, monkeypatch, caplog):
    """A file that cannot be removed is logged, and the others are removed."""
    first, second = leave(tmp_path, 100, peer="a"), leave(tmp_path, 90, peer="b")
    real = os.unlink

    def fussy(path, *arguments, **options):
        if str(path) == str(first):
            raise PermissionError(13, "not yours")
        real(path, *arguments, **options)

    monkeypatch.setattr(os, "unlink", fussy)
    assert keeper(tmp_path, maxAgeSeconds=60).keep_blocking() == [second.name]
    assert first.exists()
    assert "cannot be" in caplog.text


def test_repair_leaves_the_floor_of_free_space(tmp_path, monkeypatch):
    """Repair leaves minFreeBytes free."""
    told = []
    monkeypatch.setattr(
        "icey.storage.keeper.repair_folder",
        lambda folder, *, min_free_bytes: told.append((folder, min_free_bytes)) or [],
    )
    assert keeper(tmp_path, minFreeBytes=12_345).repair_blocking() == []
    assert told == [(tmp_path, 12_345)]
