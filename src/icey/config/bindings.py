"""Which settings the environment and the command line can set, and by which names."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from icey.config.keys import Key, KeyPath

__all__ = [
    "BINDINGS",
    "BOOLEAN_WORDS",
    "CONFIG_ENVIRONMENT",
    "CONFIG_FLAG",
    "DEVICE_OR_URL",
    "Binding",
    "read_text",
    "resolve_path",
    "resolve_source",
]

CONFIG_FLAG = "--config"
CONFIG_ENVIRONMENT = "ICEY_CONFIG"

BOOLEAN_WORDS = {
    "true": True,
    "1": True,
    "yes": True,
    "on": True,
    "false": False,
    "0": False,
    "no": False,
    "off": False,
}
"""Booleans in the environment, in any case."""

DEVICE_OR_URL = re.compile(r"(?:demo|v4l2|avfoundation|dshow):|[a-z][a-z0-9+.-]*://", re.IGNORECASE)
"""How a source begins that is no file path."""

_INTEGER = re.compile(r"[+-]?[0-9]{1,30}")


@dataclass(frozen=True)
class Binding:
    """The names of one setting outside the config file.

    Attributes:
        key: its path in the config file.
        environment: its environment variable.
        flag: its flag; None where a flag would show a secret to every user of the machine.
        off_flag: the flag that turns it off, where it is a boolean.
        metavar: what stands for its value in ``--help``.
        help: one line for ``--help``.
    """

    key: KeyPath
    environment: str
    flag: str | None = None
    off_flag: str | None = None
    metavar: str = ""
    help: str = ""


BINDINGS: tuple[Binding, ...] = (
    Binding(
        ("media", "mode"), "ICEY_MODE", "--mode", metavar="MODE",
        help="stream (server to browsers), record (browser to disk) or relay (browser to browsers)",
    ),
    Binding(
        ("media", "source"), "ICEY_SOURCE", "--source", metavar="SOURCE",
        help="what to stream: a file, /dev/video0, rtsp://camera/stream, or demo: (a test picture)",
    ),
    Binding(
        ("media", "loop"), "ICEY_LOOP", "--loop", off_flag="--no-loop",
        help="start a file again at its end",
    ),
    Binding(
        ("media", "recordDir"), "ICEY_RECORD_DIR", "--record-dir", metavar="DIR",
        help="folder for recordings",
    ),
    Binding(("http", "host"), "ICEY_HOST", "--host", metavar="HOST", help="address to listen on"),
    Binding(
        ("http", "port"), "ICEY_PORT", "--port", metavar="PORT",
        help="TCP port of the page, the API and the signalling; 0 takes a free one",
    ),
    Binding(
        ("tls", "cert"), "ICEY_TLS_CERT", "--tls-cert", metavar="FILE",
        help="certificate with its chain, PEM; HTTPS where this and the key are given",
    ),
    Binding(
        ("tls", "key"), "ICEY_TLS_KEY", "--tls-key", metavar="FILE",
        help="private key of the certificate, PEM, without a passphrase",
    ),
    Binding(
        ("webRoot",), "ICEY_WEB_ROOT", "--web-root", metavar="DIR",
        help="folder of another web UI than the one inside the package",
    ),
    Binding(("auth", "token"), "ICEY_AUTH_TOKEN"),
    Binding(
        ("turn", "enabled"), "ICEY_TURN", off_flag="--no-turn",
        help="do not run the built-in TURN server",
    ),
    Binding(
        ("turn", "port"), "ICEY_TURN_PORT", "--turn-port", metavar="PORT", help="port of TURN"
    ),
    Binding(
        ("turn", "externalIp"), "ICEY_TURN_EXTERNAL_IP", "--turn-external-ip", metavar="IP",
        help="public address of this machine behind a NAT",
    ),
    Binding(("turn", "secret"), "ICEY_TURN_SECRET"),
    Binding(
        ("logLevel",), "ICEY_LOG_LEVEL", "--log-level", metavar="LEVEL",
        help="trace, debug, info, warn or error",
    ),
)  # fmt: skip


def read_text(key: Key, text: str, base: Path) -> object:
    """Turn the text of a variable or flag into what a config file would have held.

    A text that cannot be turned stays as it is: the model then refuses it, in the same words
    as it refuses it in a file.

    Args:
        key: the setting.
        text: its value.
        base: what a relative path is relative to.
    """
    if key.kind == "boolean":
        return BOOLEAN_WORDS.get(text.lower(), text)
    if key.kind == "integer" and _INTEGER.fullmatch(text):
        return int(text)
    if key.kind == "source":
        return resolve_source(text, base)
    if key.kind == "path":
        return resolve_path(key, text, base)
    return text


def resolve_path(key: Key, text: str, base: Path) -> Path | str | None:
    """Make a path absolute; an empty one is None where the setting allows that."""
    if not text:
        return None if key.nullable else text
    return base / text


def resolve_source(text: str, base: Path) -> str:
    """Make a source absolute if it is a file path."""
    if not text or DEVICE_OR_URL.match(text):
        return text
    return str(base / text)
