"""RTSP by the engine's client: passed through without Python, decoded, or left to FFmpeg."""

import logging
import time

import numpy as np
import pytest

from icey import _core
from icey.errors import SourceError
from icey.media import input as media_input
from icey.media import rtsp
from icey.media.events import SourceLost, SourceRestored
from icey.media.source import parse_source
from integration.media.rtsp_camera import Camera, Sound, h264_units, mulaw, opus_packets
from integration.media.sinks import Player, decode_audio, decode_video, pitch, settings


@pytest.fixture(scope="module")
def units():
    """Four seconds of pictures, 25 a second, in groups of two seconds."""
    return h264_units(100)


@pytest.fixture(scope="module")
def opus():
    """Two seconds of a tone."""
    return Sound("opus/48000/2", 960, opus_packets(100))


@pytest.fixture
def engine():
    """An engine on loopback."""
    made = _core.Engine(host="127.0.0.1")
    yield made
    made.close()


def until(holds, timeout_s=10.0):
    """Wait for a condition."""
    deadline = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_passed_through_units_and_opus_go_to_tracks(units, opus, engine):
    """Pictures and Opus reach the engine's tracks; none of them comes to Python."""
    with Camera(units, sound=opus) as camera:
        player = Player(camera.url, settings(passthrough_video=True))
        video, audio = engine.create_track("video"), engine.create_track("audio")
        player.pipeline.prepare()
        lane = player.pipeline.add_lane(video=video, audio=audio, bitrate=1_000_000)
        player.pipeline.start()
        until(lambda: video.frames >= 50 and audio.frames >= 100)
        assert lane.fed
        assert lane.sound_bytes == 0
        player.pipeline.stop()
        assert player.pipeline.join(5)
    assert camera.requests[-1] == "TEARDOWN"


def test_other_sinks_get_copies(units, opus):
    """A sink that is no track gets the source's own access units, and its sound."""
    with (
        Camera(units, sound=opus) as camera,
        Player(camera.url, settings(passthrough_video=True)) as player,
    ):
        pictures = player.video.wait_count(30)
        sound = player.audio.wait_count(100)
    assert len(decode_video(pictures)) >= 28
    assert pitch(decode_audio(sound)[24_000:, 0]) == pytest.approx(440, abs=5)
    payloads = {unit.data[-20:] for unit in pictures}
    assert payloads <= {unit[-1][-20:] for unit in units}


@pytest.mark.parametrize("sound", ["opus", "g711"])
def test_decoded_where_not_passed_through(units, opus, sound):
    """Without pass-through pictures are decoded and encoded, and so is sound of any kind."""
    heard = opus if sound == "opus" else Sound("PCMU/8000", 160, mulaw(100))
    with Camera(units, sound=heard) as camera, Player(camera.url) as player:
        pictures = player.video.wait_count(40)
        tone = player.audio.wait_count(100)
    assert decode_video(pictures)[-1].shape == (180, 320)
    assert pitch(decode_audio(tone)[24_000:, 0]) == pytest.approx(440, abs=5)


@pytest.mark.parametrize("own_port", [True, False])
def test_udp_where_tcp_is_refused(units, own_port, caplog):
    """A camera that answers 461 is received by UDP; by FFmpeg where it sends from a wrong port."""
    with (
        Camera(units, takes_tcp=False, own_port=own_port) as camera,
        Player(camera.url) as player,
    ):
        assert len(player.video.wait_count(30)) >= 30
    assert ("read by FFmpeg" in caplog.text) != own_port


def test_b_frames_are_encoded(caplog):
    """``auto`` sees B-frames, which WebRTC cannot show, and encodes."""
    caplog.set_level(logging.INFO)
    with (
        Camera(h264_units(100, bframes=2)) as camera,
        Player(camera.url, settings(passthrough_video="auto")) as player,
    ):
        player.video.wait_count(10)
        assert not player.pipeline._reader.passthrough
    assert "B-frames" in caplog.text


def test_interlaced_pictures_are_made_whole(caplog):
    """``auto`` sees interlaced pictures and encodes; they pass the deinterlacer, in time."""
    caplog.set_level(logging.INFO)
    with (
        Camera(h264_units(100, more="tff=1")) as camera,
        Player(camera.url, settings(passthrough_video="auto")) as player,
    ):
        pictures = player.video.wait_count(40)
        assert not player.pipeline._reader.passthrough
        assert player.pipeline._reader._deinterlacer._graph is not None
    assert "interlaced" in caplog.text
    apart = np.diff([unit.timestamp for unit in pictures[10:]])
    assert np.median(apart) == pytest.approx(90_000 / 25, abs=10)


def offset_s(stream, until_reports):
    """Measure how much later than pictures sound of the same moment is placed, s."""
    origins = {}
    deadline = time.monotonic() + 10
    while len(origins) < 2:
        assert time.monotonic() < deadline
        for frame in stream.pull(patience_s=1):
            if (frame.report is not None) == until_reports:
                taken = frame.timestamp / frame.clock_rate
                origins[frame.kind] = frame.placed_ns / 1e9 - taken
    return origins["audio"] - origins["video"]


def test_sender_reports_bring_sound_and_pictures_together(units, opus):
    """Sound that comes 0.3 s late is placed beside its pictures once both streams had reports."""
    with Camera(units, sound=opus, sound_late_s=0.3) as camera:
        stream = rtsp.connect(parse_source(camera.url), "auto")
        stream.want(video=True, audio=True)
        assert offset_s(stream, until_reports=False) == pytest.approx(0.3, abs=0.1)
        until(lambda: offset_s(stream, until_reports=True) == pytest.approx(0, abs=0.04))
        stream.close()


def test_late_sound_is_heard_and_stamped(units):
    """Sound placed 0.4 s before its arrival is no silence, and its time is the pictures'."""
    heard = Sound("PCMU/8000", 160, mulaw(100))
    with Camera(units, sound=heard, sound_late_s=0.4) as camera, Player(camera.url) as player:
        player.video.wait_count(75)
        count = len(player.audio.units)
        tone = player.audio.wait_count(count + 50)[count:]
    late = [(unit.pushed_ns - unit.captured_ns) / 1e9 for unit in tone]
    assert np.median(late) == pytest.approx(0.4, abs=0.1)
    levels = np.abs(decode_audio(tone)[4800:, 0]).reshape(-1, 480).max(axis=1)
    assert (levels > 0.05 * levels.max()).all()


def test_ffmpeg_reads_what_the_client_cannot(units, caplog):
    """Sound that only FFmpeg knows leads to FFmpeg; the log says so once."""
    speex = "m=audio 0 RTP/AVP 98\r\na=rtpmap:98 speex/8000\r\na=control:trackID=1\r\n"
    with (
        Camera(units, sections=speex) as camera,
        Player(camera.url) as player,
    ):
        player.video.wait_count(10)
        camera.stop()
        player.wait_event(SourceLost)
        camera.start()
        player.wait_event(SourceRestored, timeout=20)
    told = [r.message for r in caplog.records if "read by FFmpeg" in r.message]
    assert len(told) == 1
    assert "speex" in told[0]


def test_unknown_sound_is_left_out(units, caplog):
    """Sound that nobody knows is named; there are pictures all the same."""
    odd = "m=audio 0 RTP/AVP 98\r\na=rtpmap:98 X-ODD/8000\r\na=control:trackID=1\r\n"
    with Camera(units, sections=odd) as camera, Player(camera.url) as player:
        player.video.wait_count(10)
    assert "without sound, as nothing decodes x-odd" in caplog.text


def test_keyframe_is_waited_for(units, caplog):
    """Parameter sets only in-band and the keyframe far off: the log names what is waited for."""
    group = units[:50] + [[unit[-1]] for unit in units[51:99]]
    with (
        Camera(group, sprop=False, start_at=39) as camera,
        Player(camera.url, settings(passthrough_video=True)) as player,
    ):
        player.video.wait_count(5)
    assert player.pipeline.losses[0] == 0
    assert player.pipeline.losses[1] >= 50  # they lean on a keyframe that nobody has
    assert "waiting for the camera's keyframe" in caplog.text


def test_frozen_rtp_time_shows_every_picture(units, engine):
    """RTP time that stands still does not keep access units from being told apart."""
    with Camera(units, rtp_time=lambda _: 4711) as camera:
        player = Player(camera.url, settings(passthrough_video=True))
        video = engine.create_track("video")
        player.pipeline.prepare()
        player.pipeline.add_lane(video=video, audio=None, bitrate=1_000_000)
        player.pipeline.start()
        until(lambda: video.frames > 0)
        before, since = video.frames, time.monotonic()
        until(lambda: video.frames >= before + 40)
        assert 40 / (time.monotonic() - since) > 20
        player.pipeline.stop()
        assert player.pipeline.join(5)


def test_silence_without_a_farewell(units, engine, monkeypatch):
    """A camera that falls silent is told of; viewers get its last picture, and then it again."""
    monkeypatch.setattr(media_input, "READ_TIMEOUT_S", 0.5)
    with Camera(units) as camera:
        player = Player(camera.url, settings(passthrough_video=True))
        video = engine.create_track("video")
        player.pipeline.prepare()
        lane = player.pipeline.add_lane(video=video, audio=None, bitrate=1_000_000)
        player.pipeline.start()
        until(lambda: video.frames >= 20)
        camera.silent = True
        player.wait_event(SourceLost)
        before = video.frames
        until(lambda: video.frames > before + 2)  # the last picture, with a note
        assert not lane.fed
        camera.silent = False
        player.wait_event(SourceRestored, timeout=20)
        until(lambda: lane.fed and video.frames > before + 30)
        player.pipeline.stop()
        assert player.pipeline.join(5)


def test_password_with_odd_characters_is_never_shown(units):
    """A password as people know it is understood, and no error has it."""
    with Camera(units) as camera:
        url = camera.url.replace("rtsp://", "rtsp://user:p[#@:w@")
        with Player(url) as player:
            player.video.wait_count(3)
    player = Player(url)
    with pytest.raises(SourceError, match="refused") as caught:
        player.pipeline.prepare()
    assert "p[#" not in str(caught.value)
    assert "%" not in str(caught.value)
