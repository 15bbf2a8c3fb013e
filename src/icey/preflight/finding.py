"""The result of one check."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

Result: TypeAlias = Literal["pass", "warn", "fail"]

Detail: TypeAlias = tuple[str | Path, ...]
"""A text in parts. A path is a part of its own, so that an answer of the API can show its name
where the operator's own terminal shows all of it."""


@dataclass(frozen=True)
class Finding:
    """A result and its reason; the reason of a failure says what to do."""

    result: Result
    detail: Detail


def passed(*detail: str | Path) -> Finding:
    """Return a finding that passes."""
    return Finding("pass", detail)


def warned(*detail: str | Path) -> Finding:
    """Return a finding that warns: the server can run, but the operator should know."""
    return Finding("warn", detail)


def failed(*detail: str | Path) -> Finding:
    """Return a finding that fails: the server cannot run."""
    return Finding("fail", detail)


def render(detail: Detail, *, public: bool) -> str:
    """Return a detail as text; in public, paths without their folders."""
    return "".join(
        part if isinstance(part, str) else (part.name or "/") if public else str(part)
        for part in detail
    )
