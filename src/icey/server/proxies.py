"""Who stands behind a proxy: ``X-Forwarded-For`` and ``-Proto``, believed of trusted ones. Pure."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable

_Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
_MAX_HOPS = 32


class TrustedProxies:
    """The proxies of ``http.trustedProxies``.

    Args:
        networks: addresses and networks, such as ``10.0.0.0/8``.
    """

    def __init__(self, networks: Iterable[str] = ()) -> None:
        self._networks = [ipaddress.ip_network(network, strict=False) for network in networks]

    def trusts(self, host: str) -> bool:
        """Return whether an address is a trusted proxy's."""
        if not self._networks:
            return False
        address = _address(host)
        return address is not None and any(address in network for network in self._networks)

    def client(self, peer: str, forwarded_for: Iterable[str]) -> str:
        """Return the address of the client.

        That is the last address in ``X-Forwarded-For`` that is no trusted proxy's: what stands
        before it, the client itself may have written.

        Args:
            peer: the address at the other end of the connection.
            forwarded_for: the values of every such header, in their order.
        """
        client = peer
        hops = [hop.strip() for value in forwarded_for for hop in value.split(",")]
        for hop in reversed(hops[-_MAX_HOPS:]):
            if not self.trusts(client):
                break
            address = _address(_without_port(hop))
            if address is None:  # "unknown", or a name: nobody that could be counted
                break
            client = str(address)
        return client


def is_loopback(host: str) -> bool:
    """Return whether an address is of this machine alone."""
    address = _address(host)
    return address is not None and address.is_loopback


def _address(host: str) -> _Address | None:
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def _without_port(hop: str) -> str:
    """Take the port off, which some proxies append, and the brackets."""
    if hop.startswith("["):
        return hop[1:].partition("]")[0]
    return hop.partition(":")[0] if hop.count(":") == 1 else hop
