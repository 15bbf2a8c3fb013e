"""Names of settings outside the config file."""

from pathlib import Path

import pytest

from icey.config.bindings import read_text
from icey.config.keys import bound, keys

BASE = Path("/base")


def test_each_name_is_of_one_setting():
    """No two settings share a variable or a flag."""
    names = [name for _, b in bound() for name in (b.environment, b.flag, b.off_flag) if name]
    assert len(names) == len(set(names))


def test_secrets_have_no_flag():
    """A command line is visible to every user of a machine."""
    assert [key.name for key, binding in bound() if key.secret and binding.flag] == []


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("http.port", "080", 80),
        ("http.port", "-1", -1),
        ("http.port", "4500.0", "4500.0"),
        ("http.port", "٤٥", "٤٥"),
        ("http.port", "9" * 31, "9" * 31),
        ("media.loop", "YES", True),
        ("media.loop", "ja", "ja"),
        ("media.mode", "1", "1"),
        ("auth.token", "1234", "1234"),
        ("media.recordDir", "a", BASE / "a"),
        ("media.recordDir", "/a", Path("/a")),
        ("media.recordDir", "", ""),
        ("tls.cert", "", None),
        ("media.source", "", ""),
        ("media.source", "a.mp4", "/base/a.mp4"),
        ("media.source", "Part 1: begin.mp4", "/base/Part 1: begin.mp4"),
        ("media.source", "RTSP://cam/x", "RTSP://cam/x"),
    ],
)
def test_texts(name, text, value):
    """A text becomes what a file would hold, or stays a text for the model to refuse."""
    assert read_text(keys()[tuple(name.split("."))], text, BASE) == value
