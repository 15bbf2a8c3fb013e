"""What others than this machine may do without a token, in one sentence. Pure."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from icey.config.model import Settings

_MAY = {
    "stream": "watch, and list and fetch what is kept",
    "record": "publish, and list and fetch recordings",
    "relay": "publish and watch, and list and fetch recordings",
}


def exposure(settings: Settings) -> str:
    """Return the sentence, with what to set; empty where a token or the address keeps others out.

    Args:
        settings: the settings in force. A host name other than ``localhost`` counts as reachable:
            what it resolves to is not known here.
    """
    if settings.auth.token.get_secret_value() or _is_loopback(settings.http.host):
        return ""
    return (
        f"everybody who reaches {settings.http.host} may {_MAY[settings.media.mode]} without a"
        " token: set auth.token (ICEY_AUTH_TOKEN), or http.host to 127.0.0.1"
    )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"
