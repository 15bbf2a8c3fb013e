"""Writes the tables of settings into configuration.md: ``python docs/tables.py``.

All that stands in them is read off the model. A table keeps its place in the text; it has the rows
of those groups of settings of which it has a row already, and of new groups inside them.
"""

from __future__ import annotations

import ast
import inspect
import json
import re
import sys
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import SecretStr
from pydantic_core import PydanticUndefined

from icey.config.group import SettingsModel
from icey.config.intelligence import DetectorSettings
from icey.config.keys import Key, KeyPath, keys
from icey.config.model import Settings

if TYPE_CHECKING:
    from collections.abc import Iterable

DOCUMENT = Path(__file__).parent / "configuration.md"
DETECTORS = keys()["media", "intelligence", "detectors"]
SETTINGS = ("key", "default", "allowed", "environment", "flag", "meaning")
MEMBERS = ("member", "default", "allowed", "meaning")


def meanings(model: type[SettingsModel], prefix: KeyPath = ()) -> dict[KeyPath, str]:
    """Read the docstrings of a group's settings, and of all groups in it."""
    found: dict[KeyPath, str] = {}
    statements = [
        statement
        for group in ast.parse(inspect.getsource(model)).body
        if isinstance(group, ast.ClassDef)
        for statement in group.body
    ]
    for statement, following in pairwise(statements):
        match statement, following:
            case (
                ast.AnnAssign(target=ast.Name(id=name)),
                ast.Expr(value=ast.Constant(value=str(text))),
            ):
                path = (*prefix, model.model_fields[name].alias or name)
                found[path] = " ".join(text.split()).replace("``", "`")
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, SettingsModel):
            found |= meanings(field.annotation, (*prefix, field.alias or name))
    return found


def shown(default: object, meaning: str) -> str:
    """Write a default as the tables do; one that follows from another setting is in the meaning."""
    derived = re.search(r"empty is (`<.+?`)", meaning)
    if isinstance(default, SecretStr):
        default = default.get_secret_value()
    if default is PydanticUndefined:
        return "–"
    if default is None or default == "":
        return derived[1] if derived else "empty"
    if isinstance(default, Path):
        return f"`./{default}`"
    return f"`{default if isinstance(default, str) else json.dumps(default)}`"


def line(cells: Iterable[str]) -> str:
    """Write a row."""
    return f"| {' | '.join(cells)} |\n"


def row(key: Key, meaning: str) -> str:
    """Write the row of a setting."""
    binding = key.binding
    flags = [f"`{flag}`" for flag in (binding.flag, binding.off_flag) if flag] if binding else []
    return line(
        (
            f"`{key.name}`" if key.in_file else "–",
            shown(key.default, meaning),
            key.allowed,
            f"`{binding.environment}`" if binding else "–",
            ", ".join(flags) or "–",
            meaning,
        )
    )


def members() -> str:
    """Write the rows of what an entry of ``media.intelligence.detectors`` has."""
    rows = ""
    for (name,), meaning in meanings(DetectorSettings).items():
        field = next(f for f in DetectorSettings.model_fields.values() if f.alias == name)
        default = field.get_default(call_default_factory=True)
        rows += line((f"`{name}`", shown(default, meaning), DETECTORS.members[name], meaning))
    return rows


def tables(columns: tuple[str, ...]) -> re.Pattern[str]:
    """Find all tables with these columns; the first group is their head, the second their rows."""
    head = re.escape(line(columns) + "|---" * len(columns) + "|\n")
    return re.compile(rf"({head})((?:\|.*\n)*)")


def rewritten(text: str) -> str:
    """Return the document with the tables that the model wants."""
    texts = meanings(Settings)
    pattern = tables(SETTINGS)
    place: dict[KeyPath, int] = {}
    for number, table in enumerate(pattern.finditer(text)):
        for name in re.findall(r"^\| `(.*?)`", table[2], re.MULTILINE):
            place[tuple(name.split("."))[:-1]] = number
    rows: dict[int, str] = {}
    for path, key in keys().items():
        groups = (path[:depth] for depth in reversed(range(len(path))))
        number = next(place[group] for group in groups if group in place)
        rows[number] = rows.get(number, "") + row(key, texts[path])
    numbers = iter(range(len(rows)))
    text = pattern.sub(lambda table: table[1] + rows[next(numbers)], text)
    return tables(MEMBERS).sub(lambda table: table[1] + members(), text)


if __name__ == "__main__":
    before = DOCUMENT.read_text()
    after = rewritten(before)
    if sys.argv[1:] == ["--check"]:
        sys.exit("docs/configuration.md: run python docs/tables.py" if after != before else 0)
    DOCUMENT.write_text(after)
