"""Settings from files, environment and flags."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from icey.config.keys import keys
from icey.config.load import Loaded, load
from icey.errors import ConfigError


def write(folder: Path, content: object, name: str = "config.json") -> Path:
    path = folder / name
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    path.chmod(0o600)
    return path


def value_of(loaded: Loaded, key: str) -> object:
    """The value at a dotted key, secrets opened and paths as text."""
    value = loaded.settings.model_dump(by_alias=True)
    for name in key.split("."):
        value = value[name]
    if hasattr(value, "get_secret_value"):
        value = value.get_secret_value()
    if isinstance(value, Path):
        value = str(value)
    return list(value) if isinstance(value, tuple) else value


def nested(key: str, value: Any) -> dict:
    for name in reversed(key.split(".")):
        value = {name: value}
    return value


# The table of spec/config.md, written out again: key, default, environment, flag, and values.
# "{cwd}" stands for the working directory.
TABLE = [
    # key, default, environment, flag, text, value
    ("http.host", "0.0.0.0", "ICEY_HOST", "http.host", "127.0.0.1", "127.0.0.1"),
    ("http.port", 4500, "ICEY_PORT", "http.port", "8080", 8080),
    ("auth.token", "", "ICEY_AUTH_TOKEN", None, "s3cret-token-0123", "s3cret-token-0123"),
    ("turn.enabled", True, "ICEY_TURN", "turn.enabled", "no", False),
    ("turn.port", 3478, "ICEY_TURN_PORT", "turn.port", "3479", 3479),
    ("turn.externalIp", "", "ICEY_TURN_EXTERNAL_IP", "turn.externalIp", "192.0.2.7", "192.0.2.7"),
    ("turn.secret", "", "ICEY_TURN_SECRET", None, "t0p", "t0p"),
    ("media.mode", "stream", "ICEY_MODE", "media.mode", "relay", "relay"),
    ("media.source", "", "ICEY_SOURCE", "media.source", "demo:", "demo:"),
    ("media.loop", True, "ICEY_LOOP", "media.loop", "off", False),
    (
        "media.recordDir",
        "{cwd}/recordings",
        "ICEY_RECORD_DIR",
        "media.recordDir",
        "films",
        "{cwd}/films",
    ),
    ("webRoot", None, "ICEY_WEB_ROOT", "webRoot", "ui", "{cwd}/ui"),
    ("logLevel", "info", "ICEY_LOG_LEVEL", "logLevel", "trace", "trace"),
]

# Rows with neither variable nor flag, and those below the table: key, default, another value.
FILE_ONLY = [
    ("auth.allowedOrigins", [], ["https://a.example"]),
    ("turn.realm", "icey", "example.org"),
    ("turn.username", "", "suffix"),
    ("turn.credentialTtlSeconds", 3600, 60),
    ("turn.allowInternetRelay", False, True),
    ("turn.allowLocalRelay", False, True),
    ("turn.maxAllocations", 4096, 4),
    ("turn.userQuota", 8, 16_384),
    ("turn.addressQuota", 128, 0),
    ("turn.maxBitrate", 20_000_000, 0),
    ("http.hosts", [], ["cam.example.org", "*.example.net"]),
    ("http.trustedProxies", [], ["127.0.0.1", "10.0.0.0/8"]),
    ("limits.connections", 4096, 100),
    ("limits.connectionsPerAddress", 1024, 0),
    ("limits.requestsPerAddress", 100, 1000),
    ("limits.sockets", 2048, 0),
    ("limits.socketsPerAddress", 512, 10),
    ("limits.eventReaders", 64, 10),
    ("limits.eventReadersPerAddress", 16, 0),
    ("limits.roomPeers", 500, 0),
    ("limits.senderBytes", 262_144, 0),
    ("limits.receiverBytes", 32_768, 1_000_000),
    ("turn.relayPortMin", 49_152, 1024),
    ("turn.relayPortMax", 65_535, 49_152),
    ("webrtc.port", 4501, 5000),
    ("webrtc.additionalHosts", [], ["192.0.2.1", "2001:db8::1"]),
    ("media.pipeline", "auto", "shared"),
    ("media.fileMode", "0640", "0660"),
    ("media.passthroughVideo", False, "auto"),
    ("media.passthroughVideo", False, True),
    ("media.rtspTransport", "auto", "udp"),
    ("media.video.codec", "h264", "h264"),
    ("media.video.width", 1280, 640),
    ("media.video.height", 720, 360),
    ("media.video.fps", 30, 25),
    ("media.video.deinterlace", "auto", "off"),
    ("media.video.bitrate", 2_000_000, 500_000),
    ("media.audio.codec", "libopus", "libopus"),
    ("media.audio.channels", 2, 1),
    ("media.audio.sampleRate", 48_000, 24_000),
    ("media.audio.bitrate", 128_000, 64_000),
    ("media.record.video", "copy", "transcode"),
    ("media.record.audio", "opus", "aac"),
    ("media.record.syncIntervalMs", 1000, 0),
    ("media.record.segmentSeconds", 0, 600),
    ("media.record.minFreeBytes", 2**29, 0),
    ("media.record.maxAgeSeconds", 0, 86_400),
    ("media.record.maxTotalBytes", 0, 10**9),
    ("media.relay.maxViewers", 0, 200),
    ("media.relay.maxBitrate", 0, 4_000_000),
    ("media.relay.simulcast", True, False),
    ("media.relay.returnSeconds", 10, 0),
    ("media.maxEncoders", "auto", 8),
    ("media.maxEncoders", "auto", 0),
    ("limits.calls", 1024, 0),
    ("limits.callsPerAddress", 128, 10),
    ("limits.unconnectedCalls", 256, 0),
    ("limits.unconnectedCallsPerAddress", 64, 1),
    ("limits.encodersPerAddress", 0, 4),
    ("limits.recordings", 64, 0),
    ("limits.recordingsPerAddress", 32, 1),
    ("limits.recordingBytes", 2**36, 0),
    ("limits.recordingSeconds", 86_400, 0),
    ("limits.recordingBitrate", 20_000_000, 0),
    ("media.intelligence.vision.enabled", False, True),
    ("media.intelligence.vision.everyNthFrame", 6, 1),
    ("media.intelligence.vision.minIntervalUsec", 200_000, 0),
    ("media.intelligence.vision.queueDepth", 8, 1),
    ("media.intelligence.vision.normalize.width", 0, 320),
    ("media.intelligence.vision.normalize.height", 0, 180),
    ("media.intelligence.vision.normalize.pixelFmt", "", "gray"),
    ("media.intelligence.vision.snapshots.enabled", False, True),
    ("media.intelligence.vision.snapshots.minIntervalUsec", 1_000_000, 5),
    ("media.intelligence.vision.clips.enabled", False, True),
    ("media.intelligence.vision.clips.preRollUsec", 1_000_000, 0),
    ("media.intelligence.vision.clips.postRollUsec", 3_000_000, 0),
    ("media.intelligence.vision.motion.gridWidth", 32, 8),
    ("media.intelligence.vision.motion.gridHeight", 18, 8),
    ("media.intelligence.vision.motion.warmupFrames", 2, 0),
    ("media.intelligence.vision.motion.threshold", 0.08, 0.5),
    ("media.intelligence.vision.motion.cooldownUsec", 500_000, 0),
    ("media.intelligence.vision.motion.ignoreGlobalChange", True, False),
    ("media.intelligence.vision.motion.smallObjects", True, False),
    ("media.intelligence.speech.enabled", False, True),
    ("media.intelligence.speech.queueDepth", 32, 4),
    ("media.intelligence.speech.startThreshold", 0.045, 0.1),
    ("media.intelligence.speech.stopThreshold", 0.02, 0.01),
    ("media.intelligence.speech.minSilenceUsec", 250_000, 0),
    ("media.intelligence.speech.updateIntervalUsec", 250_000, 0),
]


def in_folder(value: object, folder: Path) -> object:
    return value.replace("{cwd}", str(folder)) if isinstance(value, str) else value


@pytest.mark.parametrize(("key", "default"), [row[:2] for row in TABLE + FILE_ONLY])
def test_default(tmp_path, key, default):
    """With no file, variable or flag each setting has the default of the specification."""
    assert value_of(load({}, {}, tmp_path), key) == in_folder(default, tmp_path)


@pytest.mark.parametrize(("key", "text", "value"), [(r[0], *r[4:]) for r in TABLE])
def test_environment_variable(tmp_path, key, text, value):
    """Each variable of the specification sets its setting."""
    variable = next(row[2] for row in TABLE if row[0] == key)
    assert value_of(load({}, {variable: text}, tmp_path), key) == in_folder(value, tmp_path)


@pytest.mark.parametrize(("key", "text", "value"), [(r[0], *r[4:]) for r in TABLE if r[3]])
def test_flag(tmp_path, key, text, value):
    """Each flag of the specification sets its setting."""
    loaded = load({key: text}, {}, tmp_path)
    assert value_of(loaded, key) == in_folder(value, tmp_path)


@pytest.mark.parametrize(
    ("key", "value"),
    [(row[0], row[5]) for row in TABLE if row[0] != "logLevel"]
    + [(row[0], row[2]) for row in FILE_ONLY],
)
def test_file(tmp_path, key, value):
    """Each key of the specification sets its setting from a file, and gives no warning."""
    write(tmp_path, nested(key, in_folder(value, tmp_path)))
    loaded = load({}, {}, tmp_path)
    assert value_of(loaded, key) == in_folder(value, tmp_path)
    assert loaded.warnings == []
    assert loaded.exists


@pytest.mark.parametrize(
    ("content", "held"),
    [
        ({"auth": {"token": "s3cret-token-of-16"}}, "auth.token"),
        ({"media": {"source": "rtsp://u:hunter22@cam/1"}}, "media.source"),
        ({"media": {"source": "rtmp://host/app/key-123"}}, "media.source"),
        ({"media": {"source": "rtsp://cam/1"}}, ""),
    ],
)
def test_a_file_with_secrets_that_others_may_read(tmp_path, content, held):
    """It draws a warning with what it holds and what to do, and without the secret."""
    path = write(tmp_path, content)
    path.chmod(0o644)
    warnings = load({}, {}, tmp_path).warnings
    wanted = f"config.json: holds {held}, and others may read it: chmod 600 config.json"
    assert warnings == ([wanted] if held else [])


def test_the_tables_here_name_every_setting():
    """No setting of the model escapes the tests above."""
    elsewhere = {
        "tls.cert",
        "tls.key",
        "turn.tlsPort",
        "media.intelligence.vision.snapshots.dir",
        "media.intelligence.vision.clips.dir",
        # in test_load_detectors.py
        "media.intelligence.detectors",
        "media.intelligence.webhook",
    }
    assert {row[0] for row in TABLE + FILE_ONLY} | elsewhere == {k.name for k in keys().values()}


def test_tls_pair_from_each_source(tmp_path):
    """Certificate and key come from file, variables or flags, and may come from different ones."""
    write(tmp_path, {"tls": {"cert": "a.pem", "key": "a.key"}})
    assert load({}, {}, tmp_path).settings.tls.cert == tmp_path / "a.pem"
    loaded = load({"tls.cert": "b.pem"}, {"ICEY_TLS_KEY": "b.key"}, tmp_path)
    assert loaded.settings.tls.cert == tmp_path / "b.pem"
    assert loaded.settings.tls.key == tmp_path / "b.key"
    assert loaded.settings.tls_active


def test_precedence(tmp_path):
    """A file beats defaults, a variable beats the file, a flag beats the variable."""
    write(tmp_path, {"http": {"port": 1001}})
    assert load({}, {}, tmp_path).settings.http.port == 1001
    assert load({}, {"ICEY_PORT": "1002"}, tmp_path).settings.http.port == 1002
    loaded = load({"http.port": "1003"}, {"ICEY_PORT": "1002"}, tmp_path)
    assert loaded.settings.http.port == 1003


def test_empty_variable_is_not_given(tmp_path):
    """An empty variable leaves the file's value: it cannot open a server by accident."""
    write(tmp_path, {"auth": {"token": "abcdef"}})
    loaded = load({}, {"ICEY_AUTH_TOKEN": "", "ICEY_PORT": "", "ICEY_CONFIG": ""}, tmp_path)
    assert loaded.settings.auth.token.get_secret_value() == "abcdef"
    assert loaded.settings.http.port == 4500


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *[(word, True) for word in ("true", "1", "yes", "on", "TRUE", "On")],
        *[(word, False) for word in ("false", "0", "no", "off", "FALSE", "Off")],
    ],
)
def test_boolean_in_the_environment(tmp_path, text, value):
    """Booleans in variables are the usual words, in any case."""
    assert load({}, {"ICEY_LOOP": text}, tmp_path).settings.media.loop is value


@pytest.mark.parametrize("text", ["maybe", "2", "tru", " true"])
def test_other_boolean_in_the_environment(tmp_path, text):
    """Any other word for a boolean is refused, naming those that are allowed."""
    with pytest.raises(ConfigError) as caught:
        load({}, {"ICEY_LOOP": text}, tmp_path)
    assert caught.value.file == "environment ICEY_LOOP"
    assert caught.value.allowed == "one of true, 1, yes, on, false, 0, no, off"


FORMATS = [
    ("config.json", json.dumps),
    ("config.JSON", json.dumps),
    ("config.conf", json.dumps),
    ("config.yaml", yaml.safe_dump),
    ("config.yml", yaml.safe_dump),
    (
        "config.toml",
        lambda _: (
            '[http]\nport = 8001\n[media.video]\nfps = 25\n[webrtc]\nadditionalHosts=["::1"]\n'
        ),
    ),
]


@pytest.mark.parametrize(("name", "dump"), FORMATS)
def test_formats(tmp_path, name, dump):
    """JSON, YAML and TOML hold the same keys; a name of no known ending is JSON."""
    content = {
        "http": {"port": 8001},
        "media": {"video": {"fps": 25}},
        "webrtc": {"additionalHosts": ["::1"]},
    }
    write(tmp_path, dump(content), name)
    loaded = load({"config": name}, {}, tmp_path)
    assert loaded.path == tmp_path / name
    assert loaded.settings.http.port == 8001
    assert loaded.settings.media.video.fps == 25
    assert loaded.settings.webrtc.additional_hosts == ("::1",)
    assert loaded.warnings == []


def test_config_file_from_the_environment(tmp_path):
    """ICEY_CONFIG names the file, and --config wins over it."""
    write(tmp_path, {"http": {"port": 1}}, "a.json")
    write(tmp_path, {"http": {"port": 2}}, "b.json")
    assert load({}, {"ICEY_CONFIG": "a.json"}, tmp_path).settings.http.port == 1
    loaded = load({"config": "b.json"}, {"ICEY_CONFIG": "a.json"}, tmp_path)
    assert loaded.settings.http.port == 2


def test_missing_default_file(tmp_path):
    """Without --config a missing config.json is no error, and its place is told."""
    loaded = load({}, {}, tmp_path)
    assert (loaded.path, loaded.exists) == (tmp_path / "config.json", False)


@pytest.mark.parametrize(
    ("flags", "environ", "who"),
    [
        ({"config": "no.json"}, {}, "flag --config"),
        ({}, {"ICEY_CONFIG": "no.json"}, "environment ICEY_CONFIG"),
    ],
)
def test_missing_named_file(tmp_path, flags, environ, who):
    """A named file that is missing is an error that says who named it."""
    with pytest.raises(ConfigError, match="no such file") as caught:
        load(flags, environ, tmp_path)
    assert caught.value.file == str(tmp_path / "no.json")
    assert who in str(caught.value)


def test_relative_paths(tmp_path):
    """Paths in a file are relative to the file; in variables and flags to the working directory."""
    folder, cwd = tmp_path / "etc", tmp_path / "cwd"
    folder.mkdir()
    cwd.mkdir()
    content = {
        "tls": {"cert": "c.pem", "key": "c.key"},
        "media": {
            "source": "film.mp4",
            "recordDir": "out",
            "intelligence": {
                "vision": {"snapshots": {"dir": "stills"}, "clips": {"dir": "/var/clips"}}
            },
        },
        "webRoot": "ui",
    }
    write(folder, content, "c.json")
    loaded = load({"config": str(folder / "c.json")}, {}, cwd).settings
    assert loaded.tls.cert == folder / "c.pem"
    assert loaded.media.source == str(folder / "film.mp4")
    assert loaded.media.record_dir == folder / "out"
    assert loaded.snapshots_dir == folder / "stills"
    assert loaded.clips_dir == Path("/var/clips")
    assert loaded.web_root == folder / "ui"
    flags = {"config": "../etc/c.json", "media.source": "other.mp4"}
    loaded = load(flags, {"ICEY_WEB_ROOT": "page"}, cwd).settings
    assert loaded.media.source == str(cwd / "other.mp4")
    assert loaded.web_root == cwd / "page"


@pytest.mark.parametrize("source", ["/srv/two\nlines.mp4", "/srv/caf\udce9.mp4", "file:///a%0Ab"])
def test_a_file_may_have_any_name(source, tmp_path):
    """A name may hold line feeds and bytes that are no UTF-8 (PEP 383)."""
    write(tmp_path, {"media": {"source": source}})
    assert load({}, {}, tmp_path).settings.media.source == source
    assert load({"media.source": source}, {}, tmp_path).settings.media.source == source
    assert load({}, {"ICEY_SOURCE": source}, tmp_path).settings.media.source == source


@pytest.mark.parametrize(
    ("text", "word"), [("on", "on"), ("off", "off"), ("auto", "auto"), ("'on'", "on")]
)
def test_yaml_may_say_on(text, word, tmp_path):
    """A bare ``on`` in YAML is a boolean, and is understood."""
    path = write(tmp_path, f"media: {{video: {{deinterlace: {text}}}}}", "c.yaml")
    loaded = load({"config": str(path)}, {}, tmp_path)
    assert loaded.settings.media.video.deinterlace == word


@pytest.mark.parametrize(
    "source",
    [
        "demo:",
        "/dev/video0",
        "v4l2:/dev/video0",
        "avfoundation:0:none",
        "dshow:video=Cam",
        "rtsp://cam/s",
        "rtsps://cam/s",
        "rtmp://h/a",
        "rtmps://h/a",
        "srt://h:9000",
        "http://h/f.mp4",
        "https://h/f.mp4",
        "udp://239.0.0.1:5000",
    ],
)
def test_sources_that_are_no_paths(tmp_path, source):
    """A device or URL is not taken for a relative path, in a file or in a flag."""
    write(tmp_path, {"media": {"source": source}})
    assert load({}, {}, tmp_path).settings.media.source == source
    assert load({"media.source": source}, {}, tmp_path).settings.media.source == source


def test_default_folders_follow_record_dir(tmp_path):
    """Snapshots and clips lie in recordDir unless they have a folder of their own."""
    loaded = load({"media.recordDir": "r"}, {}, tmp_path).settings
    assert loaded.snapshots_dir == tmp_path / "r" / "snapshots"
    assert loaded.clips_dir == tmp_path / "r" / "clips"
