"""The settings as a flat table of keys, derived from the model.

A key is a path of names as in a config file: ``("media", "video", "fps")``, shown dotted.
"""

from __future__ import annotations

import types
import typing
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias, get_args, get_origin

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from icey.config.bindings import Binding
from icey.config.group import SettingsModel
from icey.config.model import Settings
from icey.config.values import Kind, Says

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

KeyPath: TypeAlias = tuple[str, ...]

_NEAREST_SCORE = 60.0  # of 100; a suggestion below it would confuse more than it helps


@dataclass(frozen=True)
class Key:
    """One setting.

    Attributes:
        path: where it stands in a config file.
        default: its default value.
        allowed: what it accepts, in words that follow "must be".
        kind: how a text for it is read, from the environment or a flag.
        nullable: an empty text or path means "not set".
        secret: its value is shown to nobody.
        members: of a list of objects, what each member accepts, by its name; else empty.
        binding: its names outside the config file; None where it has none.
    """

    path: KeyPath
    default: object
    allowed: str
    kind: Kind
    nullable: bool
    secret: bool
    members: Mapping[str, str]
    binding: Binding | None

    @property
    def name(self) -> str:
        """The dotted key: ``media.video.fps``."""
        return ".".join(self.path)

    @property
    def in_file(self) -> bool:
        """Whether a config file may hold it."""
        return self.binding is None or self.binding.in_file


@cache
def keys() -> dict[KeyPath, Key]:
    """Return every setting by its path, in the order of the model."""
    return {key.path: key for key in _walk(Settings, ())}


@cache
def bound() -> list[tuple[Key, Binding]]:
    """Return every setting that has a variable or flag, in the order of the model."""
    return [(key, key.binding) for key in keys().values() if key.binding]


@cache
def sections() -> frozenset[KeyPath]:
    """Return the paths of all groups of settings; the empty path is the document itself."""
    return frozenset(path[:depth] for path in keys() for depth in range(len(path)))


def nearest(name: str, known: Iterable[str], *, score: float = _NEAREST_SCORE) -> str | None:
    """Return the known name most like ``name``, None where none is like enough.

    Names are compared as wholes and by their last parts, so that ``port`` finds ``http.port``.
    """
    from rapidfuzz import fuzz  # noqa: PLC0415 - 30 ms that only a misspelling costs

    parent, _, last = name.lower().rpartition(".")

    def likeness(candidate: str) -> tuple[float, float]:
        other_parent, _, other_last = candidate.lower().rpartition(".")
        whole = fuzz.ratio(name.lower(), candidate.lower())
        # The same word in another group is a guess, a likely one only if it is spelt well.
        part = fuzz.ratio(last, other_last) * (1.0 if parent == other_parent else 0.8)
        return max(whole, part), whole

    best = max(known, key=likeness, default=None)
    return best if best is not None and likeness(best)[0] >= score else None


def _walk(model: type[SettingsModel], prefix: KeyPath) -> Iterator[Key]:
    for name, field in model.model_fields.items():
        path = (*prefix, field.alias or name)
        if isinstance(field.annotation, type) and issubclass(field.annotation, SettingsModel):
            yield from _walk(field.annotation, path)
            continue
        nullable = type(None) in get_args(field.annotation)
        words = _allowed(field.annotation, field.metadata)
        yield Key(
            path=path,
            default=field.default,
            allowed=f"{words}, or empty" if nullable else words,
            kind=_kind(field.annotation, field.metadata),
            nullable=nullable,
            secret=field.annotation is SecretStr,
            members=_members(field.annotation),
            binding=next((item for item in field.metadata if isinstance(item, Binding)), None),
        )


def _members(annotation: object) -> dict[str, str]:
    """Return what the objects of a list accept, in words."""
    of = get_args(annotation)[0] if get_origin(annotation) is tuple else None
    if not (isinstance(of, type) and issubclass(of, SettingsModel)):
        return {}
    return {
        field.alias or name: _allowed(field.annotation, field.metadata)
        for name, field in of.model_fields.items()
    }


def _allowed(annotation: object, metadata: Iterable[object]) -> str:
    """Return what a field accepts, in words: its own words first, else its type and range."""
    limits: dict[str, Any] = {}
    for item in metadata:
        if isinstance(item, Says):
            return item.words
        limits |= {name: getattr(item, name) for name in ("ge", "le") if hasattr(item, name)}
    span = f" from {limits['ge']} to {limits['le']}" if {"ge", "le"} <= limits.keys() else ""
    if annotation is bool:
        return "true or false"
    if annotation is int:
        return f"an integer{span}"
    if annotation is float:
        return f"a number{span}"
    arguments = [part for part in get_args(annotation) if part is not types.NoneType]
    if get_origin(annotation) is Literal:
        words = [str(word) for word in arguments]
        return words[0] if len(words) == 1 else f"one of {', '.join(words)}"
    if get_origin(annotation) in {typing.Union, types.UnionType}:
        return " or ".join(_allowed(*_unwrap(part)) for part in arguments)
    raise TypeError(f"no words for {annotation}: give the field a Says")


def _unwrap(annotation: object) -> tuple[object, list[object]]:
    """Take ``Annotated[T, …]`` apart, the constraints of a pydantic ``Field`` included."""
    if get_origin(annotation) is not Annotated:
        return annotation, []
    inner, *metadata = get_args(annotation)
    flat: list[object] = []
    for item in metadata:
        flat.extend(item.metadata if isinstance(item, FieldInfo) else [item])
    return inner, flat


_KINDS: dict[object, Kind] = {bool: "boolean", int: "integer", float: "number", Path: "path"}


def _kind(annotation: object, metadata: Iterable[object] = ()) -> Kind:
    for item in metadata:
        if isinstance(item, Says) and item.kind:
            return item.kind
    inner, _ = _unwrap(annotation)
    if get_origin(inner) in {typing.Union, types.UnionType}:
        return _kind(next(part for part in get_args(inner) if part is not types.NoneType))
    if get_origin(inner) is tuple:
        return "list"
    return _KINDS.get(inner, "text")
