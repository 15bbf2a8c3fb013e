"""Folders, really read and written.

The tests may run as root, whom no mode of a folder stops: a file stands in the way instead.
"""

import contextlib
import os
import subprocess
from pathlib import Path

import pytest

from icey.config.intelligence import (
    ClipSettings,
    IntelligenceSettings,
    SnapshotSettings,
    VisionSettings,
)
from icey.config.model import MediaSettings, RecordSettings, Settings
from icey.preflight.finding import render
from icey.preflight.folders import check_record_dir, check_web_root
from icey.preflight.running import Running


def recording(folder, **record):
    media = MediaSettings(mode="record", record_dir=folder, record=RecordSettings(**record))
    return Settings(media=media)


def shown(finding):
    return finding.result, render(finding.detail, public=False)


def test_writable_folder(tmp_path):
    """A folder that can be written to passes and holds nothing more than before."""
    result, detail = shown(check_record_dir(recording(tmp_path)))
    assert result == "pass"
    assert detail.startswith(f"{tmp_path} writable, ")
    assert list(tmp_path.iterdir()) == []


def test_missing_folder(tmp_path):
    """A folder that is not there yet is tried, and removed again with its parents."""
    assert check_record_dir(recording(tmp_path / "a" / "b")).result == "pass"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("below", ["", "sub"])
def test_file_in_the_way(tmp_path, below):
    """A file where the folder or a parent should be fails and says what to do."""
    (tmp_path / "file").write_text("")
    folder = tmp_path / "file" / below
    result, detail = shown(check_record_dir(recording(folder)))
    assert result == "fail"
    assert detail.startswith(f"cannot write recordings to {folder} (")
    assert "--record-dir" in detail
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_disk_without_room(tmp_path):
    """Less room than is to stay free fails in record mode, and says what to change."""
    settings = Settings(
        media=MediaSettings(
            mode="record", record_dir=tmp_path, record=RecordSettings(min_free_bytes=2**50)
        )
    )
    result, detail = shown(check_record_dir(settings))
    assert result == "fail"
    assert "media.record.minFreeBytes" in detail


@contextlib.contextmanager
def mounted(folder, options):
    """A small file system of its own, where this user may mount one."""
    folder.mkdir()
    mount = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "none", folder], capture_output=True, check=False
    )
    if mount.returncode:
        pytest.skip("this user may not mount, so there is no disk to test with")
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


def test_read_only_mount(tmp_path):
    """A folder on a read-only file system fails, and says that it is that."""
    with mounted(tmp_path / "ro", "ro") as folder:
        result, detail = shown(check_record_dir(recording(folder)))
    assert result == "fail"
    assert "Read-only file system" in detail
    assert "mount its disk for writing" in detail


def test_full_disk(tmp_path):
    """A disk on which not one byte can be written fails, and says to make room."""
    with mounted(tmp_path / "full", "size=64k") as folder:
        with contextlib.suppress(OSError), (folder / "filler").open("wb", buffering=0) as filler:
            while True:
                filler.write(b"x" * 4096)
        settings = recording(folder, min_free_bytes=0)
        result, detail = shown(check_record_dir(settings))
        left = [path.name for path in folder.iterdir()]
    assert result == "fail"
    assert "No space left on device): make room" in detail
    assert left == ["filler"]


@pytest.mark.parametrize(
    ("floor", "result", "words"),
    [
        (0, "warn", "recordings stop"),
        (2**20, "warn", "recordings stop at 1 MiB"),
        (2**23, "fail", "8 MiB are to stay free"),
    ],
)
def test_small_disk(tmp_path, floor, result, words):
    """A disk that is about to be too small warns; one that is fails."""
    with mounted(tmp_path / "small", "size=4m") as folder:
        found, detail = shown(check_record_dir(recording(folder, min_free_bytes=floor)))
    assert found == result
    assert words in detail


def test_folder_of_a_running_server(tmp_path):
    """A running server leaves the folder where it was: a recording may be about to begin there."""
    folder = tmp_path / "a" / "b"
    assert check_record_dir(recording(folder), Running()).result == "pass"
    assert list(folder.iterdir()) == []


def test_folder_made_by_a_recording_meanwhile(tmp_path, monkeypatch):
    """A folder that a recording makes in the middle of the check is no failure, and it stays."""
    folder, mkdir = tmp_path / "r", Path.mkdir

    def after_somebody_else(path):
        mkdir(path)
        mkdir(path)

    monkeypatch.setattr(Path, "mkdir", after_somebody_else)
    assert check_record_dir(recording(folder)).result == "pass"
    assert folder.is_dir()


def test_folder_without_permission(tmp_path):
    """A folder of another user fails; root may write anywhere, so root cannot see this."""
    if os.geteuid() == 0:
        pytest.skip("root may write anywhere")
    tmp_path.chmod(0o500)
    assert check_record_dir(recording(tmp_path)).result == "fail"


@pytest.mark.parametrize("mode", ["stream", "relay"])
def test_modes_that_write_nothing(tmp_path, mode):
    """Where nothing is recorded, not even an impossible folder matters, and none is made."""
    folder = tmp_path / "file" / "recordings"
    (tmp_path / "file").write_text("")
    settings = Settings(media=MediaSettings(mode=mode, record_dir=folder))
    assert shown(check_record_dir(settings)) == ("pass", f"not written to in {mode} mode")


def test_snapshots_and_clips(tmp_path):
    """In stream mode the folders of snapshots and clips are tried where these are on."""
    (tmp_path / "file").write_text("")
    vision = VisionSettings(
        enabled=True,
        snapshots=SnapshotSettings(enabled=True),
        clips=ClipSettings(enabled=True, dir=tmp_path / "file"),
    )
    media = MediaSettings(
        record_dir=tmp_path / "r", intelligence=IntelligenceSettings(vision=vision)
    )
    result, detail = shown(check_record_dir(Settings(media=media)))
    assert result == "fail"
    assert detail.startswith(f"cannot write clips to {tmp_path / 'file'}")
    assert "media.intelligence.vision.clips.dir" in detail


def test_snapshots_of_own_detectors_alone(tmp_path):
    """Without motion, but with a detector of one's own, there are snapshots as well."""
    media = MediaSettings.model_validate(
        {
            "recordDir": tmp_path / "r",
            "intelligence": {
                "vision": {"snapshots": {"enabled": True}},
                "detectors": [{"use": "a:B"}],
            },
        }
    )
    result, detail = shown(check_record_dir(Settings(media=media)))
    assert (result, str(tmp_path / "r" / "snapshots") in detail) == ("pass", True)


def test_packaged_page():
    """The page inside the package is there."""
    finding = check_web_root(Settings())
    assert finding.result == "pass"
    assert "inside the package" in render(finding.detail, public=True)


def test_own_page(tmp_path):
    """A folder with an index.html passes."""
    (tmp_path / "index.html").write_text("<!doctype html>")
    assert shown(check_web_root(Settings(web_root=tmp_path))) == ("pass", str(tmp_path))


@pytest.mark.parametrize("content", [None, ""])
def test_no_page(tmp_path, content):
    """A folder without a page, or with an empty one, fails and says what to do."""
    if content is not None:
        Path(tmp_path / "index.html").write_text(content)
    result, detail = shown(check_web_root(Settings(web_root=tmp_path)))
    assert result == "fail"
    assert str(tmp_path / "index.html") in detail
    assert "--web-root" in detail
