"""Sessions: what the server does with a call, one module a mode."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from icey._core import Engine
    from icey.config.model import Settings
    from icey.sessions.mode import Mode
    from icey.sessions.work import Work

__all__ = ["open_mode"]


def open_mode(
    settings: Settings,
    engine: Engine,
    work: Work,
    *,
    publish: Callable[[str, Mapping[str, Any]], None],
    sign: Callable[[str], str],
) -> Mode:
    """Open the configured mode.

    Args:
        settings: the settings in force.
        engine: where its peers live.
        work: runs what may block.
        publish: takes a kind (``icey:vision``, …) and its data for other programs.
        sign: makes a path below ``/artifacts/`` a link that opens without the token.

    Raises:
        SourceError: ``media.source`` is not written as a source.
        ConfigError: a configured detector cannot be had.
    """
    # Imported here, since FFmpeg takes a good part of the time to start.
    if settings.media.mode == "record":
        from icey.sessions.record import RecordMode  # noqa: PLC0415

        return RecordMode(settings.media, engine, work)

    if settings.media.mode == "relay":
        from icey.sessions.relay import RelayMode  # noqa: PLC0415

        return RelayMode(settings.media.relay, engine, work)

    from icey.sessions.stream import StreamMode  # noqa: PLC0415

    return StreamMode(settings, engine, work, publish=publish, sign=sign)
