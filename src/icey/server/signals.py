"""SIGINT and SIGTERM: the first one asks the server to stop, a second one ends the process."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextlib.contextmanager
def stop_requests() -> Iterator[asyncio.Event]:
    """Yield an event that the first signal sets.

    From then on both signals have the system's default action, so that a second one ends
    the process at once, whatever it is busy or stuck with.
    """
    loop = asyncio.get_running_loop()
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    requested = asyncio.Event()

    def stop() -> None:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_DFL)
        requested.set()

    for number in _SIGNALS:
        loop.add_signal_handler(number, stop)
    try:
        yield requested
    finally:
        if not requested.is_set():
            for number in _SIGNALS:
                loop.remove_signal_handler(number)
                signal.signal(number, before[number])
