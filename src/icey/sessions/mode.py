"""The steps of a call at which stream, record and relay differ.

`icey.sessions.calls.Calls` does the steps that are alike. It calls everything here on the event
loop, and none of it blocks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

if TYPE_CHECKING:
    from icey._core import BitrateEstimated, KeyframeRequested, MediaStarted, Peer, PeerCongested
    from icey.sessions.calls import Call

    MediaEvent: TypeAlias = KeyframeRequested | BitrateEstimated | MediaStarted | PeerCongested
    """The events of a peer between its connection and its end."""

CLOSE_SECONDS = 4.0
"""How long the work of calls may take when the server ends, where no file is to be finished."""


class Session(Protocol):
    """One call that has sent its offer, in its mode."""

    @property
    def peer(self) -> Peer:
        """Its peer in the engine, made for this call."""

    async def answered(self) -> None:
        """An offer, the first or a later one, was answered."""

    def reached(self) -> None:
        """The caller's first STUN check was answered, once, before `connected`.

        Until then it has proved nothing, and nothing costly is done for it.
        """

    def connected(self) -> None:
        """ICE and DTLS are up."""

    def handle_event(self, event: MediaEvent) -> None:
        """Take an event of the peer's media."""

    def close(self) -> None:
        """The call is over: close the peer and free what belongs to it."""


class Mode(Protocol):
    """The calls of one mode."""

    @property
    def close_seconds(self) -> float:
        """How long the work of its calls may take when the server ends."""

    def start(self) -> None:
        """Begin what goes on without calls."""

    async def refusal(self) -> str | None:
        """Say why no caller can be served now; None where one can."""

    def open(self, call: Call, offer: str) -> Session:
        """Make the peer of a call whose first offer is here.

        Raises:
            OfferError: this mode does not do what the offer wants; its reason is for the caller.
        """

    def tick(self) -> None:
        """Do what is due; called four times a second."""

    def status(self) -> dict[str, Any]:
        """Return the mode's part of `Calls.status`, which takes the place of equal keys."""

    def close(self) -> None:
        """Every call is hung up and the server ends: free what is left."""
