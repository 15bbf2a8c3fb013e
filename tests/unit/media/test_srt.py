"""What an SRT URL asks for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from icey.errors import SourceError
from icey.media.source import parse_source
from icey.media.srt import SrtAddress, parse_srt


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("srt://cam:9000", SrtAddress("cam", 9000)),
        ("srt://[fe80::1]:9000?latency=200000", SrtAddress("fe80::1", 9000, latency_ms=200)),
        ("srt://:9000", SrtAddress("", 9000, listen=True)),
        ("srt://0.0.0.0:9000?mode=listener", SrtAddress("0.0.0.0", 9000, listen=True)),
        (
            "srt://cam:9000?streamid=#!::r=live/a,m=request&passphrase=a%26b+longer&pbkeylen=32",
            SrtAddress(
                "cam",
                9000,
                stream_id="#!::r=live/a,m=request",
                passphrase="a&b longer",
                key_bytes=32,
            ),
        ),
        ("srt://cam:9000?pkt_size=1316&transtype=live", SrtAddress("cam", 9000)),
    ],
)
def test_options_have_ffmpegs_names_and_units(url, address):
    """Latency is in µs, a stream id may hold a #, and an empty host listens."""
    assert parse_srt(parse_source(url)) == address


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("srt://cam", "no port"),
        ("srt://cam:0", "no port"),
        ("srt://:9000?mode=caller", "no host"),
        ("srt://cam:9000?mode=rendezvous", "mode"),
        ("srt://cam:9000?latency=soon", "latency"),
        ("srt://cam:9000?latency=99000000", "latency"),
        ("srt://cam:9000?pbkeylen=17", "pbkeylen"),
        ("srt://cam:9000?transtype=file", "transtype"),
    ],
)
def test_what_cannot_be_is_refused_in_words(url, words):
    """A refusal names the option, and shows the URL without its query."""
    with pytest.raises(SourceError, match=words) as caught:
        parse_srt(parse_source(f"{url}{'&' if '?' in url else '?'}passphrase=hunter2hunter2"))
    assert "hunter2" not in f"{caught.value} {caught.value.source} {caught.value.detail}"


@given(st.text())
def test_any_text_is_understood_or_refused(text):
    """No URL raises anything but a `SourceError`."""
    try:
        address = parse_srt(parse_source(f"srt://cam:9000{text}"))
    except SourceError:
        return
    assert 0 < address.port < 65536


def test_repr_hides_the_passphrase():
    """The parsed address can be logged."""
    address = parse_srt(parse_source("srt://cam:9000?passphrase=hunter2hunter2"))
    assert "hunter2" not in repr(address)
