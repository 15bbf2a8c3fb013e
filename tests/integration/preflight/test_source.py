"""Sources, really opened."""

import os
from pathlib import Path

import av
import numpy as np
import pytest

from icey.config.model import MediaSettings, Settings
from icey.preflight.finding import render
from icey.preflight.running import Running, SourceState
from icey.preflight.source import check_source, describe_source


@pytest.fixture
def film(tmp_path):
    """A short film without sound."""
    path = tmp_path / "film.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 320, 180, "yuv420p"
        picture = np.zeros((180, 320, 3), np.uint8)
        for _ in range(5):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def stream(source):
    return Settings(media=MediaSettings(source=str(source)))


def check(source, running=None):
    finding = check_source(stream(source), running)
    return finding.result, render(finding.detail, public=True), render(finding.detail, public=False)


def test_file(film):
    """A file is opened, and told with codec, size, rate and sound."""
    result, public, _ = check(film)
    assert (result, public) == ("pass", "film.mp4: h264 320x180 at 25 fps; no sound")


def test_odd_name_is_shown_escaped(film, tmp_path):
    """A name with a line feed and a byte that is no UTF-8 is opened, and can be printed."""
    odd = Path(os.fsdecode(os.fsencode(tmp_path) + b"/two\nlines caf\xe9 %d.mp4"))
    film.rename(odd)
    shown = "two\\nlines caf\\xe9 %d.mp4"
    assert check(odd)[:2] == ("pass", f"{shown}: h264 320x180 at 25 fps; no sound")
    assert describe_source(stream(odd).media, public=True)["value"] == shown
    assert str(describe_source(stream(odd).media, public=False)["value"]).endswith(shown)
    odd.unlink()
    result, public, full = check(odd)
    assert result == "fail"
    assert public.startswith(f"{shown}: No such file")
    assert f"/{shown}: " in full


def test_demo():
    """The demo needs no file."""
    assert check("demo:")[0] == "pass"


def test_no_source():
    """Stream mode without a source fails, and says what can be given."""
    result, detail, _ = check("")
    assert result == "fail"
    assert "--source" in detail
    assert "demo:" in detail


def test_missing_file(tmp_path):
    """A missing file fails: the operator sees its whole path, the API its name."""
    result, public, full = check(tmp_path / "none.mp4")
    assert result == "fail"
    assert public.startswith("none.mp4: No such file or directory; correct the path")
    assert full.startswith(f"{tmp_path}/none.mp4: ")


def test_file_that_is_no_film(tmp_path):
    """A file that FFmpeg cannot read fails with what FFmpeg said."""
    (tmp_path / "a.mp4").write_bytes(b"no film" * 100)
    result, public, _ = check(tmp_path / "a.mp4")
    assert result == "fail"
    assert "Invalid data found" in public
    assert str(tmp_path) not in public


def test_url_that_does_not_answer():
    """A URL that does not answer fails; its password is shown nowhere."""
    result, public, full = check("rtsp://user:hunter2@127.0.0.1:9/stream")
    assert result == "fail"
    assert public.startswith("rtsp://127.0.0.1:9/stream: ")
    assert "reachable" in public
    assert "hunter2" not in public + full


def test_url_of_an_unknown_scheme():
    """A URL of a scheme that is no source fails and says which are."""
    result, public, _ = check("gopher://host/film")
    assert result == "fail"
    assert "rtsp" in public


def test_live_source_of_a_running_server():
    """A live source is not opened a second time: the server's own state of it is told."""
    url = "rtsp://127.0.0.1:9/stream"
    healthy = Running(source=SourceState(healthy=True, detail="playing"))
    assert check(url, healthy)[:2] == ("pass", "playing")
    lost = Running(source=SourceState(healthy=False, detail="lost, retry in 4 s"))
    assert check(url, lost)[:2] == ("warn", "lost, retry in 4 s")
    assert check(url, Running())[0] == "pass"


def test_file_of_a_running_server(tmp_path):
    """A file is opened again for a running server: it may have gone since."""
    assert check(tmp_path / "gone.mp4", Running(http_port=1))[0] == "fail"


@pytest.mark.parametrize("mode", ["record", "relay"])
def test_modes_without_a_source(mode):
    """Other modes need no source."""
    settings = Settings(media=MediaSettings(mode=mode, source="/none.mp4"))
    assert check_source(settings, None).result == "pass"


@pytest.mark.parametrize(
    ("source", "value", "kind", "remote"),
    [
        ("", "", "none", False),
        ("demo:", "demo:", "demo", False),
        ("/var/film.mp4", "film.mp4", "file", False),
        ("/dev/video0", "v4l2:video0", "device", False),
        ("rtsp://u:p@cam/s?k=v", "rtsp://cam/s", "url", True),
    ],
)
def test_description(source, value, kind, remote):
    """The report says what a source is without its folder, user, password or query."""
    described = describe_source(MediaSettings(source=source), public=True)
    assert described == {"value": value, "kind": kind, "remote": remote}


def test_description_for_the_operator():
    """The operator sees the whole path of a file, but no password."""
    path = Path("/var/film.mp4")
    assert describe_source(MediaSettings(source=str(path)), public=False)["value"] == str(path)
    url = MediaSettings(source="rtsp://u:hunter2@cam/s")
    assert describe_source(url, public=False)["value"] == "rtsp://cam/s"
