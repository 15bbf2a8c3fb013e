"""The command line: flags, logging and exit codes.

Exit codes: 0 success (or doctor: ready), 1 runtime failure (or doctor: not ready), 2 usage
error, 3 config error, 4 preflight failure. A flag whose value its setting refuses
(``--port 99999``) is a config error, as the same value in a file or variable is; a usage error
is a command line that cannot be understood.

The server, and all that it imports, is loaded only when it runs.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import re
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from pydantic import SecretStr

from icey.config.bindings import CONFIG_ENVIRONMENT, CONFIG_FLAG
from icey.config.group import SettingsModel
from icey.config.keys import bound, nearest
from icey.config.load import DEFAULT_CONFIG, load, locate
from icey.config.model import TRACE
from icey.config.secrecy import secrets_of_url
from icey.config.showing import printable, without_credentials
from icey.errors import ConfigError, IceyError, UsageError
from icey.version import version

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from types import FrameType

    from icey.config.bindings import Binding
    from icey.config.keys import Key
    from icey.config.load import Loaded
    from icey.config.model import LogLevel

COMMAND = "icey-server"

_EPILOG = f"""\
Each setting may also stand in the config file or in an environment variable:
defaults < config file < environment < flags. The access token and the TURN secret have no
flag on purpose: set ICEY_AUTH_TOKEN and ICEY_TURN_SECRET, or write them into the file.

  {COMMAND} --source demo:               a test picture with a clock and a tone
  {COMMAND} --source film.mp4            a file, over and over
  {COMMAND} --source rtsp://cam/stream   a camera in the network
  {COMMAND} --source - < camera.url      a source with a password: nobody else sees it
  {COMMAND} --doctor                     check everything, start nothing

exit codes: 0 success, 1 runtime failure or not ready, 2 usage, 3 configuration, 4 preflight
"""

log = logging.getLogger("icey")


class _Parser(argparse.ArgumentParser):
    """An `argparse.ArgumentParser` that raises `UsageError` and suggests the nearest flag."""

    def error(self, message: str) -> NoReturn:
        unknown = re.match(r"unrecognized arguments: (\S+)", message)
        if not unknown:
            raise UsageError(message)
        word = without_credentials(unknown[1].partition("=")[0])
        if "token" in word or "secret" in word:
            raise UsageError(
                f"there is no flag '{printable(word)}': every user of a machine can read command "
                "lines; set ICEY_AUTH_TOKEN or ICEY_TURN_SECRET, or use the config file",
                argument=word,
            )
        if not word.startswith("-"):
            raise UsageError(
                f"'{printable(word)}' is no flag; a source is given as --source SOURCE",
                argument=word,
            )
        guess = nearest(word, (flag for flag in self._option_string_actions if "--" in flag))
        hint = f", did you mean '{guess}'?" if guess else ""
        raise UsageError(f"unknown flag '{printable(word)}'{hint}", argument=word)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog=COMMAND,
        usage=f"{COMMAND} [flags]",
        description="Live video into a browser, out of one, and on to others, over WebRTC.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
        exit_on_error=False,
        add_help=False,
    )
    run_group = parser.add_argument_group("running")
    run_group.add_argument("-h", "--help", action="help", help="show this text and exit")
    run_group.add_argument(
        "--version", action="version", version=f"{COMMAND} {version()}", help="show it and exit"
    )
    run_group.add_argument(
        "--doctor",
        action="store_true",
        help="check configuration, ports, source, folders and certificate; print the report "
        "as JSON and exit with 0 (ready) or 1",
    )
    run_group.add_argument(
        "-c",
        CONFIG_FLAG,
        metavar="FILE",
        help=f"config file, JSON, YAML or TOML (default {DEFAULT_CONFIG} in the working directory, "
        f"if there is one) [{CONFIG_ENVIRONMENT}]",
    )
    settings = parser.add_argument_group("settings")
    for key, binding in sorted(bound(), key=_place_in_help):
        default = key.default if binding.flag else None
        ending = f" (default {_default(default)})" if default not in {None, ""} else ""
        text = f"{binding.help}{ending} [{binding.environment}]"
        if binding.flag and binding.metavar:
            settings.add_argument(binding.flag, dest=key.name, metavar=binding.metavar, help=text)
            continue
        for flag, value in ((binding.flag, True), (binding.off_flag, False)):
            if flag:
                settings.add_argument(
                    flag, dest=key.name, action="store_const", const=value, help=text
                )
                text = f"the opposite of {flag}"
    return parser


_FIRST_IN_HELP = ("media", "http", "tls", "webRoot")
"""What most people set; the rest follows in the order of the model."""


def _place_in_help(setting: tuple[Key, Binding]) -> int:
    first = setting[0].path[0]
    return _FIRST_IN_HELP.index(first) if first in _FIRST_IN_HELP else len(_FIRST_IN_HELP)


def _default(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return str(value)


def parse(argv: Sequence[str]) -> tuple[dict[str, str | bool], bool]:
    """Read the flags.

    Returns:
        What `icey.config.load.load` takes as flags, and whether ``--doctor`` was given.

    Raises:
        UsageError: a flag that does not exist, or lacks its value.
        SystemExit: with 0, after ``--help`` and ``--version``.
    """
    try:
        values = vars(_parser().parse_args(argv))
    except argparse.ArgumentError as error:
        flag = (error.argument_name or "").rpartition("/")[2]
        if "expected one argument" in error.message:
            raise UsageError(f"flag '{flag}' requires a value", argument=flag) from None
        if "ignored explicit argument" in error.message:
            raise UsageError(f"flag '{flag}' takes no value", argument=flag) from None
        raise UsageError(f"flag '{flag}': {error.message}", argument=flag) from None
    doctor = bool(values.pop("doctor"))
    flags = {name: value for name, value in values.items() if value is not None}
    if flags.get(_SOURCE) == "-":
        flags[_SOURCE] = _source_of_standard_input()
    for name, flag in _MUST_NOT_BE_EMPTY.items():
        if flags.get(name) == "":
            raise UsageError(f"flag '{flag}' requires a value", argument=flag)
    return flags, doctor


_MUST_NOT_BE_EMPTY = {"config": CONFIG_FLAG} | {
    key.name: binding.flag
    for key, binding in bound()
    if binding.flag and not key.nullable and key.default != ""
}
"""``--host=`` is a flag without a value as ``--host`` is; ``--source=`` means no source."""


_SOURCE = "media.source"


def _source_of_standard_input() -> str:
    """Read one line: unlike a command line, no other user of the machine sees it.

    Raises:
        UsageError: there is none.
    """
    source = sys.stdin.readline().strip()
    if not source:
        raise UsageError(
            "'--source -' reads the source from standard input, which is empty", argument="--source"
        )
    return source


class _Formatter(logging.Formatter):
    """Formats a record as one line with UTC milliseconds, and strikes known secrets out of it.

    Nothing that we log holds a secret; this is for what libraries and tracebacks say.
    """

    converter = staticmethod(time.gmtime)
    default_time_format = "%Y-%m-%dT%H:%M:%S"  # ISO 8601
    default_msec_format = "%s.%03dZ"

    def __init__(self, secrets: Iterable[str]) -> None:
        super().__init__("%(asctime)s %(levelname)-5s %(name)s: %(message)s")
        self._secrets = tuple(secret for secret in secrets if len(secret) >= 4)

    def format(self, record: logging.LogRecord) -> str:
        text = without_credentials(super().format(record))
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return text


def configure_logging(level: LogLevel, secrets: Iterable[str] = ()) -> None:
    """Send the log to stderr.

    Args:
        level: the least grave level shown. Libraries speak from ``warn`` on only, unless the
            level is ``debug`` or ``trace``.
        secrets: texts that never may appear; shorter ones than 4 characters are ignored.
    """
    logging.addLevelName(TRACE, "TRACE")
    logging.addLevelName(logging.WARNING, "WARN")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Formatter(secrets))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    log.setLevel(level.upper())
    root.setLevel(log.level if log.level <= logging.DEBUG else logging.WARNING)


def run(argv: Sequence[str]) -> int:
    """Run the program and return its exit code; errors are printed on stderr."""
    try:
        flags, doctor = parse(argv)
    except UsageError as error:
        _complain(f"{error}\nTry '{COMMAND} --help'.")
        return error.exit_code
    except SystemExit as done:  # --help and --version
        return int(done.code or 0)
    try:
        return _diagnose(flags) if doctor else _serve(flags)
    except IceyError as error:
        _complain(str(error))
        return error.exit_code
    except KeyboardInterrupt:  # before the server took the signals over: nothing to end
        return 0


def _complain(message: str) -> None:
    sys.stderr.write(f"{COMMAND}: {message}\n")


def _secrets(group: SettingsModel) -> Iterator[str]:
    for _, value in group:
        if isinstance(value, SettingsModel):
            yield from _secrets(value)
        elif isinstance(value, SecretStr):
            yield value.get_secret_value()


def _load(flags: Mapping[str, str | bool]) -> Loaded:
    loaded = load(flags, os.environ, Path.cwd())
    settings = loaded.settings
    secrets = [*_secrets(settings), *secrets_of_url(settings.media.source)]
    configure_logging(settings.log_level, secrets)
    return loaded


def _serve(flags: Mapping[str, str | bool]) -> int:
    def interrupt(_signal: int, _frame: FrameType | None) -> NoReturn:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)  # until the server's own handlers take over
    loaded = _load(flags)
    for warning in loaded.warnings:
        log.warning("%s", warning)

    import asyncio  # noqa: PLC0415

    from icey.server.app import serve  # noqa: PLC0415 - --help and --version need none of it

    try:
        return asyncio.run(serve(loaded))
    except IceyError:
        raise
    except Exception:
        log.critical("this is a fault in %s itself", COMMAND, exc_info=True)
        return 1


def _diagnose(flags: Mapping[str, str | bool]) -> int:
    """Print the preflight report: JSON on stdout, and a table on stderr where that is a terminal.

    A configuration that is refused is one of the things the report tells.
    """
    from icey.preflight.run import run_preflight, run_without_settings  # noqa: PLC0415

    try:
        report = run_preflight(_load(flags))
    except ConfigError as error:
        configure_logging("info")
        path, _ = locate(flags, os.environ, Path.cwd())
        report = run_without_settings(error, path)
    if sys.stderr.isatty():
        from icey.preflight.table import print_table  # noqa: PLC0415

        print_table(report)
    sys.stdout.write(f"{json.dumps(report.to_json(public=False), indent=2)}\n")
    return 0 if report.ready else 1
