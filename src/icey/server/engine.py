"""The packet engine and the TURN server beside it: opened by the settings, closed in order."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from icey._core import Engine
from icey.errors import EngineError
from icey.preflight.network import media_address
from icey.turn.service import TurnService

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from icey.config.model import Settings


@contextlib.asynccontextmanager
async def running_engine(settings: Settings) -> AsyncIterator[tuple[Engine, TurnService | None]]:
    """Bind the media ports; yield the engine and its TURN server, None where that is turned off.

    Names are looked up, and the engine's threads waited for, in a thread.

    Raises:
        AddressInUseError: ``webrtc.port``, ``turn.port`` or ``turn.tlsPort`` is taken.
        EngineError: an address in ``http.host`` or ``webrtc.additionalHosts`` cannot be used, or
            the certificate of TURN.
    """
    opened = contextlib.ExitStack()
    try:
        yield await asyncio.to_thread(_open_blocking, settings, opened)
    finally:
        await asyncio.to_thread(opened.close)


def _open_blocking(
    settings: Settings, opened: contextlib.ExitStack
) -> tuple[Engine, TurnService | None]:
    host = _bind_address(settings.http.host)
    external = [settings.turn.external_ip] if settings.turn.external_ip else []
    engine = Engine(
        host=host,
        port=settings.webrtc.port,
        additional_hosts=[*external, *settings.webrtc.additional_hosts],
    )
    opened.callback(engine.close)
    if not settings.turn.enabled:
        return engine, None
    turn = TurnService(engine, settings, host=host)
    opened.callback(turn.close)
    return engine, turn


def _bind_address(host: str) -> str:
    """Turn ``http.host`` into an IP address: the media are reachable where the page is.

    Raises:
        EngineError: the name has no address.
    """
    try:
        return media_address(host.strip("[]"))
    except OSError as error:
        message = f"http.host '{host}' has no address ({error}); give an IP address of this machine"
        raise EngineError(message) from error
