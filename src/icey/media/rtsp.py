"""RTSP sources as streams that the engine receives.

The engine's client hands on an access unit with its last packet; FFmpeg's parser waits for the next
picture. What it cannot take is FFmpeg's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from icey import _core
from icey.media import input as media_input
from icey.media.rtsp_url import parse_rtsp

if TYPE_CHECKING:
    from icey.media.input import RtspTransport
    from icey.media.source import Source


def connect(source: Source, transport: RtspTransport) -> _core.RtspSource:
    """Have an RTSP source play. Blocks.

    Raises:
        UnsupportedError: FFmpeg may fare better.
        EngineError: the camera cannot be had.
    """
    address = parse_rtsp(source.location)
    return _core.RtspSource(
        url=address.url,
        user=address.user,
        password=address.password,
        transport=transport,
        open_timeout_s=media_input.OPEN_TIMEOUT_S,
        silence_s=media_input.READ_TIMEOUT_S,
    )
