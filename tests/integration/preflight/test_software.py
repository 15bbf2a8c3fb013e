"""The libraries, really used."""

import ssl
from types import SimpleNamespace

import av
import pytest

from icey.preflight.finding import render
from icey.preflight.software import check_ffmpeg, check_openssl


def test_openssl():
    """This Python's OpenSSL passes, with its version."""
    finding = check_openssl()
    assert (finding.result, finding.detail) == ("pass", (ssl.OPENSSL_VERSION,))


def test_openssl_without_sha1(monkeypatch):
    """An OpenSSL that refuses HMAC-SHA1, as FIPS ones may, fails and says what to do."""

    def refuse(*_):
        raise ValueError("unsupported hash type sha1")

    monkeypatch.setattr("hmac.digest", refuse)
    finding = check_openssl()
    assert finding.result == "fail"
    assert "FIPS" in render(finding.detail, public=True)


def test_ffmpeg():
    """Both encoders give packets, and are named with FFmpeg's version."""
    finding = check_ffmpeg()
    assert finding.result == "pass"
    detail = render(finding.detail, public=True)
    assert detail == f"FFmpeg {av.ffmpeg_version_info} with libx264, libopus"


@pytest.mark.parametrize("lacking", ["libx264", "libopus"])
def test_ffmpeg_without_an_encoder(monkeypatch, lacking):
    """An FFmpeg that lacks an encoder fails, names it, and says what to do."""
    real = av.CodecContext.create

    def create(name, mode):
        return real("no_such_encoder" if name == lacking else name, mode)

    monkeypatch.setattr(av, "CodecContext", SimpleNamespace(create=create))
    finding = check_ffmpeg()
    assert finding.result == "fail"
    detail = render(finding.detail, public=True)
    assert f"cannot encode with {lacking}" in detail
    assert "pip install" in detail
