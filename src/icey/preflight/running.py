"""The ports and the source that a running server holds, so that no check tries to take them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from icey.turn.service import TurnTarget


@dataclass(frozen=True)
class SourceState:
    """The state of a live source that the server has open: it cannot be opened a second time.

    Attributes:
        healthy: it gives pictures, or is idle after having done so.
        detail: the same in words, without credentials or an absolute path.
    """

    healthy: bool
    detail: str


@dataclass(frozen=True)
class Running:
    """The ports and the source of the server that asks.

    Attributes:
        http_port: the TCP port that it really listens on; None is "not yet".
        webrtc_port: the UDP port of the peers; None is "not yet".
        source: the state of its live source; None where none is open.
        turn: its TURN server; None where that is off.
    """

    http_port: int | None = None
    webrtc_port: int | None = None
    source: SourceState | None = None
    turn: TurnTarget | None = None
