"""Which upgrades to a WebSocket are let in: path, name, origin, and how many there are already."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING

from icey.server.auth import origin_allowed
from icey.server.hosts import count_misdirected, misdirected

if TYPE_CHECKING:
    from collections.abc import Sequence

    from icey.quota import Quota
    from icey.refusals import Refusals
    from icey.server.hosts import HostNames

PATHS = frozenset({"/", "/ws"})
"""Where the upgrade is accepted: stock clients connect to the bare origin."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The answer to an upgrade that is refused."""

    status: HTTPStatus
    text: str


@dataclass(frozen=True, slots=True)
class Admission:
    """Decides about upgrades.

    Attributes:
        hosts: the names of this server.
        allowed_origins: ``auth.allowedOrigins``.
        quota: the WebSockets open now, and their bounds.
        refusals: counts what is refused.
    """

    hosts: HostNames
    allowed_origins: Sequence[str]
    quota: Quota
    refusals: Refusals

    def refuses(
        self, path: str, hosts: Sequence[str], origins: Sequence[str], network: str
    ) -> Refused | None:
        """Return why an upgrade is refused, None where it may be accepted.

        Args:
            path: of the request, with its query.
            hosts: every ``Host`` header.
            origins: every ``Origin`` header.
            network: where it comes from (`icey.network.network_of`).
        """
        if path.partition("?")[0] not in PATHS:
            return Refused(HTTPStatus.NOT_FOUND, "WebSockets live at / and /ws\n")
        if len(hosts) != 1 or not self.hosts.admits(hosts[0]):
            count_misdirected(self.refusals, network)
            detail = misdirected(hosts[0] if hosts else "")["detail"]
            return Refused(HTTPStatus.MISDIRECTED_REQUEST, f"{detail}\n")
        if not origin_allowed(origins, hosts, self.allowed_origins):
            reason = "a WebSocket to a page from elsewhere; to allow it, set auth.allowedOrigins"
            self.refusals.count("origins", network, reason)
            return Refused(HTTPStatus.FORBIDDEN, "origin not allowed\n")
        bound = self.quota.exceeded(network)
        if bound is None:
            return None
        name = "socketsPerAddress" if bound == "each" else "sockets"
        self.refusals.count(name, network, f"a WebSocket: all of limits.{name} are in use")
        if bound == "each":
            text = "too many WebSockets of your address\n"
            return Refused(HTTPStatus.TOO_MANY_REQUESTS, text)
        return Refused(HTTPStatus.SERVICE_UNAVAILABLE, "no room left\n")
