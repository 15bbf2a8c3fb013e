"""The running TURN server: starts it with the settings, makes credentials, counts, closes it."""

from __future__ import annotations

import ipaddress
import os
import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from icey._core import TurnServer
from icey.turn.credentials import CredentialMint

if TYPE_CHECKING:
    from icey._core import Engine
    from icey.config.model import Settings
    from icey.turn.credentials import Credential

_PROBE_TTL_S = 60


@dataclass(frozen=True)
class TurnTarget:
    """What a self-test needs to reach a running TURN server.

    Attributes:
        host: an address of this machine at which it answers.
        external_ip: the address that it is reached by from outside; "" where that is the same.
        port: UDP and TCP port.
        tls_port: of ``turns:``; None where that is off.
        certificate: path of what it shows there; "" where that is off.
        addresses: under which the media of this server can be reached.
        credential: good for a minute.
    """

    host: str
    external_ip: str
    port: int
    tls_port: int | None
    certificate: str
    addresses: tuple[str, ...]
    credential: Credential


class TurnService:
    """A TURN server beside an engine. The caller closes it before the engine.

    Args:
        engine: whose media may be reached through it.
        settings: the settings in force; ``http.port`` is the one that is really bound.
        host: the IP address to bind.

    Raises:
        AddressInUseError: ``turn.port`` or ``turn.tlsPort`` is taken.
        EngineError: an address cannot be used, or the certificate.
    """

    def __init__(self, engine: Engine, settings: Settings, *, host: str) -> None:
        turn, tls = settings.turn, settings.tls
        # A random one at each start: credentials do not outlive the process, and none is built in.
        secret = turn.secret.get_secret_value() or secrets.token_urlsafe(32)
        over_tls = bool(turn.tls_port) and tls.cert is not None and tls.key is not None
        certificate = os.fspath(tls.cert) if over_tls and tls.cert is not None else ""
        key = os.fspath(tls.key) if over_tls and tls.key is not None else ""
        self._host, self._certificate = host, certificate
        self._external_ip = turn.external_ip
        self._addresses = tuple(engine.addresses)
        self._mint = CredentialMint(
            secret.encode(), ttl_seconds=turn.credential_ttl_seconds, suffix=turn.username
        )
        self._server = TurnServer(
            engine,
            host=host,
            port=turn.port,
            tls_port=turn.tls_port if over_tls else None,
            certificate=certificate,
            key=key,
            realm=turn.realm,
            secret=secret.encode(),
            external_ip=turn.external_ip,
            allow_internet_relay=turn.allow_internet_relay,
            allow_local_relay=turn.allow_local_relay,
            refused_ports=[settings.http.port] if settings.http.port else [],
            max_allocations=turn.max_allocations,
            user_quota=turn.user_quota,
            address_quota=turn.address_quota,
            max_bitrate=turn.max_bitrate,
            relay_ports=(turn.relay_port_min, turn.relay_port_max),
        )

    @property
    def port(self) -> int:
        """The UDP and TCP port that is really bound."""
        return self._server.port

    @property
    def tls_port(self) -> int | None:
        """The TCP port of ``turns:``; None where that is off."""
        return self._server.tls_port

    def credential(self) -> Credential:
        """Return a credential for one page."""
        return self._mint.mint(time.time())

    def target(self) -> TurnTarget:
        """Return what a self-test needs, with a credential of a short life."""
        return TurnTarget(
            host=_answering(self._host),
            external_ip=self._external_ip,
            port=self.port,
            tls_port=self.tls_port,
            certificate=self._certificate,
            addresses=self._addresses,
            credential=self._mint.mint(time.time(), ttl_seconds=_PROBE_TTL_S),
        )

    def status(self) -> dict[str, Any]:
        """Return the counters, as ``/api/status`` shows them."""
        stats = self._server.stats()
        return {
            "allocations": {"active": stats.allocations, "total": stats.allocations_total},
            "connections": {
                "active": stats.connections,
                "total": stats.connections_total,
                "refused": stats.connections_refused,
                "dropped": stats.connections_dropped,
            },
            "toPeers": {"packets": stats.packets_to_peers, "bytes": stats.bytes_to_peers},
            "fromPeers": {"packets": stats.packets_from_peers, "bytes": stats.bytes_from_peers},
            "packetsShortCut": stats.packets_short_cut,
            "packetsDropped": stats.packets_dropped,
            "panics": stats.panics,
            "refusals": stats.refusals,
        }

    def close(self) -> None:
        """End every allocation and free the ports."""
        self._server.close()


def _answering(host: str) -> str:
    """Return an address to send to, from one that was bound: nothing can be sent to `0.0.0.0`."""
    address = ipaddress.ip_address(host)
    if address.is_unspecified:
        return "127.0.0.1" if address.version == 4 else "::1"
    return host
