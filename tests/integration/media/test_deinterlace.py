"""Interlaced film becomes whole pictures; progressive film is left alone."""

import av
import numpy as np
import pytest
from av.filter import Graph

from icey.media.deinterlace import Deinterlacer
from icey.media.picture import planes
from integration.media.dry_run import dry_run

SIZE = (320, 192)
FRAMES = 80


def film(path, *, fields=True, flagged=True, top_first=True, suffix_options=None):
    """Write bars that move sideways; with `fields` the lines are 1/50 s apart by turns."""
    bars = np.random.default_rng(1).integers(30, 220, 64, np.uint8)
    texture = np.tile(np.repeat(bars, 16), (SIZE[1], 1))
    with av.open(str(path), "w") as out:
        options = {"preset": "ultrafast", "qp": "10", **(suffix_options or {})}
        if flagged:
            options["x264-params"] = "tff=1" if top_first else "bff=1"
        stream = out.add_stream("libx264", rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        for number in range(FRAMES):
            early, late = (np.roll(texture, 6 * (2 * number + n), 1)[:, : SIZE[0]] for n in (0, 1))
            luma = early.copy()
            if fields:
                luma[1 if top_first else 0 :: 2] = late[1 if top_first else 0 :: 2]
            frame = av.VideoFrame(*SIZE, "yuv420p")
            y, u, v = planes(frame)
            y[:], u[:], v[:] = luma, 128, 128
            frame.pts = number
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


def combs(picture):
    """Measure how much each line differs from both its neighbours in the same way."""
    luma = planes(picture)[0].astype(int)
    above, here, below = luma[:-2], luma[1:-1], luma[2:]
    return float(np.mean(np.maximum(np.minimum(abs(here - above), abs(here - below)) - 10, 0)))


def play(path, deinterlace, **media):
    """Play a film in its own size for a round and a half; returns all pictures."""
    run = dry_run(path, 1.5 * FRAMES / 25, size=SIZE, deinterlace=deinterlace, **media)
    assert run.error is None
    assert run.longest_stand() <= 0.081
    return [picture for _, picture in run.pictures]


@pytest.mark.parametrize("top_first", [True, False])
@pytest.mark.parametrize("flagged", [True, False])
def test_interlaced_film_is_made_whole(flagged, top_first, tmp_path):
    """Flagged film has no combs from the first picture on; other film once they were found."""
    path = film(tmp_path / "fields.mp4", flagged=flagged, top_first=top_first)
    pictures = play(path, "auto")
    whole = pictures if flagged else pictures[50:]
    assert max(combs(p) for p in play(path, "off")[1:]) > 8
    assert max(combs(p) for p in whole) < 2


def test_on_needs_no_flag(tmp_path):
    """``on`` treats all pictures as interlaced, from the first on."""
    pictures = play(film(tmp_path / "fields.mp4", flagged=False), "on")
    assert max(combs(p) for p in pictures) < 2


def test_progressive_film_is_not_touched(tmp_path):
    """Progressive pictures come out as the same objects, in the same order, none held back."""
    path = film(tmp_path / "whole.mp4", fields=False, flagged=False)
    deinterlacer = Deinterlacer("auto")
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            assert list(deinterlacer.filter(frame)) == [frame]
    assert list(deinterlacer.flush()) == []


def test_no_picture_is_lost_where_kinds_change(tmp_path):
    """A film that is interlaced for a while keeps each picture, in order and on time."""
    deinterlacer = Deinterlacer("auto")
    times = []
    for name, flagged in (("a", False), ("b", True), ("c", False)):
        path = film(tmp_path / f"{name}.mp4", fields=flagged, flagged=flagged)
        with av.open(str(path)) as container:
            for frame in container.decode(video=0):
                times += [f.pts * f.time_base for f in deinterlacer.filter(frame)]
        times += [f.pts * f.time_base for f in deinterlacer.flush()]
    assert [float(time) for time in times] == pytest.approx([n / 25 for n in range(FRAMES)] * 3)


def test_auto_does_not_pass_interlaced_film_through(tmp_path):
    """With passthroughVideo auto interlaced film is encoded, as browsers do not deinterlace."""
    path = film(tmp_path / "fields.mp4", suffix_options={"g": "25"})
    assert max(combs(p) for p in play(path, "auto", passthrough_video="auto")) < 2


@pytest.mark.parametrize("size", ["1280x720", "320x180"])
def test_thin_lines_are_no_combs(size):
    """Progressive pictures full of thin moving lines are not taken for interlaced ones."""
    graph = Graph()
    graph.link_nodes(
        graph.add("testsrc2", f"size={size}:rate=25"),
        graph.add("format", "yuv420p"),
        graph.add("buffersink"),
    ).configure()
    deinterlacer = Deinterlacer("auto")
    for _ in range(100):
        frame = graph.vpull()
        assert list(deinterlacer.filter(frame)) == [frame]
