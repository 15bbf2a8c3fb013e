"""The list of the user's own detectors, and the webhook, as the loader reads them."""

import json

import pytest

from icey.cli import _secrets
from icey.config.load import load
from icey.errors import ConfigError

KEY = "media.intelligence.detectors"


def write(folder, detectors, **others):
    content = {"media": {"intelligence": {"detectors": detectors, **others}}}
    (folder / "config.json").write_text(json.dumps(content))


def loaded(folder, detectors):
    write(folder, detectors)
    return load({}, {}, folder)


def test_all_members(tmp_path):
    """An entry says what to run, what to call it, with which options, and how often."""
    entry = {
        "use": "my_module:MyDetector",
        "name": "mine",
        "enabled": False,
        "options": {"a": [1, {"b": None}]},
        "everyNthFrame": 3,
        "minIntervalUsec": 0,
    }
    (read,) = loaded(tmp_path, [entry]).settings.media.intelligence.detectors
    assert (read.use, read.name, read.enabled) == ("my_module:MyDetector", "mine", False)
    assert read.options == {"a": [1, {"b": None}]}
    assert (read.every_nth_frame, read.min_interval_usec) == (3, 0)


def test_file_is_relative_to_the_config_file(tmp_path):
    """A detector in a file is looked for beside the config file, not in the working directory."""
    (read,) = loaded(tmp_path, [{"use": "mine/blob.py:Blob"}]).settings.media.intelligence.detectors
    assert read.use == f"{tmp_path}/mine/blob.py:Blob"


@pytest.mark.parametrize("use", ["colour-blob", "a:B", "a.b.c:D.E", "/x y/z.py:D"])
def test_ways_to_name_a_detector(tmp_path, use):
    """A module and class, a file and class, or the name of an installed detector."""
    (read,) = loaded(tmp_path, [{"use": use}]).settings.media.intelligence.detectors
    assert read.use == use


@pytest.mark.parametrize(
    ("entry", "key", "value", "allowed"),
    [
        ({}, f"{KEY}[0].use", "null", "module:Class"),
        ({"use": ""}, f"{KEY}[0].use", '""', "module:Class"),
        ({"use": "a:"}, f"{KEY}[0].use", '"a:"', "module:Class"),
        ({"use": "a/b:C"}, f"{KEY}[0].use", '"a/b:C"', "module:Class"),
        ({"use": "a:B; rm"}, f"{KEY}[0].use", '"a:B; rm"', "module:Class"),
        ({"use": "a:B\n"}, f"{KEY}[0].use", None, "module:Class"),
        ({"use": 5}, f"{KEY}[0].use", "5", "module:Class"),
        ({"use": "a:B", "everyNthFrame": 0}, f"{KEY}[0].everyNthFrame", "0", "from 1 to 10000"),
        ({"use": "a:B", "minIntervalUsec": -1}, f"{KEY}[0].minIntervalUsec", "-1", "60000000"),
        ({"use": "a:B", "options": [1]}, f"{KEY}[0].options", "a list", "an object"),
        ({"use": "a:B", "name": "a b"}, f"{KEY}[0].name", '"a b"', "at most 64"),
        ({"use": "a:B", "enabled": "no"}, f"{KEY}[0].enabled", '"no"', "true or false"),
        ("a:B", f"{KEY}[0]", '"a:B"', "a list of at most 16 objects"),
    ],
)
def test_wrong_entry(tmp_path, entry, key, value, allowed):
    """A wrong member of an entry is named with its place in the list, and what is allowed."""
    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path, [entry])
    error = caught.value
    assert (error.exit_code, error.key) == (3, key)
    assert error.value == value if value else error.value
    assert allowed in error.allowed
    assert f"'{key}' must be " in str(error)


@pytest.mark.parametrize("value", ["a:B", {"use": "a:B"}, [{"use": "a:B"}] * 17])
def test_wrong_list(tmp_path, value):
    """What is no list, or a longer one, is refused as a whole."""
    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path, value)
    assert caught.value.key == KEY


def test_unknown_member(tmp_path):
    """An unknown member changes nothing and is warned of, with the nearest known one."""
    read = loaded(tmp_path, [{"use": "a:B"}, {"use": "a:C", "everyNthFrames": 3}])
    assert read.settings.media.intelligence.detectors[1].every_nth_frame is None
    assert read.warnings == [
        f"config.json: unknown key '{KEY}[1].everyNthFrames', did you mean 'everyNthFrame'?"
    ]


@pytest.mark.parametrize(
    "url",
    ["example.org/x", "ftp://example.org/", "http://", "http://a b/", "https://h:99999/", 5],
)
def test_wrong_webhook(tmp_path, url):
    """A webhook is an http or https URL; a wrong one is refused without being shown."""
    write(tmp_path, [], webhook=url)
    with pytest.raises(ConfigError) as caught:
        load({}, {}, tmp_path)
    assert caught.value.key == "media.intelligence.webhook"
    assert "http" in caught.value.allowed
    assert not isinstance(url, str) or url not in str(caught.value)


def test_webhook_is_a_secret(tmp_path):
    """The URL of a webhook is struck out wherever the log would hold it."""
    url = "https://alice:wonder@[2001:db8::1]:8443/hook?key=k"
    write(tmp_path, [], webhook=url)
    settings = load({}, {}, tmp_path).settings
    assert url not in repr(settings)
    assert url in _secrets(settings)
