"""Events have the shapes of the specification."""

import json
import time

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from icey.intelligence.detector import Detection, Region
from icey.intelligence.events import (
    MAX_DETECTIONS,
    MAX_GRID_CELLS,
    heard_event,
    motion_data,
    plain,
    speech_event,
    vision_event,
)
from icey.intelligence.motion import Motion
from icey.intelligence.sample import Moment, PictureSample, SoundSample
from icey.intelligence.speech import Activity

MOMENT = Moment(number=42, media_usec=1_400_000, due_ns=0, wall_usec=1_790_000_000_000_000)


def seen(detections, data=None, due_ns=None):
    """An event about a picture of 64 x 36."""
    picture = av.VideoFrame(64, 36, "yuv420p")
    moment = Moment(42, 1_400_000, due_ns or time.monotonic_ns(), 1_790_000_000_000_000)
    return vision_event(
        PictureSample(picture, moment),
        source="video.mp4",
        stream_id="stream/alice|1",
        detector="motion",
        picture=picture,
        detections=detections,
        data=data or {},
    )


def test_a_vision_event():
    """All members of icey.vision/1 are there, and no other."""
    found = Detection("motion", 0.21, Region(0.1, 0.2, 0.3, 0.2), data={"score": 0.21, "cells": 12})
    cells = np.zeros((18, 32), np.float32)
    cells[3, 4] = 1 / 3
    event = seen([found], motion_data(Motion(0.12, cells, (found,))))
    data = json.loads(json.dumps(event.data))
    assert abs(data.pop("emittedAtUsec") - time.time_ns() // 1000) < 5_000_000
    assert 0 <= data["data"].pop("latencyUsec") < 5_000_000
    grid = data["data"]["grid"].pop("cells")
    assert len(grid) == 32 * 18
    assert grid[3 * 32 + 4] == 0.333
    assert data == {
        "schema": "icey.vision/1",
        "type": "detect",
        "source": "video.mp4",
        "detector": "motion",
        "frame": {
            "sourceId": "video.mp4",
            "streamId": "stream/alice|1",
            "frameId": 42,
            "ptsUsec": 1_400_000,
            "receivedAtUsec": 1_790_000_000_000_000,
            "width": 64,
            "height": 36,
            "pixelFmt": "yuv420p",
            "keyframe": False,
        },
        "detections": [
            {
                "label": "motion",
                "confidence": 0.21,
                "trackId": "",
                "region": {"x": 0.1, "y": 0.2, "width": 0.3, "height": 0.2},
                "data": {"score": 0.21, "cells": 12},
            }
        ],
        "tracks": [],
        "data": {
            "score": 0.12,
            "gridWidth": 32,
            "gridHeight": 18,
            "grid": {"width": 32, "height": 18},
        },
    }


def test_latency_is_from_when_it_was_due():
    """The latency counts from the moment at which the picture was sent."""
    latency = seen([], due_ns=time.monotonic_ns() - 80_000_000).data["data"]["latencyUsec"]
    assert 80_000 <= latency < 1_000_000


def test_large_grids_stay_out_of_events():
    """A grid of very many cells goes without them: clients drop messages that are too large."""
    for side, there in ((64, True), (65, False)):
        cells = np.zeros((side, 64), np.float32)
        assert (cells.size <= MAX_GRID_CELLS) == there
        assert ("cells" in motion_data(Motion(0.1, cells, ()))["grid"]) == there


def test_the_largest_detections():
    """An event has the eight largest detections, the largest first; those without a region last."""
    many = [Detection(str(n), 0.5, Region(0, 0, n / 20, 0.5)) for n in range(1, 13)]
    labels = [d["label"] for d in seen([Detection("all", 1), *many]).data["detections"]]
    assert labels == [str(n) for n in range(12, 12 - MAX_DETECTIONS, -1)]
    (alone,) = seen([Detection("all", 1)]).data["detections"]
    assert "region" not in alone


def test_each_viewer_reads_of_his_own_stream():
    """Each viewer of a shared stream gets the event with the id of its own; the event stays."""
    event = seen([])
    assert event.data_for("bob|2")["frame"]["streamId"] == "stream/bob|2"
    assert event.data["frame"]["streamId"] == "stream/alice|1"


def test_a_speech_event():
    """All members are there, and no other."""
    sample = SoundSample(np.zeros((960, 2), np.int16), 48_000, MOMENT)
    event = speech_event(
        sample,
        source="video.mp4",
        stream_id="stream/alice|1",
        activity=Activity("start", 0.08, 0.31),
        thresholds=(0.045, 0.02),
    )
    assert event.kind == "icey:speech"
    assert json.loads(json.dumps(event.data)) == {
        "type": "speech:start",
        "source": "video.mp4",
        "detector": "energy",
        "time": 1_400_000,
        "audio": {
            "sequence": 42,
            "time": 1_400_000,
            "duration": 20_000,
            "sampleRate": 48_000,
            "channels": 2,
            "numSamples": 960,
            "sampleFmt": "s16",
        },
        "active": True,
        "level": 0.08,
        "peak": 0.31,
        "data": {"startThreshold": 0.045, "stopThreshold": 0.02},
    }
    assert event.data_for("bob|2") == event.data


def test_an_event_of_a_sound_detector():
    """The event of a user's sound detector has its detections."""
    sample = SoundSample(np.full((960, 1), -16384, np.int16), 48_000, MOMENT)
    data = heard_event(
        sample,
        source="cam",
        stream_id="stream/shared",
        detector="glass",
        detections=[Detection("glass", 0.7)],
    ).data
    assert (data["type"], data["detector"]) == ("detect", "glass")
    assert (data["level"], data["peak"]) == (0.5, 0.5)
    assert data["detections"][0]["label"] == "glass"


@pytest.mark.parametrize(
    ("confidence", "told"),
    [(1.7, 1.0), (-1, 0.0), (float("nan"), 0.0), (np.float32(0.5), 0.5), (True, 1.0)],
)
def test_fractions_stay_within_bounds(confidence, told):
    """Whatever number a detector gives, the event has one from 0 to 1."""
    found = Detection("x", confidence, Region(confidence, 0, 2, 1))
    (detection,) = seen([found]).data["detections"]
    assert detection["confidence"] == told
    assert detection["region"]["x"] == told
    assert detection["region"]["width"] == 1.0


anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.binary()
    | st.complex_numbers()
    | st.builds(np.float32, st.floats(width=32))
    | st.builds(np.array, st.lists(st.integers(-9, 9))),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner) | st.tuples(inner)
    ),
    max_leaves=20,
)


@given(anything)
def test_anything_becomes_json(value):
    """Whatever a detector puts into its data becomes strict JSON, or is its failure alone."""
    try:
        made = plain(value)
    except OverflowError:  # a whole number beyond any float
        return
    json.dumps(made, allow_nan=False)


def test_data_is_bounded():
    """Long texts, long lists and deep nesting are cut."""
    deep = value = []
    for _ in range(50):
        value.append([])
        value = value[0]
    made = plain({"text": "x" * 9999, "list": [0] * 9999, "deep": deep})
    assert len(made["text"]) == 256
    assert len(made["list"]) == 256
    assert len(json.dumps(made["deep"])) < 100


def test_links_of_what_is_kept():
    """Links are signed in a copy: the event itself, which others may hold, stays as it is."""
    kept = {
        name: {"path": f"{name}s/a", "url": f"/artifacts/{name}s/a"}
        for name in ("snapshot", "clip")
    }
    event = seen([Detection("x", 1)], kept)
    signed = event.with_links(lambda path: f"{path}?signature=s")
    for name in kept:
        assert signed.data["data"][name]["url"] == f"/artifacts/{name}s/a?signature=s"
        assert signed.data["data"][name]["path"] == f"{name}s/a"
        assert event.data["data"][name]["url"] == f"/artifacts/{name}s/a"
    bare = seen([Detection("x", 1)])
    assert bare.with_links(lambda path: f"{path}?") is bare
