"""What the server asks of a mode: one interface, one class a mode."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from icey.turn.service import TurnService

__all__ = ["SendMessage", "SessionService"]

SendMessage = "Callable[[str, dict[str, Any]], None]"
"""Send a message to the peer at an address ``user|id``, as the server's virtual peer."""


class SessionService(Protocol):
    """The calls of one mode. Every method is called on the event loop, and none blocks it."""

    @property
    def turn(self) -> TurnService | None:
        """The TURN server through which the media of these calls may come; None where it is off."""

    async def start(self) -> None:
        """Begin work; called before the HTTP port opens."""

    def connect(self, send: Callable[[str, dict[str, Any]], None]) -> None:
        """Take the way by which the virtual peer speaks; called once, before `start`."""

    def connect_events(
        self, publish: Callable[[str, Mapping[str, Any]], None], sign: Callable[[str], str]
    ) -> None:
        """Take the way on which events go to other programs; called once, before `start`.

        Args:
            publish: takes a kind (``icey:vision``, …) and its data, on the event loop.
            sign: makes a path below ``/artifacts/`` a link that opens without the token.
        """

    def deliver(self, sender: str, message: Mapping[str, Any]) -> None:
        """Take a message that a peer sent to the virtual peer.

        Args:
            sender: the address ``user|id``, as the server knows it.
            message: the frame; whatever a remote can write, so nothing in it is believed.
        """

    def caller_left(self, address: str) -> None:
        """The peer's WebSocket is closed: end its call."""

    def status(self) -> dict[str, Any]:
        """Tell the server how the calls fare.

        ``sessions`` (``active``, ``total``), ``state``, ``warnings`` and ``engine`` (its counters)
        go into ``/api/status``;
        ``source`` (``healthy``, ``detail``, or None) and ``webrtcPort`` tell the preflight check
        of a running server what this very server holds.
        """

    @property
    def close_seconds(self) -> float:
        """How long `close` takes at most."""

    async def close(self, reason: str) -> None:
        """Hang up every call with this reason, finish what is being written, free everything."""
