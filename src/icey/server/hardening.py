"""Security headers on every HTTP response, and the access log."""

from __future__ import annotations

import logging
import re
import time
from typing import TYPE_CHECKING

from starlette.datastructures import Headers, MutableHeaders

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = logging.getLogger("icey.access")

_HOST = re.compile(r"[A-Za-z0-9.\-]{1,253}(:\d{1,5})?|\[[0-9A-Fa-f:.]{2,45}\](:\d{1,5})?")

_FIXED = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",  # a link may carry ?token=
    "X-Frame-Options": "SAMEORIGIN",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), microphone=(self), display-capture=(self)",
}


def fixed_headers() -> dict[str, str]:
    """Return the headers of every response that are the same for all."""
    return dict(_FIXED)


class Hardening:
    """ASGI middleware around the whole application.

    The page may load its own scripts, styles and pictures and speak to this server, and
    may be framed by pages of this server only: a page that can ask for the camera
    must not be overlaid by a stranger's.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and add the headers to its response."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.monotonic()
        host = Headers(scope=scope).get("host", "")
        status = 0

        async def send_hardened(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in _FIXED.items():
                    headers[name] = value
                headers["Content-Security-Policy"] = content_security_policy(host)
            await send(message)

        try:
            await self._app(scope, receive, send_hardened)
        finally:
            # The path without its query: that may hold the token.
            log.debug(
                "%s %s %s %d %.1f ms",
                (scope.get("client") or ("-",))[0],
                scope["method"],
                ascii(scope["path"]),
                status,
                (time.monotonic() - started) * 1000,
            )


def content_security_policy(host: str) -> str:
    """Return the policy for a page that was requested under this ``Host``.

    Safari before 15.4 does not count WebSockets among ``'self'``, so they are named.
    """
    sockets = f" ws://{host} wss://{host}" if _HOST.fullmatch(host) else ""
    return (
        "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'; "
        "img-src 'self' data: blob:; media-src 'self' blob:; worker-src 'self' blob:; "
        f"manifest-src 'self'; connect-src 'self'{sockets}; "
        "base-uri 'none'; form-action 'self'; frame-ancestors 'self'"
    )
