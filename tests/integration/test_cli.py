"""The command itself, as a process of its own."""

import json
import logging
import os
import pty
import re
import selectors
import signal
import socket
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

import pytest

from icey import cli
from icey.config.model import TRACE
from icey.errors import EngineError, UsageError

COMMAND = [sys.executable, "-m", "icey"]
FREE = ["--host", "127.0.0.1", "--port", "0"]
READY_WITHIN_S = 30.0


@pytest.fixture
def environ():
    """The environment of the tests without any ICEY_ variable."""
    return {name: text for name, text in os.environ.items() if not name.startswith("ICEY_")}


@pytest.fixture
def icey(tmp_path, environ):
    """Run the command in an empty folder to its end."""
    # A free port for the media of each run; the HTTP port is a flag of the tests.
    (tmp_path / "free.json").write_text('{"webrtc": {"port": 0}, "turn": {"port": 0}}')

    def run(*arguments, **variables):
        return subprocess.run(
            [*COMMAND, *map(str, arguments)],
            cwd=tmp_path,
            env=environ | {"ICEY_CONFIG": "free.json"} | variables,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


@pytest.fixture
def serving(tmp_path, environ):
    """Start the command, wait until it is ready, and kill what is left of it afterwards."""
    (tmp_path / "free.json").write_text('{"webrtc": {"port": 0}, "turn": {"port": 0}}')
    started = []

    def start(*arguments):
        process = subprocess.Popen(
            [*COMMAND, "--config", "free.json", *FREE, *arguments],
            cwd=tmp_path,
            env=environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        started.append(process)
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            assert selector.select(READY_WITHIN_S), "not ready in time"
        return process, process.stdout.readline().decode()

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


def test_version(icey):
    """--version tells the version of the package, and nothing else."""
    done = icey("--version")
    assert (done.returncode, done.stdout) == (0, f"icey-server {version('icey')}\n")


@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help(icey, flag):
    """The help names every flag of the specification."""
    done = icey(flag)
    assert done.returncode == 0
    for name in [
        "--config",
        "--host",
        "--port",
        "--tls-cert",
        "--tls-key",
        "--no-turn",
        "--turn-port",
        "--turn-external-ip",
        "--mode",
        "--source",
        "--loop",
        "--no-loop",
        "--record-dir",
        "--web-root",
        "--log-level",
        "--doctor",
        "--version",
    ]:
        assert name in done.stdout
    assert done.stderr == ""


VALUE_FLAGS = [
    "--config",
    "--host",
    "--port",
    "--tls-cert",
    "--tls-key",
    "--turn-port",
    "--turn-external-ip",
    "--mode",
    "--source",
    "--record-dir",
    "--web-root",
    "--log-level",
]


@pytest.mark.parametrize("flag", VALUE_FLAGS)
@pytest.mark.parametrize("rest", [[], ["--doctor"]])
def test_flag_without_its_value(flag, rest):
    """A flag at the end, or before another flag, lacks its value."""
    with pytest.raises(UsageError, match=f"^flag '{flag}' requires a value$") as caught:
        cli.parse([flag, *rest])
    assert caught.value.argument == flag


@pytest.mark.parametrize("flag", ["--config", "--host", "--port", "--mode", "--record-dir"])
def test_flag_with_an_empty_value(flag):
    """An empty value is none, where the setting cannot be empty."""
    with pytest.raises(UsageError, match=f"^flag '{flag}' requires a value$"):
        cli.parse([f"{flag}="])


@pytest.mark.parametrize("flag", ["--source", "--tls-cert", "--web-root"])
def test_flag_that_may_be_empty(flag):
    """An empty value takes a value of the file back, where the setting can be empty."""
    flags, _ = cli.parse([f"{flag}="])
    assert list(flags.values()) == [""]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--host"], "flag '--host' requires a value"),
        (["-c"], "flag '--config' requires a value"),
        (["--hots", "x"], "unknown flag '--hots', did you mean '--host'?"),
        (["--hos", "x"], "unknown flag '--hos', did you mean '--host'?"),
        (["--loop=yes"], "flag '--loop' takes no value"),
        (["film.mp4"], "'film.mp4' is no flag; a source is given as --source SOURCE"),
        (["--auth-token", "hunter2"], "there is no flag '--auth-token'"),
        (["--auth-token=hunter2"], "set ICEY_AUTH_TOKEN"),
        (["--turn-secret=hunter2"], "ICEY_TURN_SECRET"),
        (["rtsp://u:hunter2@cam/"], "'rtsp://cam/' is no flag"),
    ],
)
def test_usage_errors(icey, arguments, message):
    """A command line that cannot be understood exits with 2 and says why on stderr."""
    done = icey(*arguments)
    assert done.returncode == 2
    assert done.stderr.startswith("icey-server: ")
    assert message in done.stderr
    assert "hunter2" not in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("arguments", "variables", "words"),
    [
        (["--port", "70000"], {}, ["flag --port", "http.port", "0 to 65535", "70000"]),
        (["--port", "-5"], {}, ["flag --port", "-5"]),
        (["--mode", "bogus"], {}, ["media.mode", "stream, record, relay", "bogus"]),
        (["--log-level", "loud"], {}, ["trace, debug, info, warn, error"]),
        (["--config", "none.json"], {}, ["none.json", "no such file"]),
        ([], {"ICEY_LOOP": "maybe"}, ["environment ICEY_LOOP", "media.loop", "maybe"]),
        ([], {"ICEY_TURN": "maybe"}, ["environment ICEY_TURN", "turn.enabled", "maybe"]),
        (["--tls-cert", "c.pem"], {}, ["tls.key"]),
    ],
)
def test_config_errors(icey, arguments, variables, words):
    """A refused setting exits with 3 and names place, key, value and what is allowed."""
    done = icey(*arguments, **variables)
    assert done.returncode == 3
    assert done.stderr.startswith("icey-server: ")
    for word in words:
        assert word in done.stderr
    assert "Traceback" not in done.stderr


def test_broken_config_file(icey, tmp_path):
    """A broken config file exits with 3 and tells line and column."""
    (tmp_path / "broken.json").write_text('{\n  "http": {,}\n}')
    done = icey("--config", "broken.json")
    assert done.returncode == 3
    assert f"{tmp_path / 'broken.json'}: line 2, column 12" in done.stderr


def test_preflight_failures(icey, tmp_path):
    """What is missing at a start exits with 4, every failure with what to do about it."""
    (tmp_path / "file").write_text("")
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        arguments = ["--source", "none.mp4", "--web-root", "file"]
        done = icey("--host", "127.0.0.1", "--port", port, *arguments)
    assert done.returncode == 4
    assert f"ports: {port} (TCP, HTTP) on 127.0.0.1: in use by another program" in done.stderr
    assert f"source: {tmp_path / 'none.mp4'}: No such file or directory" in done.stderr
    assert f"web_root: cannot read {tmp_path / 'file' / 'index.html'}" in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_STREAM])
def test_turn_port_in_use(icey, kind):
    """A TURN port that is taken, in UDP or TCP, exits with 4 and names the settings that help."""
    with socket.socket(socket.AF_INET, kind) as holder:
        holder.bind(("127.0.0.1", 0))
        if kind == socket.SOCK_STREAM:
            holder.listen()
        port = holder.getsockname()[1]
        done = icey(*FREE, "--source", "demo:", "--turn-port", port)
        without = icey("--doctor", *FREE, "--source", "demo:", "--turn-port", port, "--no-turn")
    assert done.returncode == 4
    protocol = "UDP" if kind == socket.SOCK_DGRAM else "TCP"
    assert f"ports: {port} ({protocol}, TURN) on 127.0.0.1: in use by another" in done.stderr
    assert "--turn-port or turn.port" in done.stderr
    assert without.returncode == 0


def test_doctor_uses_turn(icey):
    """The doctor's check of TURN is a client that passes datagrams through, over UDP and TCP."""
    done = icey("--doctor", "--source", "demo:", *FREE)
    check = next(c for c in json.loads(done.stdout)["checks"] if c["name"] == "turn")
    assert check["result"] == "pass"
    assert re.fullmatch(
        r"a datagram passed through by UDP \d+ [\d.]+ ms, TCP \d+ [\d.]+ ms", check["detail"]
    )


def test_start_without_a_source(icey):
    """Stream mode without a source cannot start."""
    done = icey(*FREE)
    assert done.returncode == 4
    assert "no source is set" in done.stderr


def test_doctor_ready(icey):
    """The doctor exits with 0 where all is well, its report on stdout, nothing on stderr."""
    done = icey("--doctor", "--source", "demo:", *FREE)
    assert done.returncode == 0
    report = json.loads(done.stdout)
    assert (report["ready"], report["status"]) == (True, "ok")
    assert done.stderr == ""


def test_doctor_of_an_open_server(icey):
    """That others may watch without a token stands in the report, and is no fault."""
    done = icey("--doctor", "--source", "demo:", "--host", "0.0.0.0", "--port", "0")
    report = json.loads(done.stdout)
    assert (done.returncode, report["ready"]) == (0, True)
    assert any("without a token: set auth.token" in warning for warning in report["warnings"])


def test_source_of_standard_input(tmp_path, environ):
    """``--source -`` reads the source, which then stands in no command line and no output."""
    done = subprocess.run(
        [*COMMAND, "--doctor", "--source", "-", *FREE],
        cwd=tmp_path,
        env=environ,
        input="rtmp://127.0.0.1:9/app/kEy-1234\n",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert json.loads(done.stdout)["source"]["value"] == "rtmp://127.0.0.1:9/…"
    assert "kEy" not in done.stdout + done.stderr


def test_source_of_an_empty_standard_input(icey):
    """Nothing to read is a usage error that says what is read."""
    done = icey("--source", "-", *FREE)
    assert done.returncode == 2
    assert "reads the source from standard input" in done.stderr


def test_doctor_not_ready(icey, tmp_path):
    """The doctor exits with 1 where a check fails, and shows the operator whole paths."""
    done = icey("--doctor", "--source", "none.mp4", *FREE)
    assert done.returncode == 1
    report = json.loads(done.stdout)
    assert report["ready"] is False
    assert report["source"]["value"] == str(tmp_path / "none.mp4")


@pytest.mark.parametrize(
    ("arguments", "variables", "error"),
    [
        (["--port", "x"], {}, "flag --port"),
        (["--config", "none.json"], {}, "no such file"),
        ([], {"ICEY_TURN": "maybe"}, "environment ICEY_TURN"),
    ],
)
def test_doctor_of_a_refused_configuration(icey, arguments, variables, error):
    """A refused configuration is a finding of the doctor, who exits with 1."""
    done = icey("--doctor", *arguments, **variables)
    assert done.returncode == 1
    report = json.loads(done.stdout)
    assert report["config"]["valid"] is False
    assert error in report["config"]["error"]


def test_doctor_on_a_terminal(tmp_path, environ):
    """On a terminal the doctor's table goes to stderr; stdout stays pure JSON."""
    terminal, child = pty.openpty()
    with os.fdopen(terminal, "rb", buffering=0) as screen:
        process = subprocess.Popen(
            [*COMMAND, "--doctor", "--source", "demo:", "--port", "0"],
            cwd=tmp_path,
            env=environ | {"TERM": "xterm", "COLUMNS": "120"},
            stdout=subprocess.PIPE,
            stderr=child,
        )
        os.close(child)
        out, _ = process.communicate(timeout=60)
        shown = b""
        while chunk := _read(screen):
            shown += chunk
    assert json.loads(out)["product"] == "icey"
    assert "ffmpeg" in shown.decode()
    assert "┃" in shown.decode()


def _read(screen):
    try:
        return screen.read(65536)
    except OSError:  # Linux says EIO once the other side is closed
        return b""


def test_doctor_starts_nothing(icey, tmp_path):
    """The doctor leaves nothing behind in the working directory."""
    before = sorted(tmp_path.iterdir())
    icey("--doctor", "--source", "demo:")
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("which", [signal.SIGINT, signal.SIGTERM])
def test_signal_ends_the_server(serving, which):
    """SIGINT and SIGTERM end a running server with 0."""
    process, line = serving("--source", "demo:")
    assert "http://127.0.0.1:" in line
    process.send_signal(which)
    assert process.wait(timeout=20) == 0


def test_signal_during_the_start(tmp_path, environ):
    """A SIGTERM while the server is still starting ends it with 0 and without a traceback."""
    process = subprocess.Popen(
        [*COMMAND, "--source", "demo:", *FREE],
        cwd=tmp_path,
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    # Python itself is killed by a signal that comes before our first line runs.
    deadline = time.monotonic() + 10
    while process.poll() is None and not _handles(process.pid, signal.SIGTERM):
        assert time.monotonic() < deadline
    process.terminate()
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 0
    assert b"Traceback" not in errors


def _handles(pid, which):
    status = Path(f"/proc/{pid}/status").read_text().splitlines()
    caught = next(line for line in status if line.startswith("SigCgt:"))
    return int(caught.split()[1], 16) >> (which - 1) & 1


def test_warnings_are_logged(serving, tmp_path):
    """What the loader warns of stands in the log of a start."""
    (tmp_path / "typo.json").write_text(
        '{"webrtc": {"port": 0}, "turn": {"port": 0}, "http": {"prot": 1}}'
    )
    process, _ = serving("--source", "demo:", "--config", "typo.json")
    process.terminate()
    _, errors = process.communicate(timeout=20)
    assert b"WARN  icey: typo.json: unknown key 'http.prot', did you mean 'http.port'?" in errors


@pytest.fixture
def quiet_logging():
    """Put the log back as it was."""
    root, ours = logging.getLogger(), logging.getLogger("icey")
    before = root.handlers[:], root.level, ours.level
    yield
    root.handlers[:], level, own = before
    root.setLevel(level)
    ours.setLevel(own)


def test_log_lines(capsys, quiet_logging):
    """A line has UTC time, level and logger; the level filters; libraries speak from warn on."""
    cli.configure_logging("info")
    logging.getLogger("icey.media").info("hello")
    logging.getLogger("icey.media").debug("hidden")
    logging.getLogger("library").info("hidden")
    logging.getLogger("library").warning("heard")
    first, second = capsys.readouterr().err.splitlines()
    assert first[10] == "T"
    assert first.split()[0].endswith("Z")
    assert first.split()[1:] == ["INFO", "icey.media:", "hello"]
    assert second.split()[1:] == ["WARN", "library:", "heard"]


def test_log_level_trace(capsys, quiet_logging):
    """The level trace lies below debug and has its name."""
    cli.configure_logging("trace")
    logging.getLogger("icey").log(TRACE, "packet")
    assert capsys.readouterr().err.split()[1:] == ["TRACE", "icey:", "packet"]


def test_log_strikes_secrets_out(capsys, quiet_logging):
    """Known secrets and URL passwords do not get into the log, not by a traceback either."""
    cli.configure_logging("info", ["hunter2-token", ""])
    log = logging.getLogger("icey")
    log.info("token %s of rtsp://u:hunter3@cam/", "hunter2-token")
    log.error("failed", exc_info=ValueError("hunter2-token"))
    text = capsys.readouterr().err
    assert "hunter" not in text
    assert "rtsp://cam/" in text


@pytest.mark.parametrize(
    ("error", "words"),
    [(EngineError("no such thing"), "no such thing"), (RuntimeError("bug"), "RuntimeError: bug")],
)
def test_runtime_failure(monkeypatch, capsys, quiet_logging, error, words):
    """An error of the running server, foreseen or not, exits with 1 and says what it is."""

    async def serve(_):
        raise error

    handler = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr("icey.server.app.serve", serve)
    try:
        assert cli.run(["--source", "demo:"]) == 1
    finally:
        signal.signal(signal.SIGTERM, handler)
    assert words in capsys.readouterr().err
