"""The check of what looks at the pictures of a stream and listens to its sound."""

from __future__ import annotations

from typing import TYPE_CHECKING

from icey.errors import ConfigError
from icey.intelligence.plugins import find_plugins
from icey.preflight.finding import Finding, failed, passed, warned

if TYPE_CHECKING:
    from icey.config.model import Settings

__all__ = ["check_intelligence"]


def check_intelligence(settings: Settings) -> Finding:
    """Import the detectors that are to run; say where they stay inactive."""
    intelligence = settings.media.intelligence
    on = [name for name in ("vision", "speech") if getattr(intelligence, name).enabled]
    entries = [entry for entry in intelligence.detectors if entry.enabled]
    if settings.media.mode != "stream":
        if entries:
            on.append(f"{len(entries)} detector(s) of media.intelligence.detectors")
        if not on:
            return passed("off")
        return warned(
            f"{' and '.join(on)} turned on, but inactive in {settings.media.mode} mode: only "
            "stream mode has decoded media; turn it off, or use mode stream"
        )
    try:
        found = find_plugins(intelligence)
    except ConfigError as error:
        return failed(str(error))
    on += [f"detector {plugin.name}" for plugin in found.plugins]
    words = f"{', '.join(on)} on" if on else "off"
    return warned("; ".join([words, *found.warnings])) if found.warnings else passed(words)
