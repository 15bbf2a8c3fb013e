"""The check of the TURN server: a client uses it over every transport."""

from __future__ import annotations

import contextlib
import ipaddress
from typing import TYPE_CHECKING

from icey.errors import AddressInUseError, EngineError
from icey.preflight.finding import Finding, failed, passed, warned
from icey.preflight.network import media_address

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from icey.config.model import Settings
    from icey.preflight.running import Running
    from icey.turn.selftest import Trial
    from icey.turn.service import TurnTarget

_OFF = "or go without TURN: --no-turn or turn.enabled"


def check_turn(settings: Settings, running: Running | None) -> Finding:
    """Allocate over UDP, TCP and TLS, and pass a datagram through each.

    Before the start a TURN server is opened for the test, on the ports that the real one will
    have; of a running server it is that one that is tried.
    """
    if not settings.turn.enabled:
        return passed("off")
    if running is not None:
        return _try(settings, running.turn) if running.turn is not None else passed("off")
    try:
        with _for_the_test(settings) as target:
            return _try(settings, target)
    except AddressInUseError as error:
        setting = "turn.tlsPort"
        if error.port != settings.turn.tls_port or not settings.turn.tls_port:
            setting = "--turn-port or turn.port"
        return failed(
            f"not tried: {error}; stop what uses it (is another icey-server running?), choose "
            f"another port with {setting}, {_OFF}"
        )
    except (EngineError, OSError) as error:
        return failed(f"cannot be opened: {error}; {_OFF}")


@contextlib.contextmanager
def _for_the_test(settings: Settings) -> Iterator[TurnTarget]:
    from icey._core import Engine  # noqa: PLC0415 - the extension, which `--no-turn` need not load
    from icey.turn.service import TurnService  # noqa: PLC0415

    host = media_address(settings.http.host)
    with (
        contextlib.closing(
            Engine(host=host, additional_hosts=settings.webrtc.additional_hosts)
        ) as engine,
        contextlib.closing(TurnService(engine, settings, host=host)) as service,
    ):
        yield service.target()


def _try(settings: Settings, target: TurnTarget) -> Finding:
    from icey.turn.selftest import try_from_outside, try_here  # noqa: PLC0415

    here = try_here(target)
    problems = [f"{_way(trial)}: {trial.problem}" for trial in here if trial.problem]
    if problems and all(trial.full for trial in here if trial.problem):
        return warned(
            "all allocations are in use: no further browser gets one; raise turn.maxAllocations"
        )
    if problems:
        return failed(
            f"the self-test failed on {target.host}: {'; '.join(problems)}; see that no firewall "
            f"of this machine blocks the port, {_OFF}"
        )
    seen = ", ".join(f"{_way(trial)} {trial.round_trip_ms:.2f} ms" for trial in here)
    hindrances = (
        _from_outside(target.external_ip, try_from_outside(target)),
        reachability(settings.http.host, settings.turn.external_ip, target.addresses),
    )
    advice = "; ".join(filter(None, hindrances))
    if advice:
        return warned(f"{advice} (on this machine it works: {seen})")
    return passed(f"a datagram passed through by {seen}")


def _way(trial: Trial) -> str:
    return f"{trial.transport.upper()} {trial.port}"


def _from_outside(external_ip: str, trials: Sequence[Trial]) -> str:
    shut = [_way(trial) for trial in trials if trial.problem]
    if not shut:
        return ""
    return (
        f"{' and '.join(shut)} did not answer at turn.externalIp {external_ip}: forward "
        f"{'them' if len(shut) > 1 else 'it'} to this machine; where that is so, the router does "
        "not loop back, and only a try from another network can tell"
    )


def reachability(host: str, external_ip: str, addresses: Sequence[str]) -> str:
    """Return why browsers in other networks cannot reach the server; "" where they can.

    Args:
        host: ``http.host``.
        external_ip: ``turn.externalIp``.
        addresses: under which the media of this server can be reached.
    """
    if external_ip:
        if ipaddress.ip_address(external_ip).is_global:
            return ""
        return (
            f"turn.externalIp {external_ip} is not a public address: browsers in other networks "
            "cannot reach it"
        )
    if host not in {"0.0.0.0", "::"}:  # noqa: S104 - a comparison
        return ""
    if any(ipaddress.ip_address(address).is_global for address in addresses):
        return ""
    return (
        "this machine has no public address and turn.externalIp is not set: browsers in its own "
        "network are served; for others, and in a container, give the address by which it is "
        "reached with --turn-external-ip or turn.externalIp, and forward the ports of TURN"
    )
