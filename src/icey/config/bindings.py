"""Settings from the environment and the command line: their names there, and their texts."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from icey.config.values import DEVICE_OR_URL

if TYPE_CHECKING:
    from pathlib import Path

    from icey.config.keys import Key

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

_INTEGER = re.compile(r"[+-]?[0-9]{1,30}")


@dataclass(frozen=True)
class Binding:
    """The names of a setting outside the config file; the model carries it beside the type.

    Attributes:
        environment: its environment variable.
        flag: its flag; None where a flag would show a secret to every user of the machine.
        metavar: the placeholder of its value in ``--help``; empty where the flag takes none.
        help: one line for ``--help``.
        off_flag: the flag that turns it off, where it is a boolean.
        in_file: whether a config file may hold the setting too.
    """

    environment: str
    flag: str | None = None
    metavar: str = ""
    help: str = ""
    off_flag: str | None = None
    in_file: bool = True


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
