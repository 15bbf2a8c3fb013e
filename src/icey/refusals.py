"""Counts what is refused to strangers, and logs it once a minute.

Every bound that protects the server from those who reach it counts here, by a name of its own.
``/api/status`` shows the counts as ``refused``, ``/metrics`` as ``icey_refused_total{what=…}``,
and `docs/security.md` lists the names with their bounds. A flood costs one line a minute.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger(__name__)

LOG_INTERVAL_S = 60.0


class Refusals:
    """The counts of one server. Its methods are called on the event loop.

    Args:
        now: a monotonic clock in seconds.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._counts: Counter[str] = Counter()
        self._logged: dict[str, tuple[float, int]] = {}  # when, and the count at that time

    @property
    def counts(self) -> dict[str, int]:
        """How often each thing was refused since the start, by its name in camelCase."""
        return dict(self._counts)

    def count(self, what: str, network: str, reason: str) -> None:
        """Count a refusal, and log it where none of this kind was logged for a minute.

        Args:
            what: the name of the bound, such as ``socketsPerAddress``; one of few, never of a peer.
            network: whom it was refused to (`icey.network.network_of`).
            reason: for the log, with what to set; no text of a peer.
        """
        self._counts[what] += 1
        now, total = self._now(), self._counts[what]
        at, before = self._logged.get(what, (float("-inf"), 0))
        if now - at < LOG_INTERVAL_S:
            return
        self._logged[what] = now, total
        more = f" ({total - before} times since the last such line)" if total - before > 1 else ""
        log.warning("refused to %s: %s%s", network or "a stranger", reason, more)
