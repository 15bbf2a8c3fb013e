"""Snapshots: the picture of the event, not too often, whole or not at all."""

import io
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import av
import numpy as np
import pytest
from PIL import Image

from icey.config.intelligence import SnapshotSettings
from icey.config.model import RecordSettings
from icey.intelligence.shelf import SNAPSHOTS, Shelf
from icey.intelligence.snapshot import Snapshots, jpeg
from icey.storage.paths import SNAPSHOT
from integration.intelligence.filmed import event, number_of, picture

SECOND = 1_000_000_000


def shelf(folder, **record):
    return Shelf(SNAPSHOTS, folder, RecordSettings(**{"min_free_bytes": 0, **record}), SNAPSHOT)


def snapshots(folder, interval_usec=1_000_000, **record):
    return Snapshots(SnapshotSettings(min_interval_usec=interval_usec), shelf(folder, **record))


def at(seconds, number=0, detector="motion"):
    return event(picture(number), time.monotonic_ns() + round(seconds * SECOND), number, detector)


def test_is_the_picture_of_the_event(tmp_path):
    """The file shows the picture that the event is about, in its size."""
    keeper = snapshots(tmp_path / "a" / "b")
    reference = keeper.keep(at(0, 1234))["snapshot"]
    (path,) = (tmp_path / "a" / "b").iterdir()
    assert reference == {
        "path": f"snapshots/{path.name}",
        "url": f"/artifacts/snapshots/{path.name}",
    }
    assert path.name.startswith("motion-")
    with Image.open(path) as image:
        assert image.format == "JPEG"
        assert number_of(np.asarray(image.convert("L"))) == 1234
        assert image.size == (192, 108)
    assert keeper.kept == 1


@pytest.mark.parametrize("rgb", [(200, 30, 30), (20, 180, 40), (30, 60, 220), (255, 255, 255)])
def test_colours(rgb):
    """Colours are those of the screen: matrix and range of the picture are minded (BT.709)."""
    source = av.VideoFrame.from_ndarray(np.full((64, 64, 3), rgb, np.uint8), "rgb24")
    shown = source.reformat(format="yuv420p", dst_colorspace="ITU709")
    shown.colorspace = 1
    with Image.open(io.BytesIO(jpeg(shown))) as image:
        assert np.abs(np.asarray(image, int)[20:40, 20:40] - rgb).max() <= 8


def test_not_too_often(tmp_path):
    """Two snapshots of a stream are at least the interval apart; the events between have none."""
    keeper = snapshots(tmp_path)
    kept = [bool(keeper.keep(at(tenth / 10))) for tenth in range(0, 31, 2)]
    assert [index for index, yes in enumerate(kept) if yes] == [0, 5, 10, 15]


def test_no_interval(tmp_path):
    """With 0 every event has one."""
    keeper = snapshots(tmp_path, interval_usec=0)
    for number in range(5):
        assert keeper.keep(at(number / 100))
    assert len(list(tmp_path.iterdir())) == 5


def test_same_moment(tmp_path):
    """Streams that keep the same moment at the same time each have a file of their own."""
    keepers = [snapshots(tmp_path) for _ in range(8)]
    seen = at(0)
    with ThreadPoolExecutor(8) as pool:
        kept = list(pool.map(lambda keeper: keeper.keep(seen)["snapshot"]["path"], keepers))
    assert len(set(kept)) == 8
    assert {f"snapshots/{path.name}" for path in tmp_path.iterdir()} == set(kept)


@pytest.mark.parametrize("trouble", ["file in the way", "no room"])
def test_folder_that_cannot_be_used(tmp_path, caplog, trouble):
    """Where none can be written the event goes without; the log says so once, and it goes on."""
    folder = tmp_path / "snapshots"
    keeper = snapshots(folder, min_free_bytes=2**50 if trouble == "no room" else 0)
    if trouble != "no room":
        folder.write_text("in the way")
    assert keeper.keep(at(0)) == {}
    assert keeper.keep(at(2)) == {}
    assert (keeper.kept, keeper.failed) == (0, 2)
    assert len([r for r in caplog.records if "a snapshot cannot be kept" in r.message]) == 1
    if trouble != "no room":
        folder.unlink()
        assert keeper.keep(at(4))


def test_nobody_sees_half_of_one(tmp_path):
    """A file that has its name is whole."""
    keeper = snapshots(tmp_path, interval_usec=0)
    seen, stop = [], threading.Event()

    def look():
        while not stop.is_set():
            seen.extend(path.read_bytes()[-2:] for path in tmp_path.glob("*.jpg"))

    looker = threading.Thread(target=look)
    looker.start()
    try:
        for number in range(20):
            keeper.keep(at(number))
    finally:
        stop.set()
        looker.join()
    assert set(seen) == {b"\xff\xd9"}  # the end of a JPEG (ITU-T T.81 §B.1.1.3)
