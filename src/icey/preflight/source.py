"""The check of the source: opens it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from icey.errors import SourceError
from icey.media.source import escaped, parse_source
from icey.preflight.finding import Finding, failed, passed, warned

if TYPE_CHECKING:
    from icey.config.model import MediaSettings, Settings, VideoSettings
    from icey.media.probe import SourceInfo
    from icey.media.source import Source
    from icey.preflight.running import Running

PROBE_TIMEOUT_SECONDS = 10.0
"""How long a camera or a URL may take to show its first picture."""


def describe_source(settings: MediaSettings, *, public: bool) -> dict[str, object]:
    """Return ``source`` of the report: its value, its kind, and whether it is remote.

    Args:
        settings: the media settings.
        public: without the folder of a file.
    """
    try:
        source = parse_source(settings.source)
    except SourceError as error:
        return {
            "value": error.source,
            "kind": "none" if not settings.source else "",
            "remote": False,
        }
    shown = source.kind == "file" and not public
    value = escaped(settings.source) if shown else source.public
    return {"value": value, "kind": source.kind, "remote": source.kind == "url"}


def check_source(settings: Settings, running: Running | None) -> Finding:
    """Open the source and decode its beginning, unless this server has it open already."""
    media = settings.media
    if media.mode != "stream":
        return passed(f"not used in {media.mode} mode")
    if not media.source:
        return failed(
            "no source is set: give a file, a device or a URL with --source or media.source, "
            "or demo: for a test picture"
        )
    if running is not None and running.source is not None:
        state = running.source
        return passed(state.detail) if state.healthy else warned(state.detail)
    return _open(media, running=running is not None)


def _open(media: MediaSettings, *, running: bool) -> Finding:
    text = media.source
    try:
        source = parse_source(text)
    except SourceError as error:
        return failed(f"{error}; correct --source or media.source")
    if running and source.live:
        # The sessions open it when somebody watches; a camera that is probed now and then
        # would be busy at that moment.
        return passed(f"{source.public}: live, not opened a second time")
    try:
        return passed(_describe(source, _probe(source, media.video)))
    except SourceError as error:
        name = Path(escaped(text)) if source.kind == "file" else source.public
        advice = _ADVICE[source.kind]
        if source.kind == "device":
            advice = _DEVICE_ADVICE.get(error.detail, advice)
        return failed(name, f": {error.detail or error}; {advice}")


_ADVICE: dict[str, str] = {
    "demo": "this is a fault of the server",
    "file": "correct the path in --source or media.source, or try a file that FFmpeg can play",
    "device": "see that it is plugged in, not used by another program, and that this user may "
    "read it, or correct --source or media.source",
    "url": "see that it is switched on and reachable from here and that user and password are "
    "right, or correct --source or media.source",
}


_DEVICE_ADVICE = {
    "Device or resource busy": "another program uses the camera: end that one "
    "(fuser -v /dev/video* shows which), or give another camera as --source or media.source",
    "No such file or directory": "plug the camera in, or give one that is there as --source or "
    "media.source (ls /dev/video* shows them)",
    "Permission denied": "let this user read the camera (on most systems: sudo usermod -aG video "
    "USER, then log in again), or give another camera as --source or media.source",
    "no picture came in time": "the camera is there but sends nothing: plug it in anew, into "
    "another USB port, not beside another camera",
}
"""What to do about a camera, by what FFmpeg, or the system, said."""


def _probe(source: Source, video: VideoSettings) -> SourceInfo:
    from icey.media.probe import probe  # noqa: PLC0415 - it loads FFmpeg, which `demo:` need not

    return probe(source, video, timeout_s=PROBE_TIMEOUT_SECONDS)


def _describe(source: Source, info: SourceInfo) -> str:
    """Return codec, size, rate and sound as text."""
    if source.kind == "demo":
        return "demo: a test picture with a clock and a tone, made by the server"
    picture = "no picture"
    if info.video:
        rate = f" at {info.fps:.4g} fps" if info.fps else ""
        picture = f"{info.video} {info.width}x{info.height}{rate}"
    sound = "no sound"
    if info.audio:
        sound = f"{info.audio} {info.sample_rate} Hz, {info.channels} channel(s)"
    return f"{source.public}: {picture}; {sound}"
