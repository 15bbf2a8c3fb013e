"""Which reader a source has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from icey.media.capture import LiveReader
from icey.media.demo_reader import DemoReader
from icey.media.playback import FileReader
from icey.media.rtsp_reader import RtspReader

if TYPE_CHECKING:
    from icey.config.model import MediaSettings
    from icey.media.buffer import MediaBuffer
    from icey.media.reader import Reader
    from icey.media.source import Source


def open_reader(source: Source, settings: MediaSettings, buffer: MediaBuffer) -> Reader:
    """Make the reader of a source; nothing is opened yet."""
    if source.kind == "demo":
        return DemoReader(settings, buffer)
    if source.scheme == "rtsp":
        return RtspReader(source, settings, buffer)
    if source.live and source.scheme not in {"http", "https"}:
        return LiveReader(source, settings, buffer)
    return FileReader(source, settings, buffer)
