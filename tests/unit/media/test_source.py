"""What is written as a source, and what of it may be shown."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from icey.errors import SourceError
from icey.media.source import parse_source


@pytest.mark.parametrize(
    ("text", "kind", "live", "scheme", "public"),
    [
        ("demo:", "demo", True, "demo", "demo:"),
        ("/srv/films/a b.mp4", "file", False, "file", "a b.mp4"),
        ("film.mkv", "file", False, "file", "film.mkv"),
        ("file:///srv/a%20b.mp4", "file", False, "file", "a b.mp4"),
        ("/srv/two\nlines.mp4", "file", False, "file", "two\\nlines.mp4"),
        ("/srv/caf\udce9.mp4", "file", False, "file", "caf\\xe9.mp4"),
        ("file:///srv/a%0Ab%FF.mp4", "file", False, "file", "a\\nb\\xff.mp4"),
        ("/srv/\x1b[31mred\u202e.mp4", "file", False, "file", "\\x1b[31mred\\u202e.mp4"),
        ("/dev/video0\n", "file", False, "file", "video0\\n"),
        ("http://host/still.jpg", "url", False, "http", "http://host/…"),
        ("odd:name.mp4", "file", False, "file", "odd:name.mp4"),
        ("/dev/video0", "device", True, "v4l2", "v4l2:video0"),
        ("v4l2:/dev/video2", "device", True, "v4l2", "v4l2:video2"),
        ("/dev/v4l/by-id/usb-Cam_SN1-video-index0", "device", True, "v4l2", "v4l2:camera"),
        ("/dev/v4l/by-path/pci-0:14.0-usb-0:1:1.0", "device", True, "v4l2", "v4l2:camera"),
        ("/dev/v4l/by-id/a/b", "file", False, "file", "b"),
        ("avfoundation:0:none", "device", True, "avfoundation", "avfoundation:0:none"),
        ("dshow:video=Cam", "device", True, "dshow", "dshow:video=Cam"),
        ("rtsp://u:p@cam:554/a?token=1", "url", True, "rtsp", "rtsp://cam:554/a"),
        ("RTSPS://u@[fe80::1]/a", "url", True, "rtsps", "rtsps://[fe80::1]/a"),
        ("rtmp://host/app/key", "url", True, "rtmp", "rtmp://host/…"),
        ("srt://host:9000?passphrase=x", "url", True, "srt", "srt://host:9000"),
        ("udp://239.0.0.1:5000", "url", True, "udp", "udp://239.0.0.1:5000"),
        ("https://u:p@host/live.m3u8", "url", True, "https", "https://host/…"),
        ("rtsp://host/user@cam", "url", True, "rtsp", "rtsp://…"),
        ("http://host/film.MP4?sig=1", "url", False, "http", "http://host/…"),
    ],
)
def test_kinds(text, kind, live, scheme, public):
    """Each form is understood; its public form has no folder, user, query or serial number."""
    source = parse_source(text)
    assert (source.kind, source.live, source.scheme, source.public) == (kind, live, scheme, public)


@pytest.mark.parametrize(
    "text", ["", "  ", "demo:x", "ftp://host/a", "v4l2:", "a\0b", "rtsp://[x/"]
)
def test_refusals(text):
    """What is no source is refused, with a message that says so."""
    with pytest.raises(SourceError) as caught:
        parse_source(text)
    assert str(caught.value)


@pytest.mark.parametrize("text", ["rtsp://user:hunter2@[bad/x", "ftp://user:hunter2@h/x"])
def test_refusals_show_no_password(text):
    """A refused URL does not carry its password into the error."""
    with pytest.raises(SourceError) as caught:
        parse_source(text)
    assert "hunter2" not in f"{caught.value} {caught.value.source} {caught.value.detail}"


def test_location_is_the_name_itself():
    """FFmpeg is given the very bytes, however the name is shown."""
    assert os.fsencode(parse_source("file:///srv/a%0Ab%FF.mp4").location) == b"/srv/a\nb\xff.mp4"


def test_repr_and_scrub_hide_secrets():
    """Neither repr nor FFmpeg's words, once scrubbed, have the password or the folder."""
    url = parse_source("rtsp://user:hunter2@cam/live")
    assert "hunter2" not in repr(url)
    assert "hunter2" not in url.scrub(
        "failed: rtsp://user:hunter2@cam/live, rtsp://user:hunter2@b/"
    )
    camera = parse_source("/dev/v4l/by-id/usb-SN1")
    assert camera.scrub("/dev/v4l/by-id/usb-SN1: busy") == "v4l2:camera: busy"
    film = parse_source("/srv/secret/film.mp4")
    assert film.scrub("file:/srv/secret/film.mp4: No such file") == "film.mp4: No such file"


@given(st.text(max_size=80))
def test_any_text_is_a_source_or_refused(text):
    """No text crashes the parser, and an empty public form is never made."""
    try:
        source = parse_source(text)
    except SourceError:
        return
    assert source.public


@given(st.text("abcAB:@/.?#", max_size=12), st.text("abc:@/[]", max_size=12))
def test_passwords_never_show(user, rest):
    """Whatever surrounds it, the password of a URL is not in the public form."""
    try:
        shown = parse_source(f"rtsp://{user}:hunter2@{rest}").public
    except SourceError as error:
        shown = f"{error} {error.source} {error.detail}"
    assert "hunter2" not in shown


@pytest.mark.parametrize("scheme", ["rtmp", "srt", "http"])
def test_a_stream_key_is_in_no_error(scheme):
    """What FFmpeg says of a URL is told without its path, whole or in part."""
    source = parse_source(f"{scheme}://host/live/kEy-1234.flv?pass=wOrd-5678")
    for words in (source.location, "no stream kEy-1234.flv here", "/live/kEy-1234.flv: 404"):
        said = str(source.error(words))
        assert "kEy" not in said
        assert "wOrd" not in said
