"""Whom a bound by address counts as one."""

from __future__ import annotations

import ipaddress


def network_of(host: str) -> str:
    """Return the network that bounds by address count as one stranger.

    An IPv4 address is one; of IPv6 a /64 is one, since that is what one line is given (RFC 6177
    §2); an IPv4-mapped address is its IPv4 address.

    Args:
        host: an address as sockets tell it, a zone (``%eth0``) allowed; what is none is itself.
    """
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ipaddress.IPv6Network((address, 64), strict=False))
    return str(address)
