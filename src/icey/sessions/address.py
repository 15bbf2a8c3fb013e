"""Which address the packet engine binds, from the host that HTTP listens on."""

from __future__ import annotations

import ipaddress
import socket

from icey.errors import EngineError

__all__ = ["bind_address"]


def bind_address(host: str) -> str:
    """Turn ``http.host`` into an IP address: the media are reachable where the page is.

    Raises:
        EngineError: the name has no address.
    """
    try:
        return str(ipaddress.ip_address(host.strip("[]")))
    except ValueError:
        pass  # a name, not an address
    try:
        return str(socket.gethostbyname(host))
    except OSError as error:
        message = f"http.host '{host}' has no address ({error}); give an IP address of this machine"
        raise EngineError(message) from error
