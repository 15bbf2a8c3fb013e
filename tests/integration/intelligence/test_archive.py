"""The archive of a server: what each stream keeps, its counters, and the events of clips."""

import time

import pytest

from icey.config.model import Settings
from icey.intelligence.archive import Archive
from integration.intelligence.filmed import Stream, event, picture


def archive(folder, *, snapshots=True, clips=True):
    vision = {
        "snapshots": {"enabled": snapshots, "minIntervalUsec": 0},
        "clips": {"enabled": clips, "postRollUsec": 0},
    }
    media = {
        "recordDir": folder,
        "record": {"minFreeBytes": 0},
        "intelligence": {"vision": vision},
    }
    return Archive(Settings.model_validate({"media": media}))


@pytest.mark.parametrize(
    ("snapshots", "clips"), [(False, False), (True, False), (False, True), (True, True)]
)
def test_what_is_turned_on(tmp_path, snapshots, clips):
    """A stream keeps what is turned on, and nothing else."""
    stream = archive(tmp_path, snapshots=snapshots, clips=clips).begin("demo:", "s", lambda _: None)
    assert (stream.snapshots is not None, stream.clips is not None) == (snapshots, clips)
    assert len(stream.evidence) == snapshots + clips


def test_counters(tmp_path):
    """Counters are those of all streams, also of those that are over."""
    kept = archive(tmp_path, clips=False)
    streams = [kept.begin("demo:", name, lambda _: None) for name in ("a", "b")]
    for stream in streams:
        for number in range(2):
            stream.snapshots.keep(event(picture(number), time.monotonic_ns(), number))
    assert kept.status()["snapshots"] == 4
    kept.end(streams[0])
    assert kept.status()["snapshots"] == 4
    kept.end(streams[1])
    assert kept.status() == {
        "snapshots": 4,
        "snapshotsFailed": 0,
        "clips": 0,
        "clipsFailed": 0,
        "clipUnitsDropped": 0,
        "clipGroupsDropped": 0,
    }


def test_event_of_a_clip(tmp_path):
    """A finished clip is an event, whose links open without the token once they are signed."""
    told = []
    kept = archive(tmp_path, snapshots=False)
    clips = kept.begin("cam", "stream/shared", told.append).clips
    stream = Stream(clips)
    stream.run(3)
    clips.keep(stream.event(2.5, "blob"))
    stream.run(4)
    clips.stop()
    assert clips.join(10)
    (event_of_it,) = told
    assert (event_of_it.kind, event_of_it.stream_id) == ("icey:clip", "stream/shared")
    data = event_of_it.data
    assert (data["schema"], data["source"], data["detector"]) == ("icey.clip/1", "cam", "blob")
    assert data["durationUsec"] == pytest.approx(2_530_000, abs=60_000)
    assert (tmp_path / data["clip"]["path"]).is_file()
    signed = event_of_it.with_links(lambda path: f"{path}?signed")
    assert signed.data["clip"]["url"] == f"/artifacts/{data['clip']['path']}?signed"
    assert "?" not in data["clip"]["url"]
    assert kept.status()["clips"] == 1
