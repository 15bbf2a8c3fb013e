"""H.264 sent as it is, from files and a live stream."""

import logging

import numpy as np
import pytest

from icey.errors import SourceError
from icey.media.events import SourceLost, SourceRestored
from icey.media.h264 import nal_types
from integration.media.material import Film, bar_number, make
from integration.media.sinks import CollectingSink, Player, decode_video, settings, steps

PLAIN = {"preset": "ultrafast", "profile": "baseline", "g": "15"}


@pytest.mark.parametrize("name", ["plain.mp4", "plain.mkv", "plain.ts"])
def test_access_units_are_the_sources_own(name, tmp_path):
    """Without B-frames the film is sent in its own size, over a loop, each IDR with its headers."""
    path = make(tmp_path / name, Film(size=(400, 224), frames=48, options=PLAIN))
    with Player(path, settings(passthrough_video=True)) as player:
        units = player.video.wait_count(80)
        assert player.audio.units
        assert player.lane._encoder is None  # nothing was sent again
    assert units[0].keyframe
    for unit in units:
        types = set(nal_types(unit.data))
        assert unit.keyframe == (5 in types)
        assert not unit.keyframe or {7, 8} <= types
    lumas = decode_video(units)
    assert lumas[0].shape == (224, 400)
    assert [bar_number(luma) for luma in lumas] == [n % 16 for n in range(len(lumas))]
    assert max(steps(units)) <= 6000


REFUSED = {
    "b-frames.mp4": (Film(options={"preset": "veryfast"}), "B-frames"),
    "deep.mkv": (Film(pix_fmt="yuv420p10le", options={"preset": "ultrafast"}), "High 10"),
    "hevc.mp4": (Film(video="libx265", options={"x265-params": "log-level=none"}), "hevc"),
    "turned.mp4": (Film(options=PLAIN, rotate=90), "rotated"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_true_refuses_what_browsers_cannot_play(name, tmp_path):
    """With passthroughVideo true the reason is given."""
    film, words = REFUSED[name]
    player = Player(make(tmp_path / name, film), settings(passthrough_video=True))
    with pytest.raises(SourceError, match=words):
        player.pipeline.prepare()


def test_auto_encodes_where_it_must(tmp_path, caplog):
    """With auto the same film plays through the encoder, and the log says why."""
    path = make(tmp_path / "b.mp4", Film(options={"preset": "veryfast"}))
    with (
        caplog.at_level(logging.INFO, "icey.media"),
        Player(path, settings(passthrough_video="auto")) as player,
    ):
        units = player.video.wait_count(10)
    assert decode_video(units)[0].shape == (180, 320)
    assert "B-frames" in caplog.text


def test_auto_encodes_where_keyframes_are_rare(tmp_path, caplog):
    """A film with a keyframe each 8 s is encoded, as a loss could not be mended."""
    path = make(
        tmp_path / "rare.mp4",
        Film(size=(64, 64), frames=300, audio=None, options={**PLAIN, "g": "240"}),
    )
    with (
        caplog.at_level(logging.INFO, "icey.media"),
        Player(path, settings(passthrough_video="auto")) as player,
    ):
        player.video.wait_count(3)
    assert "keyframes 8 s apart" in caplog.text


def test_late_lane_waits_for_a_keyframe(tmp_path):
    """A lane that joins a passed-through source starts with its next keyframe."""
    path = make(tmp_path / "plain.mp4", Film(frames=48, options=PLAIN))
    with Player(path, settings(passthrough_video=True)) as player:
        player.video.wait_count(4)
        late = CollectingSink()
        player.pipeline.add_lane(video=late, audio=None, bitrate=1)
        assert late.wait_count(1)[0].keyframe


def test_live_stream_is_passed_through_and_noted_when_lost(rtsp_server):
    """RTSP goes through as it is; while it is lost an encoder says so; then it goes on."""
    with Player(rtsp_server.url, settings(passthrough_video=True)) as player:
        player.video.wait_count(40)
        rtsp_server.stop()
        player.wait_event(SourceLost)
        before = len(player.video.units)
        player.video.wait_count(before + 4)
        rtsp_server.start()
        player.wait_event(SourceRestored, timeout=20)
        after = len(player.video.units)
        units = player.video.wait_count(after + 40)
    shapes = [luma.shape for luma in decode_video(units[:20])]
    assert set(shapes) == {(360, 640)}
    lumas = decode_video(units)
    note = next(luma for luma in reversed(lumas) if luma.shape == (180, 320))
    assert note[150:].max() > 150
    assert len(np.unique(note[60, ::20] // 16)) >= 5  # above the words, the bars as they were
    assert lumas[-1].shape == (360, 640)
