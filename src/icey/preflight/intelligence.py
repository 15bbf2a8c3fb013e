"""The check of the detectors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from icey.errors import ConfigError
from icey.intelligence.plugins import find_plugins
from icey.preflight.finding import Finding, failed, passed, warned

if TYPE_CHECKING:
    from icey.config.intelligence import VisionSettings
    from icey.config.model import Settings


def check_intelligence(settings: Settings) -> Finding:
    """Import the detectors that are to run; warn where they stay inactive."""
    intelligence = settings.media.intelligence
    on = [name for name in ("vision", "speech") if getattr(intelligence, name).enabled]
    entries = [entry for entry in intelligence.detectors if entry.enabled]
    if settings.media.mode != "stream":
        if entries:
            on.append(f"{len(entries)} detector(s) of media.intelligence.detectors")
        if intelligence.webhook.get_secret_value():
            on.append("the webhook")
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
    if (intelligence.vision.enabled or found.plugins) and not _can_normalize(intelligence.vision):
        return failed(
            "FFmpeg cannot make pictures of media.intelligence.vision.normalize.pixelFmt "
            f"{intelligence.vision.normalize.pixel_fmt!r}: leave it empty, or take gray, rgb24 or "
            "another format that ffmpeg -pix_fmts lists as an output"
        )
    on += [f"detector {plugin.name}" for plugin in found.plugins]
    words = f"{', '.join(on)} on" if on else "off"
    return warned("; ".join([words, *found.warnings])) if found.warnings else passed(words)


def _can_normalize(settings: VisionSettings) -> bool:
    """Convert a small picture: FFmpeg knows formats that it cannot convert to."""
    from icey.intelligence.pixels import Normalizer, luma_of, rgb_of  # noqa: PLC0415 - FFmpeg
    from icey.media.picture import black  # noqa: PLC0415

    try:
        picture = Normalizer(settings.normalize).normalize(black(64, 36))
        luma_of(picture)
        rgb_of(picture)
    except (ValueError, OSError):
        return False
    return True
