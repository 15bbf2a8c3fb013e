"""The settings of ``limits``: what strangers may take, in all and by address.

Whom a bound by address counts as one says `icey.network.network_of`: an IPv4 address, or a /64 of
IPv6. 0 is no bound.
"""

from __future__ import annotations

from typing import Annotated, TypeAlias

from pydantic import Field

from icey.config.group import SettingsModel

Bound: TypeAlias = Annotated[int, Field(ge=0, le=100_000)]


class LimitsSettings(SettingsModel):
    """``limits``: bounds by address, where a /64 of IPv6 counts as one; 0 is no bound."""

    connections: Bound = 4096
    """TCP connections of HTTP and WebSockets at a time, fewer where the system allows too few open
    files. One more takes the place of an idle one; where none is idle it gets 503."""

    connections_per_address: Bound = 256
    """Such connections of one address; those of `http.trustedProxies` count in all only."""

    sockets: Bound = 2048
    """WebSockets at a time; one more gets 503."""

    sockets_per_address: Bound = 128
    """WebSockets of one address; one more gets 429."""

    event_readers: Bound = 64
    """Readers of `/api/events` at a time; one more gets 503."""

    event_readers_per_address: Bound = 16
    """Readers of `/api/events` of one address; one more gets 429."""
