"""The folders of snapshots and clips: retention, and repair after a crash."""

import os
import time
from datetime import UTC, datetime, timedelta

import pytest

from icey.config.model import RecordSettings, Settings
from icey.errors import RecordingError
from icey.intelligence.archive import Archive
from icey.intelligence.shelf import CLIPS, SNAPSHOTS, Shelf
from icey.storage.paths import ENDING, SNAPSHOT, name_recording


def put(folder, ending, *, age_s=0, size=100):
    folder.mkdir(exist_ok=True, parents=True)
    path = folder / name_recording(
        "motion", datetime.now(UTC) - timedelta(seconds=age_s), ending=ending
    )
    path.write_bytes(bytes(size))
    return path


@pytest.mark.parametrize(("name", "ending"), [(SNAPSHOTS, SNAPSHOT), (CLIPS, ENDING)])
def test_what_is_too_old_goes(tmp_path, name, ending):
    """Files of the shelf's own kind go when they are too old; others' never do."""
    shelf = Shelf(name, tmp_path, RecordSettings(max_age_seconds=60), ending)
    old, young = put(tmp_path, ending, age_s=100), put(tmp_path, ending, age_s=10)
    other = put(tmp_path, SNAPSHOT if ending == ENDING else ENDING, age_s=100)
    strange = tmp_path / "holiday.jpg"
    strange.write_bytes(b"x")
    shelf.keep_blocking()
    assert not old.exists()
    assert young.exists()
    assert other.exists()
    assert strange.exists()


def test_what_is_too_much_goes(tmp_path):
    """The oldest go until the rest is small enough; the newest stays in any case."""
    paths = [put(tmp_path, SNAPSHOT, age_s=age, size=400) for age in (40, 30, 20, 10)]
    Shelf(SNAPSHOTS, tmp_path, RecordSettings(max_total_bytes=900), SNAPSHOT).keep_blocking()
    assert [path.exists() for path in paths] == [False, False, True, True]


def test_unfinished_snapshots(tmp_path):
    """What a crash left unfinished goes; what another server is writing stays."""
    left, fresh = tmp_path / ".a.jpg.1.tmp", tmp_path / ".b.jpg.2.tmp"
    left.touch()
    fresh.touch()
    os.utime(left, (time.time() - 3600,) * 2)
    Shelf(SNAPSHOTS, tmp_path, RecordSettings(), SNAPSHOT).repair_blocking()
    assert not left.exists()
    assert fresh.exists()


def test_room(tmp_path):
    """Without the room that is to stay free nothing is written."""
    shelf = Shelf(CLIPS, tmp_path / "a", RecordSettings(min_free_bytes=2**50), ENDING)
    with pytest.raises(RecordingError, match="are to stay free"):
        shelf.prepare()


def settings(folder, **record):
    return Settings.model_validate(
        {
            "media": {
                "recordDir": folder,
                "record": record,
                "intelligence": {
                    "vision": {"snapshots": {"enabled": True}, "clips": {"enabled": True}}
                },
            }
        }
    )


def test_looked_after_from_the_start(tmp_path):
    """A server that starts looks after its folders at once, in a thread that ends with it."""
    old = put(tmp_path / "snapshots", SNAPSHOT, age_s=100)
    clip = put(tmp_path / "clips", ENDING, age_s=100)
    archive = Archive(settings(tmp_path, maxAgeSeconds=60))
    archive.start()
    deadline = time.monotonic() + 10
    while old.exists() or clip.exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    archive.stop()
    archive._thread.join(5)
    assert not archive._thread.is_alive()


def test_turned_off(tmp_path):
    """Without snapshots and clips there are no folders and no thread."""
    archive = Archive(Settings())
    archive.start()
    assert (archive.snapshots, archive.clips, archive._thread) == (None, None, None)


def test_own_folders(tmp_path):
    """Folders of their own are used where they are set, under the same names."""
    made = settings(tmp_path)
    vision = made.media.intelligence.vision
    own = vision.snapshots.model_copy(update={"dir": tmp_path / "elsewhere"})
    vision = vision.model_copy(update={"snapshots": own})
    media = made.media.model_copy(
        update={"intelligence": made.media.intelligence.model_copy(update={"vision": vision})}
    )
    archive = Archive(made.model_copy(update={"media": media}))
    assert archive.snapshots.folder == tmp_path / "elsewhere"
    assert archive.clips.folder == tmp_path / "clips"
    assert archive.snapshots.reference("a.jpg")["url"] == "/artifacts/snapshots/a.jpg"
