"""Sessions: what the server does with a call, one class a mode."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from icey.config.model import Settings
    from icey.sessions.session import SessionService

__all__ = ["open_sessions"]


def open_sessions(settings: Settings) -> SessionService:
    """Open the packet engine and the sessions of the configured mode.

    Raises:
        AddressInUseError: the UDP port (``webrtc.port``) is taken.
        EngineError: an address in ``http.host`` or ``webrtc.additionalHosts`` cannot be used.
        SourceError: the source is not written as one.
    """
    # Imported here, since the extension and FFmpeg take a good part of the time to start.
    if settings.media.mode == "record":
        from icey.sessions.record import RecordSessions  # noqa: PLC0415

        return RecordSessions(settings)

    if settings.media.mode == "relay":
        from icey.sessions.relay import RelaySessions  # noqa: PLC0415

        return RelaySessions(settings)

    from icey.sessions.stream import StreamSessions  # noqa: PLC0415

    return StreamSessions(settings)
