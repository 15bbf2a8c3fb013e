"""The version of the installed package, as every part of it tells it."""

from __future__ import annotations

import importlib.metadata


def version() -> str:
    """The version of the installed package, or ``0+uninstalled`` when run from the sources."""
    try:
        return importlib.metadata.version("icey")
    except importlib.metadata.PackageNotFoundError:
        return "0+uninstalled"
