"""What the operator should know of the access: what is open to strangers, a token too short."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from icey.config.model import Settings

TOKEN_CHARACTERS = 16
"""An access token of fewer draws a warning."""

_MAY = {
    "stream": "watch, and list and fetch recordings",
    "record": "publish, and list and fetch recordings",
    "relay": "publish and watch, and list and fetch recordings",
}


def access_warnings(settings: Settings) -> list[str]:
    """Return what others than this machine may do without a token, and what to set.

    Or that the token is too short; nothing where there is nothing to say.
    """
    token = settings.auth.token.get_secret_value()
    if len(token) >= TOKEN_CHARACTERS:
        return []
    if token:
        short = f"auth.token has fewer than {TOKEN_CHARACTERS} characters, so it can be guessed"
        return [f"{short}: take a longer one (openssl rand -hex 16)"]
    host, may = settings.http.host, _MAY[settings.media.mode]
    if _is_this_machine(host):
        return []
    who = f"whoever reaches {host} port {settings.http.port} may {may} without a token"
    return [f"{who}: set auth.token (ICEY_AUTH_TOKEN), or http.host to 127.0.0.1"]


def _is_this_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
