"""Reads a config file: JSON, YAML or TOML into plain Python values.

A file may hold secrets, so no message here repeats any of its text.
"""

from __future__ import annotations

import json
import re
import tomllib
from typing import TYPE_CHECKING, Any

from icey.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MAX_BYTES = 1024 * 1024
"""Largest config file that is read."""

_JSON_STRING_OR_CONSTANT = re.compile(r'"(?:\\.|[^"\\])*"|(?P<constant>-?Infinity|NaN)')
_QUOTED = re.compile(r"'([^'\n]*)'|\"([^\"\n]*)\"")
_HARMLESS = re.compile(r".?|<[a-z ]+>")  # one character, or PyYAML's '<stream end>'


def read(path: Path) -> dict[Any, Any] | None:
    """Read and parse a config file.

    Returns:
        The document, or None where there is no such file.

    Raises:
        ConfigError: it cannot be read, is too large, is not UTF-8, or not in its format.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise _refusal(path, f"cannot be read: {error.strerror}", "a readable file") from error
    if len(data) > MAX_BYTES:
        fault = f"larger than {MAX_BYTES} bytes, so hardly a config file"
        raise _refusal(path, fault, f"at most {MAX_BYTES} bytes")
    return parse(data, path)


def parse(data: bytes, path: Path) -> dict[Any, Any]:
    """Parse the bytes of a config file in the format that its name tells (JSON by default).

    Raises:
        ConfigError: broken text, with line and column where the parser knows them; or a
            document that is not an object.
    """
    name, parser = _FORMATS.get(path.suffix.lower(), ("JSON", _parse_json))
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line, column = _position(data[: error.start].decode("utf-8", "replace"))
        fault = f"line {line}, column {column}: not UTF-8"
        raise _refusal(path, fault, f"{name} in UTF-8") from None
    try:
        document = parser(text)
    except _BrokenError as error:
        raise _refusal(path, f"{error}: not valid {name}", f"valid {name}") from None
    except RecursionError:
        raise _refusal(path, "nested too deeply", "a few levels of nesting") from None
    if document is None and name == "YAML":  # nothing but comments
        return {}
    if not isinstance(document, dict):
        fault = "the document must be an object with keys such as 'http' and 'media'"
        raise _refusal(path, fault, "an object")
    return document


def _refusal(path: Path, fault: str, allowed: str) -> ConfigError:
    return ConfigError(f"{path}: {fault}", file=str(path), allowed=allowed)


class _BrokenError(Exception):
    """Text that is not in its format; the message says where and why."""


def _position(before: str) -> tuple[int, int]:
    """Return line and column, both from 1, of what follows a text."""
    return before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1


def _without_quotes(message: str) -> str:
    """Take quoted text out of a parser's message: it may be part of a secret."""

    def hide(match: re.Match[str]) -> str:
        quoted = match[1] if match[1] is not None else match[2]
        return match[0] if _HARMLESS.fullmatch(quoted) else "'…'"

    return _QUOTED.sub(hide, message)


def _parse_json(text: str) -> object:
    def refuse_constant(_: str) -> None:
        matches = _JSON_STRING_OR_CONSTANT.finditer(text)
        start = next(match.start() for match in matches if match["constant"])
        line, column = _position(text[:start])
        raise _BrokenError(f"line {line}, column {column}: NaN and Infinity are not JSON")

    try:
        document: object = json.loads(text, parse_constant=refuse_constant)
    except json.JSONDecodeError as error:
        raise _BrokenError(f"line {error.lineno}, column {error.colno}: {error.msg}") from None
    except ValueError:  # int() refuses more than 4300 digits
        raise _BrokenError("a number is too long") from None
    return document


def _parse_yaml(text: str) -> object:
    import yaml  # noqa: PLC0415 - only a YAML file costs its import

    try:
        document: object = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        problem = error.problem or error.context or "broken"
        raise _BrokenError(f"{where}{_without_quotes(problem)}") from None
    except yaml.YAMLError:
        raise _BrokenError("a character that YAML does not allow") from None
    except (ValueError, LookupError, ArithmeticError, AttributeError, TypeError):
        # PyYAML lets these through from values such as 2024-99-99 or !!float x
        raise _BrokenError("a value that does not fit its type, such as a date") from None
    return document


def _parse_toml(text: str) -> object:
    try:
        return tomllib.loads(text)
    except ValueError as error:  # TOMLDecodeError, and int() with too many digits
        raise _BrokenError(_without_quotes(str(error))) from None


_FORMATS: dict[str, tuple[str, Callable[[str], object]]] = {
    ".yaml": ("YAML", _parse_yaml),
    ".yml": ("YAML", _parse_yaml),
    ".toml": ("TOML", _parse_toml),
}
