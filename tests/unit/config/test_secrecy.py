"""Secrets in URLs of sources, and in files that others may read."""

import pytest

from icey.config.secrecy import open_to_others, secrets_of_url


@pytest.mark.parametrize(
    ("url", "secrets"),
    [
        ("rtsp://admin:hunter22@cam/live", {"admin:hunter22", "admin", "hunter22"}),
        ("rtmp://live.example/app/kEy-1234", {"/app/kEy-1234", "kEy-1234"}),
        ("https://cdn.example/hls/s3cret/index.m3u8", {"/hls/s3cret/index.m3u8", "index.m3u8"}),
        ("srt://host:9000?streamid=abcdef&x=1", {"streamid=abcdef&x=1", "abcdef"}),
        ("http://host/", set()),
        ("film.mp4", set()),
        ("demo:", set()),
        ("rtsp://[broken", set()),
    ],
)
def test_secrets_of_a_url(url, secrets):
    """User, password, query, and where it may be a stream key the path; a camera's path is none."""
    assert set(secrets_of_url(url)) == secrets


@pytest.mark.parametrize(
    ("mode", "words"),
    [
        (0o600, ""),
        (0o640, ""),
        (0o644, "others may read it"),
        (0o660, "others may write it"),
        (0o666, "others may read and write it"),
    ],
)
def test_who_else_may_open_a_file(tmp_path, mode, words):
    """Reading by the group is no fault; the rest is told."""
    path = tmp_path / "config.json"
    path.touch()
    path.chmod(mode)
    assert open_to_others(path) == words
