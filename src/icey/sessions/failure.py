"""The words for calls whose ICE failed."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def what_to_change(*, webrtc_port: int, turn_port: int | None, external_ip: str) -> str:
    """Name the ports and settings that the operator can change.

    Args:
        webrtc_port: the UDP port of the media.
        turn_port: UDP and TCP port of TURN; None where that is off.
        external_ip: ``turn.externalIp``.
    """
    by_turn = (
        "or turn TURN on (turn.enabled)"
        if turn_port is None
        else f"or UDP and TCP port {turn_port} (turn.port)"
    )
    address = (
        f"see that turn.externalIp {external_ip} is this machine's public address"
        if external_ip
        else "behind a NAT or in a container, set turn.externalIp"
    )
    return f"open UDP port {webrtc_port} (webrtc.port) to browsers, {by_turn}; {address}"


def what_was_seen(pairs: Sequence[str]) -> str:
    """Join the candidate pairs that the engine checked into one line of a log."""
    return "; ".join(pairs) or "nothing"
