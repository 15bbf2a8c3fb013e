"""What a probe says of real sources."""

from fractions import Fraction

import pytest

from icey.errors import SourceError
from icey.media.input import Input
from icey.media.passthrough import obstacle
from icey.media.probe import probe
from icey.media.source import parse_source
from integration.media.material import Film, make


def test_film(tmp_path):
    """Codecs, size, rate and sound of a film."""
    path = make(tmp_path / "a.mp4", Film(rate=Fraction(25), frames=50, rotate=90))
    info = probe(parse_source(str(path)), timeout_s=5)
    assert (info.video, info.width, info.height, info.fps) == ("h264", 320, 180, 25)
    assert (info.audio, info.sample_rate, info.channels) == ("aac", 48_000, 2)


def test_plain_film_may_be_passed_through(tmp_path):
    """H.264 without B-frames is fit for browsers."""
    path = make(tmp_path / "a.mp4", Film(options={"profile": "baseline"}, audio=None))
    opened = Input(parse_source(str(path)))
    assert obstacle(opened.video) is None
    opened.close()
    assert probe(parse_source(str(path)), timeout_s=5).audio == ""


def test_sound_only(tmp_path):
    """A song has no video codec."""
    path = make(tmp_path / "a.wav", Film(video=None, audio="pcm_s16le", audio_seconds=1))
    info = probe(parse_source(str(path)), timeout_s=5)
    assert info.video == ""
    assert info.audio == "pcm_s16le"


def test_demo():
    """The demo needs no file."""
    info = probe(parse_source("demo:"), timeout_s=1)
    assert info.fps == 30
    assert info.audio


def test_rtsp(rtsp_server):
    """Codecs and size of a stream."""
    info = probe(parse_source(rtsp_server.url), timeout_s=5)
    assert (info.video, info.width, info.audio) == ("h264", 640, "aac")


@pytest.mark.parametrize("content", [None, b"", b"no film" * 500])
def test_refusals(content, tmp_path):
    """What cannot be opened is named without its folder, in FFmpeg's words."""
    path = tmp_path / "x.mp4"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SourceError) as caught:
        probe(parse_source(str(path)), timeout_s=1)
    assert str(caught.value).startswith("x.mp4: ")
    assert caught.value.detail in {
        "No such file or directory",
        "Invalid data found when processing input",
    }
