"""What the loader refuses, what it warns of, and how it says so."""

import json
from pathlib import Path
from typing import Any

import pytest

from icey.config.keys import keys
from icey.config.load import load
from icey.errors import ConfigError


def write(folder: Path, content: object, name: str = "config.json") -> Path:
    path = folder / name
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def nested(key: str, value: Any) -> dict:
    for name in reversed(key.split(".")):
        value = {name: value}
    return value


WRONG = [
    ("http.port", 65_536, "65536"),
    ("http.port", -1, "-1"),
    ("http.port", "4500", '"4500"'),
    ("http.port", 4500.5, "4500.5"),
    ("http.port", True, "true"),
    ("http.port", None, "null"),
    ("http.port", [1], "a list"),
    ("http.port", {"a": 1}, "an object"),
    ("http.port", 10**400, "a very large integer"),
    ("http.host", "", '""'),
    ("http.host", "two words", '"two words"'),
    ("http.host", "300.1.1.1", '"300.1.1.1"'),
    ("http.host", 5, "5"),
    ("tls.cert", 5, "5"),
    ("auth.allowedOrigins", "https://a", '"https://a"'),
    ("turn.enabled", "yes", '"yes"'),
    ("turn.enabled", 1, "1"),
    ("turn.realm", "", '""'),
    ("turn.realm", "r" * 128, None),
    ("turn.externalIp", "example.org", '"example.org"'),
    ("turn.credentialTtlSeconds", 0, "0"),
    ("turn.username", "a b", '"a b"'),
    ("turn.maxAllocations", 3, "3"),
    ("turn.userQuota", 20_000, "20000"),
    ("turn.maxBitrate", -1, "-1"),
    ("turn.relayPortMin", 1023, "1023"),
    ("turn.relayPortMax", 65_536, "65536"),
    ("media.mode", "broadcast", '"broadcast"'),
    ("media.mode", "STREAM", '"STREAM"'),
    ("media.source", 5, "5"),
    ("media.source", "rtsp://cam/a\nb", None),
    ("media.source", "x" * 4097, None),
    ("media.video.deinterlace", "maybe", '"maybe"'),
    ("media.loop", "true", '"true"'),
    ("media.recordDir", "", '""'),
    ("media.pipeline", "both", '"both"'),
    ("media.passthroughVideo", "always", '"always"'),
    ("media.rtspTransport", "http", '"http"'),
    ("media.video.codec", "vp8", '"vp8"'),
    ("media.video.width", 641, "641"),
    ("media.video.width", 30, "30"),
    ("media.video.height", 4000, "4000"),
    ("media.video.fps", 0, "0"),
    ("media.video.bitrate", 149_999, "149999"),
    ("media.audio.codec", "aac", '"aac"'),
    ("media.audio.channels", 3, "3"),
    ("media.audio.channels", True, "true"),
    ("media.audio.sampleRate", 44_100, "44100"),
    ("media.record.video", "reencode", '"reencode"'),
    ("media.record.video", True, "true"),
    ("media.record.audio", "mp3", '"mp3"'),
    ("media.record.syncIntervalMs", -1, "-1"),
    ("media.record.syncIntervalMs", 60_001, "60001"),
    ("media.record.segmentSeconds", 86_401, "86401"),
    ("media.record.segmentSeconds", 0.5, "0.5"),
    ("media.record.minFreeBytes", -1, "-1"),
    ("media.record.minFreeBytes", "512 MiB", '"512 MiB"'),
    ("media.record.minFreeBytes", 2**50 + 1, str(2**50 + 1)),
    ("media.record.maxAgeSeconds", 10**9 + 1, str(10**9 + 1)),
    ("media.record.maxTotalBytes", 2**60 + 1, str(2**60 + 1)),
    ("media.record.maxTotalBytes", False, "false"),
    ("media.intelligence.vision.everyNthFrame", 0, "0"),
    ("media.intelligence.vision.normalize.pixelFmt", "a/b", '"a/b"'),
    ("media.intelligence.vision.motion.threshold", 1.1, "1.1"),
    ("media.intelligence.speech.startThreshold", "0.1", '"0.1"'),
]


@pytest.mark.parametrize(("key", "value", "shown"), WRONG)
def test_wrong_value_in_a_file(tmp_path, key, value, shown):
    """A wrong type or a value out of range is refused: file, key, value and what is allowed."""
    path = write(tmp_path, nested(key, value))
    with pytest.raises(ConfigError) as caught:
        load({}, {}, tmp_path)
    error = caught.value
    assert (error.file, error.key) == (str(path), key)
    assert error.value == shown if shown else error.value
    known = next(k for k in keys().values() if k.name == key)
    assert error.allowed == known.allowed
    for words in (error.file, error.key, error.value, error.allowed):
        assert words in str(error)


def test_wrong_item_of_a_list(tmp_path):
    """A wrong item of a list is named by its place."""
    write(tmp_path, {"webrtc": {"additionalHosts": ["192.0.2.1", "here"]}})
    with pytest.raises(ConfigError) as caught:
        load({}, {}, tmp_path)
    assert (caught.value.key, caught.value.value) == ("webrtc.additionalHosts[1]", '"here"')


@pytest.mark.parametrize("origin", ["*", "null", "example.org", "https://a/b", "https://u@a"])
def test_wrong_origin(tmp_path, origin):
    """An origin is scheme, host and port; wildcards, paths and users are refused."""
    write(tmp_path, {"auth": {"allowedOrigins": [origin]}})
    with pytest.raises(ConfigError) as caught:
        load({}, {}, tmp_path)
    assert caught.value.key == "auth.allowedOrigins[0]"


@pytest.mark.parametrize("section", ["http", "media", "media.video", "auth"])
@pytest.mark.parametrize("value", ["text", 5, [1], True])
def test_section_that_is_no_object(tmp_path, section, value):
    """A group of settings that is no object is refused; its value, maybe a secret, is not shown."""
    write(tmp_path, nested(section, value))
    with pytest.raises(ConfigError) as caught:
        load({}, {}, tmp_path)
    assert (caught.value.key, caught.value.allowed) == (section, "an object")
    assert "'text'" not in str(caught.value)
    assert '"text"' not in str(caught.value)


def test_empty_yaml_section(tmp_path):
    """A YAML section whose lines are all comments counts as empty."""
    write(tmp_path, "http:\n  # port: 1\nturn:\n", "c.yaml")
    assert load({"config": "c.yaml"}, {}, tmp_path).settings.http.port == 4500


def test_every_fault_is_told(tmp_path):
    """All faults of a file are told at once, one a line; the attributes are those of the first."""
    write(tmp_path, {"http": {"port": -1}, "media": {"mode": "x", "video": {"fps": 0}}})
    with pytest.raises(ConfigError) as caught:
        load({}, {}, tmp_path)
    lines = str(caught.value).splitlines()
    assert [line.split("'")[1] for line in lines] == ["http.port", "media.mode", "media.video.fps"]
    assert caught.value.key == "http.port"


@pytest.mark.parametrize(
    ("flags", "environ", "place", "key"),
    [
        ({"http.port": "70000"}, {}, "flag --port", "http.port"),
        ({"http.port": "four"}, {}, "flag --port", "http.port"),
        ({"media.mode": "x"}, {}, "flag --mode", "media.mode"),
        ({"logLevel": "loud"}, {}, "flag --log-level", "logLevel"),
        ({}, {"ICEY_PORT": "tcp://10.0.0.1:4500"}, "environment ICEY_PORT", "http.port"),
        ({}, {"ICEY_MODE": "x"}, "environment ICEY_MODE", "media.mode"),
        ({}, {"ICEY_LOG_LEVEL": "warning"}, "environment ICEY_LOG_LEVEL", "logLevel"),
        (
            {},
            {"ICEY_TURN_EXTERNAL_IP": "x"},
            "environment ICEY_TURN_EXTERNAL_IP",
            "turn.externalIp",
        ),
    ],
)
def test_wrong_value_elsewhere(tmp_path, flags, environ, place, key):
    """A wrong value in a flag or variable names that flag or variable."""
    with pytest.raises(ConfigError) as caught:
        load(flags, environ, tmp_path)
    assert (caught.value.file, caught.value.key) == (place, key)


def test_wrong_value_that_is_overridden(tmp_path):
    """A wrong value is refused even where a later source hides it: it is a fault still."""
    write(tmp_path, {"http": {"port": -1}})
    with pytest.raises(ConfigError):
        load({"http.port": "8080"}, {}, tmp_path)


@pytest.mark.parametrize(
    ("content", "warning"),
    [
        ({"http": {"prot": 1}}, "config.json: unknown key 'http.prot', did you mean 'http.port'?"),
        ({"port": 1}, "config.json: unknown key 'port', did you mean 'http.port'?"),
        ({"midea": {"mode": 1}}, "config.json: unknown key 'midea', did you mean 'media'?"),
        (
            {"media": {"record_dir": "x"}},
            "config.json: unknown key 'media.record_dir', did you mean 'media.recordDir'?",
        ),
        ({"http.port": 1}, "config.json: unknown key 'http.port', did you mean 'http.port'?"),
        ({"xyzzy": 1}, "config.json: unknown key 'xyzzy'"),
        (
            {"logLevel": "debug"},
            "config.json: 'logLevel' cannot be set in a file; use --log-level or ICEY_LOG_LEVEL",
        ),
    ],
)
def test_unknown_key(tmp_path, content, warning):
    """An unknown key changes nothing and is warned of, with the nearest known key."""
    write(tmp_path, content)
    loaded = load({}, {}, tmp_path)
    assert loaded.warnings == [warning]
    assert loaded.settings == load({}, {}, tmp_path / "empty").settings.model_copy(
        update={"media": loaded.settings.media}
    )


def test_unknown_variable(tmp_path):
    """A misspelt variable is warned of; other programs' variables that begin alike are not."""
    environ = {"ICEY_AUTH_TOKN": "x", "ICEY_SERVICE_HOST": "10.0.0.1", "HOME": "/root"}
    assert load({}, environ, tmp_path).warnings == [
        "unknown environment variable ICEY_AUTH_TOKN, did you mean ICEY_AUTH_TOKEN?"
    ]


@pytest.mark.parametrize("seconds", [86_401, 10**12, 10**400])
def test_credential_life_is_clamped(tmp_path, seconds):
    """A credential life above a day is clamped to a day, with a warning."""
    write(tmp_path, {"turn": {"credentialTtlSeconds": seconds}})
    loaded = load({}, {}, tmp_path)
    assert loaded.settings.turn.credential_ttl_seconds == 86_400
    (warning,) = loaded.warnings
    assert "turn.credentialTtlSeconds" in warning
    assert "86400" in warning


def test_longest_credential_life(tmp_path):
    """A day exactly needs no clamping."""
    write(tmp_path, {"turn": {"credentialTtlSeconds": 86_400}})
    assert load({}, {}, tmp_path).warnings == []


@pytest.mark.parametrize(("given_key", "missing"), [("cert", "key"), ("key", "cert")])
def test_half_a_tls_pair(tmp_path, given_key, missing):
    """A certificate without a key, or a key without a certificate, is refused."""
    write(tmp_path, {"tls": {given_key: "x.pem"}})
    with pytest.raises(ConfigError) as caught:
        load({}, {}, tmp_path)
    assert caught.value.key == f"tls.{missing}"


def test_speech_thresholds_in_order(tmp_path):
    """Speech cannot stop at a higher level than it starts at."""
    speech = {"startThreshold": 0.1, "stopThreshold": 0.2}
    write(tmp_path, {"media": {"intelligence": {"speech": speech}}})
    with pytest.raises(ConfigError, match="stopThreshold") as caught:
        load({}, {}, tmp_path)
    assert "0.1" in caught.value.allowed


SECRET = "hunter2-hunter2"


@pytest.mark.parametrize(
    ("content", "flags", "environ"),
    [
        ({"auth": {"token": f"{SECRET} {SECRET}"}}, {}, {}),
        ({"auth": {"token": [SECRET]}}, {}, {}),
        ({"auth": {"token": {SECRET: SECRET}}}, {}, {}),
        ({"auth": SECRET}, {}, {}),
        ({"turn": {"secret": f"{SECRET}\n"}}, {}, {}),
        ({"turn": [SECRET]}, {}, {}),
        ({"media": {"source": f"rtsp://user:{SECRET}@cam/\n"}}, {}, {}),
        ({"media": {"mode": f"rtsp://user:{SECRET}@cam/"}}, {}, {}),
        ({}, {"media.source": f"rtsp://user:{SECRET}@cam/\n"}, {}),
        ({}, {}, {"ICEY_AUTH_TOKEN": f"{SECRET} x"}),
        ({}, {}, {"ICEY_TURN_SECRET": f"{SECRET}ü"}),
        (f'{{"auth": {{"token": "{SECRET}" oops}}}}', {}, {}),
    ],
)
def test_refusals_keep_secrets(tmp_path, content, flags, environ):
    """No refusal repeats a token, a secret or a URL's password, in message or attributes."""
    write(tmp_path, content)
    with pytest.raises(ConfigError) as caught:
        load(flags, environ, tmp_path)
    error = caught.value
    for text in (str(error), repr(error), error.key, error.value, error.allowed, error.file):
        assert SECRET not in text
    assert error.__cause__ is None
    assert error.__suppress_context__ or error.__context__ is None


def test_settings_hide_secrets(tmp_path):
    """The settings can be printed without giving a secret away."""
    loaded = load({}, {"ICEY_AUTH_TOKEN": SECRET, "ICEY_TURN_SECRET": SECRET}, tmp_path)
    assert SECRET not in repr(loaded)


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ('{"http": {"port": }}', "line 1, column 19"),
        ('{\n  "http": {\n    "port": 1,,\n  }\n}', "line 3, column 15"),
        ('{"a": NaN}', "line 1, column 7"),
        ('{"a": "NaN",\n "b": -Infinity}', "line 2, column 7"),
        ("", "line 1, column 1"),
        ("{'a': 1}", "line 1, column 2"),
    ],
)
def test_broken_json(tmp_path, text, where):
    """Broken JSON is refused with file, line and column."""
    path = write(tmp_path, text)
    with pytest.raises(ConfigError, match="not valid JSON") as caught:
        load({}, {}, tmp_path)
    assert caught.value.file == str(path)
    assert str(caught.value).startswith(f"{path}: {where}: ")


def test_turn_over_tls_needs_a_certificate(tmp_path):
    """`turn.tlsPort` without `tls.cert` is refused, with what to set; not where TURN is off."""
    write(tmp_path, {"turn": {"tlsPort": 5349}})
    with pytest.raises(ConfigError, match=r"set 'tls\.cert' and 'tls\.key'") as caught:
        load({}, {}, tmp_path)
    assert (caught.value.key, caught.value.value) == ("turn.tlsPort", "5349")
    assert load({"turn.enabled": False}, {}, tmp_path).settings.turn.tls_port == 5349
    both = {"ICEY_TLS_CERT": "c.pem", "ICEY_TLS_KEY": "k.pem"}
    assert load({}, both, tmp_path).settings.turn.tls_port == 5349


@pytest.mark.parametrize(
    "ports", [{"relayPortMin": 50_000, "relayPortMax": 49_999}, {"relayPortMax": 2000}]
)
def test_range_of_relayed_ports(tmp_path, ports):
    """A range whose end lies before its beginning is refused."""
    write(tmp_path, {"turn": ports})
    with pytest.raises(ConfigError, match="at least the relayPortMin of") as caught:
        load({}, {}, tmp_path)
    assert caught.value.key == "turn.relayPortMax"


def test_directory_as_file(tmp_path):
    """A folder in the file's place is refused, not skipped."""
    (tmp_path / "config.json").mkdir()
    with pytest.raises(ConfigError, match="cannot be read"):
        load({}, {}, tmp_path)


def test_toml_dates_are_refused(tmp_path):
    """A TOML or YAML value that JSON lacks is refused like any wrong type."""
    text = "[http]\nport = 2024-01-01\n"
    write(tmp_path, text, "c.toml")
    with pytest.raises(ConfigError) as caught:
        load({"config": "c.toml"}, {}, tmp_path)
    assert caught.value.value == "a date"
