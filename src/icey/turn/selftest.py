"""The self-test of the TURN server: a real client allocates, and passes a datagram through."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from icey._core import probe_turn
from icey.errors import TurnProbeError

if TYPE_CHECKING:
    from icey.turn.service import TurnTarget

Transport: TypeAlias = Literal["udp", "tcp", "tls"]

HERE_TIMEOUT_S = 4.0
"""On this machine a datagram takes a millisecond; the rest is for one that is very busy."""

OUTSIDE_TIMEOUT_S = 1.5
"""To the router and back, or not at all."""


_CAPACITY = 508  # RFC 8656 §19


@dataclass(frozen=True)
class Trial:
    """The result of a probe over one transport.

    Attributes:
        transport: ``udp``, ``tcp`` or ``tls``.
        port: that was tried.
        round_trip_ms: how long a datagram took through the server and back; None: it failed.
        problem: why it failed, "" where it did not.
        full: it failed because there are as many allocations as may be: that is no fault.
    """

    transport: Transport
    port: int
    round_trip_ms: float | None = None
    problem: str = ""
    full: bool = False


def try_here(target: TurnTarget) -> list[Trial]:
    """Probe every transport on this machine. Blocks, for at most `HERE_TIMEOUT_S` each."""
    return _try_all(target, target.host, HERE_TIMEOUT_S)


def try_from_outside(target: TurnTarget) -> list[Trial]:
    """Probe every transport at the external address, which a router has to loop back.

    Blocks, for at most `OUTSIDE_TIMEOUT_S` each. The list is empty where no such address is set.
    """
    return _try_all(target, target.external_ip, OUTSIDE_TIMEOUT_S) if target.external_ip else []


def _try_all(target: TurnTarget, host: str, timeout_s: float) -> list[Trial]:
    ways: list[tuple[Transport, int]] = [("udp", target.port), ("tcp", target.port)]
    if target.tls_port is not None:
        ways.append(("tls", target.tls_port))
    return [_try(target, host, transport, port, timeout_s) for transport, port in ways]


def _try(target: TurnTarget, host: str, transport: Transport, port: int, timeout_s: float) -> Trial:
    try:
        probe = probe_turn(
            host,
            port,
            transport=transport,
            username=target.credential.username,
            credential=target.credential.password,
            certificate=target.certificate if transport == "tls" else "",
            timeout=timeout_s,
        )
    except TurnProbeError as error:
        return Trial(transport, port, problem=str(error), full=error.code == _CAPACITY)
    return Trial(transport, port, probe.round_trip_ms)
