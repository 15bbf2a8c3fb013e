"""What the operator should know of the access: what is open, a token too short. Pure."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from icey.config.model import Settings

TOKEN_CHARACTERS = 16
"""An access token of fewer draws a warning."""

_MAY = {
    "stream": "watch, and list and fetch what is kept",
    "record": "publish, and list and fetch recordings",
    "relay": "publish and watch, and list and fetch recordings",
}


def exposure(settings: Settings) -> str:
    """Say in one sentence what others than this machine may do without a token, and what to set.

    Args:
        settings: the settings in force. A host name other than ``localhost`` counts as reachable:
            what it resolves to is not known here.

    Returns:
        The sentence; empty where a token or the address keeps others out.
    """
    host, port = settings.http.host, settings.http.port
    if settings.auth.token.get_secret_value() or _is_this_machine(host):
        return ""
    return (
        f"whoever reaches {host} port {port} may {_MAY[settings.media.mode]} without a token:"
        " set auth.token (ICEY_AUTH_TOKEN), or http.host to 127.0.0.1"
    )


def access_warnings(settings: Settings) -> list[str]:
    """Return `exposure`, or that the token is too short; nothing where there is nothing to say."""
    token = settings.auth.token.get_secret_value()
    if token and len(token) < TOKEN_CHARACTERS:
        short = f"auth.token has fewer than {TOKEN_CHARACTERS} characters, so it can be guessed"
        return [f"{short}: take a longer one (openssl rand -hex 16)"]
    exposed = exposure(settings)
    return [exposed] if exposed else []


def _is_this_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost" or host.lower().endswith(".localhost")
