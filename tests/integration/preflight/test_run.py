"""The whole report."""

import json
import threading

import pytest

from icey.config.exposure import exposure
from icey.config.load import Loaded, load
from icey.config.model import HttpSettings, MediaSettings, Settings, TurnSettings, WebrtcSettings
from icey.errors import ConfigError, PreflightError
from icey.preflight import run
from icey.preflight.finding import passed
from icey.preflight.running import Running

CHECKS = [
    "config",
    "openssl",
    "ffmpeg",
    "web_root",
    "ports",
    "source",
    "record_dir",
    "tls",
    "turn",
    "intelligence",
]
SHAPE = {
    "product": str,
    "service": str,
    "mode": str,
    "status": str,
    "ready": bool,
    "source": {"value": str, "kind": str, "remote": bool},
    "http": {"host": str, "port": int, "scheme": str, "tls": bool},
    "turn": {"enabled": bool, "port": int, "externalIp": str, "localRelay": bool},
    "tls": {"configured": bool, "enabled": bool, "certFile": str},
    "web": {"root": str},
    "config": {"path": str, "exists": bool, "valid": bool},
    "checks": list,
    "warnings": list,
}


def shape(value):
    return {k: shape(v) for k, v in value.items()} if isinstance(value, dict) else type(value)


def settings(**media):
    return Settings(
        http=HttpSettings(host="127.0.0.1", port=0),
        webrtc=WebrtcSettings(port=0),
        turn=TurnSettings(enabled=False),
        media=MediaSettings(**{"source": "demo:", **media}),
    )


@pytest.mark.parametrize("public", [True, False])
def test_shape(tmp_path, public):
    """The report has the keys of the specification, in its order, and so have the checks."""
    loaded = Loaded(settings(), path=tmp_path / "config.json")
    report = run.run_preflight(loaded).to_json(public=public)
    assert shape(report) == SHAPE
    assert list(report) == list(SHAPE)
    assert [check["name"] for check in report["checks"]] == CHECKS
    assert all(list(check) == ["name", "result", "detail"] for check in report["checks"])
    assert json.loads(json.dumps(report)) == report


def test_ready():
    """With all checks passed the report is ready and ok."""
    report = run.run_preflight(Loaded(settings()))
    assert (report.ready, report.status, report.warnings()) == (True, "ok", [])
    report.raise_unless_ready()


def test_warning_degrades():
    """A check that warns leaves the server ready, and the status degraded."""
    loaded = Loaded(settings(), warnings=["unknown key 'htpp'"])
    report = run.run_preflight(loaded)
    assert (report.ready, report.status) == (True, "degraded")
    assert len(report.warnings()) == 1


def test_failure():
    """A check that fails makes the report not ready; the error names it and what to do."""
    report = run.run_preflight(Loaded(settings(source="")))
    assert (report.ready, report.status, report.failures) == (False, "error", ["source"])
    with pytest.raises(PreflightError, match="source: no source is set: give") as caught:
        report.raise_unless_ready()
    assert caught.value.checks == ("source",)
    assert caught.value.exit_code == 4


def test_warnings_of_the_configuration(tmp_path):
    """What the loader warned of is told once, and the check `config` warns."""
    (tmp_path / "config.json").write_text('{"http": {"prot": 1}}')
    loaded = load({"turn.enabled": False, "media.source": "demo:"}, {}, tmp_path)
    report = run.run_preflight(loaded)
    config = report.checks()[0]
    assert (config["name"], config["result"]) == ("config", "warn")
    assert "http.prot" in config["detail"]
    assert report.warnings() == [*loaded.warnings, exposure(loaded.settings)]


def test_nothing_public_is_absolute(tmp_path):
    """What the API serves holds no absolute path of the server, whatever fails."""
    (tmp_path / "config.json").write_text('{"nonsense": 1}')
    flags = {
        "media.source": "film.mp4",
        "tls.cert": "cert.pem",
        "tls.key": "key.pem",
        "webRoot": "page",
        "media.recordDir": "out",
    }
    report = run.run_preflight(load(flags, {}, tmp_path))
    public, private = (json.dumps(report.to_json(public=p)) for p in (True, False))
    assert str(tmp_path) not in public
    assert str(tmp_path) not in json.dumps([report.checks(), report.warnings()])
    assert private.count(str(tmp_path)) >= 5
    assert report.to_json()["tls"] == {"configured": True, "enabled": False, "certFile": "cert.pem"}
    assert report.to_json()["config"]["path"] == "config.json"


def test_nothing_holds_a_secret(tmp_path):
    """No form of the report holds a token, a secret or a URL's password."""
    environ = {
        "ICEY_AUTH_TOKEN": "hunter2-token",
        "ICEY_TURN_SECRET": "hunter2-turn",
        "ICEY_SOURCE": "rtsp://user:hunter2@127.0.0.1:9/",
    }
    report = run.run_preflight(load({}, environ, tmp_path))
    assert "hunter2" not in repr([report.to_json(public=True), report.to_json(public=False)])


def test_refused_configuration(tmp_path):
    """A refused configuration fails `config`; what needs no setting is checked nevertheless."""
    path = tmp_path / "config.json"
    path.write_text("{")
    with pytest.raises(ConfigError) as caught:
        load({}, {}, tmp_path)
    report = run.run_without_settings(caught.value, path)
    body = report.to_json()
    assert list(body["config"]) == ["path", "exists", "valid", "error"]
    assert (body["config"]["valid"], body["config"]["exists"]) == (False, True)
    assert body["config"]["error"].startswith("config.json: line 1, column 2")
    assert [check["name"] for check in body["checks"]] == CHECKS
    results = {check["name"]: check["result"] for check in body["checks"]}
    assert [name for name, result in results.items() if result == "fail"] == ["config"]
    assert (results["openssl"], results["ffmpeg"]) == ("pass", "pass")
    assert str(tmp_path) not in json.dumps(body)
    assert str(path) in report.to_json(public=False)["config"]["error"]


def test_port_of_a_running_server():
    """The report of a running server has the port that it really listens on."""
    report = run.run_preflight(Loaded(settings()), running=Running(http_port=4567))
    assert report.to_json()["http"]["port"] == 4567


def test_check_that_breaks(monkeypatch, caplog):
    """A fault in a check fails that check, is logged, and spoils no other one."""

    def break_down(*_):
        raise RuntimeError("oh")

    monkeypatch.setitem(run.CHECKS, "turn", break_down)
    report = run.run_preflight(Loaded(settings()))
    assert report.failures == ["turn"]
    assert "RuntimeError" in caplog.text


def test_checks_run_side_by_side(monkeypatch):
    """Checks that wait do not wait for one another."""
    meeting = threading.Barrier(2)

    def meet(*_):
        meeting.wait(timeout=10)
        return passed("met")

    monkeypatch.setitem(run.CHECKS, "source", meet)
    monkeypatch.setitem(run.CHECKS, "ports", meet)
    assert run.run_preflight(Loaded(settings())).ready
