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

    calls: Bound = 1024
    """Calls at a time, in whichever state; one more is rejected."""

    calls_per_address: Bound = 128
    """Calls of one address; one more is rejected."""

    unconnected_calls: Bound = 256
    """Calls at a time whose media path is not up yet; one more is rejected."""

    unconnected_calls_per_address: Bound = 64
    """Such calls of one address; one more is rejected."""

    encoders_per_address: Bound = 0
    """Encoders of `media.maxEncoders` that callers of one address may have. 0 leaves a quarter of
    them to other addresses where that is `auto`, and none where it is a number."""

    recordings: Bound = 64
    """Callers that are recorded at a time; one more is rejected."""

    recordings_per_address: Bound = 32
    """Such callers of one address; one more is rejected."""

    recording_bytes: Annotated[int, Field(ge=0, le=2**50)] = 64 * 2**30
    """Bytes that one recorded call may write, in all its files; at them it is hung up, and what it
    sent is kept."""

    recording_seconds: Annotated[int, Field(ge=0, le=10**9)] = 86_400
    """Seconds for which one call may be recorded; likewise."""

    recording_bitrate: Annotated[int, Field(ge=0, le=1_000_000_000)] = 20_000_000
    """Bit/s that a recorded caller may send; browsers are told, and who sends half more over 10 s
    is hung up."""
