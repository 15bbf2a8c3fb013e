"""The settings of ``limits``: what strangers may take, in all and by address.

Whom a bound by address counts as one says `icey.network.network_of`: an IPv4 address, or a /64 of
IPv6. 0 is no bound.
"""

from __future__ import annotations

from typing import Annotated, TypeAlias

from pydantic import Field

from icey.config.group import SettingsModel

Bound: TypeAlias = Annotated[int, Field(ge=0, le=100_000)]
Bytes: TypeAlias = Annotated[int, Field(ge=0, le=1_000_000_000)]


class LimitsSettings(SettingsModel):
    """``limits``: bounds by address, where a /64 of IPv6 counts as one; 0 is no bound."""

    connections: Bound = 4096
    """TCP connections of HTTP and WebSockets at a time, fewer where the system allows too few open
    files. One more takes the place of an idle one; where none is idle it gets 503."""

    connections_per_address: Bound = 1024
    """Such connections of one address; those of `http.trustedProxies` count in all only."""

    requests_per_address: Bound = 100
    """HTTP requests a second of one address, twice as many at once; more wait in turn. A TLS
    handshake counts as four."""

    sockets: Bound = 2048
    """WebSockets at a time; one more gets 503."""

    sockets_per_address: Bound = 512
    """WebSockets of one address; one more gets 429."""

    event_readers: Bound = 64
    """Readers of `/api/events` at a time; one more gets 503."""

    event_readers_per_address: Bound = 16
    """Readers of `/api/events` of one address; one more gets 429."""

    room_peers: Bound = 500
    """Peers in one room of the signalling; to join a full one is refused. Who comes while `public`
    is full calls the server all the same, but others are not shown it until there is room."""

    sender_bytes: Bytes = 262_144
    """Bytes a second that the messages of one WebSocket may cost at all receivers together, eight
    seconds' worth at once; all of one address have four times that. The excess gets `error` 429."""

    receiver_bytes: Bytes = 32_768
    """Bytes a second that one WebSocket is sent of other peers' messages and presence, two seconds'
    worth at once. The excess waits, then is dropped; the server's own messages do not count."""
