"""Values in messages."""

import pytest

from icey.config.showing import printable, shown, without_credentials


@pytest.mark.parametrize(
    ("text", "public"),
    [
        ("rtsp://u:p@cam:554/s", "rtsp://cam:554/s"),
        ("rtsp://u@cam/s", "rtsp://cam/s"),
        ("rtsp://u:p@x@cam/s", "rtsp://cam/s"),
        ("see rtsp://u:p@a/ and http://v:q@b/", "see rtsp://a/ and http://b/"),
        ("http://host/path@x", "http://host/path@x"),
        ("mail@example.org", "mail@example.org"),
    ],
)
def test_credentials(text, public):
    """User and password of every URL are taken out, and nothing else."""
    assert without_credentials(text) == public


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a", '"a"'),
        ("rtsp://u:p@cam/", '"rtsp://cam/"'),
        (True, "true"),
        (None, "null"),
        (5, "5"),
        (2**300, "a very large integer"),
        (0.5, "0.5"),
        ([1], "a list"),
        ({}, "an object"),
    ],
)
def test_shown(value, text):
    """Scalars are shown as in JSON, others by their type alone."""
    assert shown(value) == text


def test_long_and_strange_names():
    """A name from outside stays one short line."""
    assert printable("a\nb\x1b[31m") == "a\\nb\\u001b[31m"
    assert len(printable("x" * 1000)) < 110
