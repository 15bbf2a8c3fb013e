"""The HTTP API: health, readiness, status and what the browser has to know.

The fields and their names are fixed (`docs/http-api.md`). No answer carries an absolute
path of this machine, the user and password of a URL, or a secret.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.responses import Response

from icey.config.exposure import exposure
from icey.network import network_of
from icey.preflight.report import PRODUCT, SERVICE
from icey.server.metrics import CONTENT_TYPE, metrics_text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from icey.config.model import Settings
    from icey.refusals import Refusals
    from icey.server.artifacts import Artifacts
    from icey.server.auth import AccessToken
    from icey.server.events import EventFeed
    from icey.server.gateway import Gateway
    from icey.server.readiness import Readiness
    from icey.sessions.calls import Calls

READ = ["GET", "HEAD"]
WRITE = ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"]

_ERRORS = {
    400: "bad_request",
    401: "unauthorized",
    404: "not_found",
    405: "method_not_allowed",
    429: "too_many_requests",
    503: "too_many_connections",
}


@dataclass(frozen=True, slots=True)
class ApiContext:
    """The parts of the server that the answers describe.

    Attributes:
        settings: the settings in force.
        version: of this program.
        port: the TCP port that is really bound.
        gateway: the signalling, with the server's own peer.
        token: the access token.
        readiness: the preflight report.
        sessions: the calls.
        artifacts: the recordings.
        events: what the detectors find.
        refusals: what was refused to strangers.
        connections: counts the connections of HTTP.
        started: when the server began, on `time.monotonic`'s clock.
    """

    settings: Settings
    version: str
    port: int
    gateway: Gateway
    token: AccessToken
    readiness: Readiness
    sessions: Calls
    artifacts: Artifacts
    events: EventFeed
    refusals: Refusals
    connections: Callable[[], Mapping[str, int]]
    started: float = field(default_factory=time.monotonic)

    def identity(self) -> dict[str, Any]:
        """Return the name and version of this program."""
        return {"product": PRODUCT, "service": SERVICE, "version": self.version}

    def peer_json(self) -> dict[str, Any]:
        """Return the server's own peer, which browsers call."""
        peer = self.gateway.hub.server
        return {"id": peer.id, "name": peer.name, "type": peer.kind}

    def http_json(self) -> dict[str, Any]:
        """Return where the server listens."""
        return {
            "host": self.settings.http.host,
            "port": self.port,
            "scheme": "https" if self.settings.tls_active else "http",
            "tls": self.settings.tls_active,
        }


def add_api(app: FastAPI, context: ApiContext) -> None:
    """Add the routes below ``/api``, ``/metrics``, and the JSON form of every error."""

    async def require_token(request: Request) -> None:
        network = network_of(request.client.host if request.client else "")
        context.token.check(request.headers.raw, request.scope["query_string"], network)

    @app.api_route("/api/health", methods=READ)
    async def health() -> JSONResponse:
        return _json({"status": "ok", **context.identity()})

    app.include_router(_protected_routes(context), dependencies=[Depends(require_token)])

    @app.api_route("/metrics", methods=READ, dependencies=[Depends(require_token)])
    async def metrics() -> Response:
        return Response(
            metrics_text(status_json(context)),
            headers={"Content-Type": CONTENT_TYPE, "Cache-Control": "no-store"},
        )

    app.add_exception_handler(HTTPException, _error_response)
    app.add_exception_handler(Exception, _error_response)


def _protected_routes(context: ApiContext) -> APIRouter:
    router = APIRouter(prefix="/api")

    @router.api_route("/ready", methods=READ)
    async def ready() -> JSONResponse:
        report = await context.readiness.current()
        body = {
            **report.to_json(),
            "version": context.version,
            "peer": context.peer_json(),
            "sessions": context.sessions.status()["sessions"],
        }
        return _json(body, status=200 if report.ready else 503)

    @router.api_route("/status", methods=READ)
    async def status() -> JSONResponse:
        return _json(status_json(context))

    @router.api_route("/config", methods=READ)
    async def config(request: Request) -> JSONResponse:
        return _json(_browser_config(context, request.url.hostname or "", request.url.scheme))

    @router.api_route("/recordings", methods=READ)
    async def recordings() -> JSONResponse:
        return _json(await context.artifacts.list_json())

    @router.api_route("/events", methods=READ)
    async def events(request: Request) -> Response:
        return context.events.answer(request)

    # Every method, for otherwise the mount of the web UI would take what is not a GET.
    @router.api_route("/{rest:path}", methods=[*READ, *WRITE])
    async def unknown(request: Request) -> JSONResponse:
        raise HTTPException(404 if request.method in READ else 405)

    return router


def status_json(context: ApiContext) -> dict[str, Any]:
    """Return the answer of ``GET /api/status``."""
    settings, report = context.settings, context.readiness.last
    checked, running = report.to_json(), context.sessions.status()
    media = settings.media
    source = checked["source"]
    troubled = report.status == "ok" and running["state"] == "degraded"
    return {
        "status": "degraded" if troubled else report.status,
        "ready": report.ready,
        **context.identity(),
        "mode": media.mode,
        "peer": context.peer_json(),
        "runtime": {"state": running["state"]},
        "uptimeSec": round(time.monotonic() - context.started, 3),
        "sessions": running["sessions"],
        "http": {**context.http_json(), **context.connections()},
        "signalling": {
            **context.gateway.status(),
            "candidatesDropped": running.get("candidatesDropped", 0),
        },
        "engine": running.get("engine", {}),
        "stream": {
            "source": source["value"],
            "sourceKind": source["kind"],
            "loop": media.loop,
            **running.get("stream", {}),
        },
        "record": {"dir": media.record_dir.name, **running.get("record", {})},
        "relay": running.get("relay", {}),
        "turn": _turn_status(context),
        "intelligence": {
            "vision": {"enabled": media.intelligence.vision.enabled, "active": False},
            "speech": {"enabled": media.intelligence.speech.enabled, "active": False},
            **running.get("intelligence", {}),
            **context.events.status(),
        },
        "load": running.get("load", {}),
        "refused": context.refusals.counts,
        "checks": checked["checks"],
        "warnings": [*checked["warnings"], *running["warnings"]],
    }


def _turn_status(context: ApiContext) -> dict[str, Any]:
    turn, running = context.settings.turn, context.sessions.turn
    if running is None:
        return {"enabled": False, "port": turn.port, "externalIp": turn.external_ip}
    return {
        "enabled": True,
        "port": running.port,
        "tlsPort": running.tls_port or 0,
        "externalIp": turn.external_ip,
        **running.status(),
    }


def _turn_for_browsers(context: ApiContext, hostname: str) -> dict[str, Any]:
    turn, running = context.settings.turn, context.sessions.turn
    where = {"enabled": running is not None, "host": turn.external_ip or hostname}
    if running is None:
        return {**where, "port": turn.port, "username": "", "credential": ""}
    credential = running.credential()
    return {
        **where,
        "port": running.port,
        "tlsPort": running.tls_port or 0,
        "username": credential.username,
        "credential": credential.password,
        "ttlSec": credential.ttl_seconds,
    }


def _browser_config(context: ApiContext, hostname: str, scheme: str) -> dict[str, Any]:
    settings = context.settings
    # A browser knows the server by the name it used, not by the address that was bound.
    return {
        "status": "ok",
        "mode": settings.media.mode,
        **context.identity(),
        "peer": context.peer_json(),
        "source": context.readiness.last.to_json()["source"],
        "http": {"host": hostname, "scheme": scheme, "tls": scheme == "https"},
        "turn": _turn_for_browsers(context, hostname),
        "stun": {"urls": []},
        "exposure": exposure(settings),
    }


def _json(body: dict[str, Any], *, status: int = 200) -> JSONResponse:
    return JSONResponse(body, status, headers={"Cache-Control": "no-store"})


async def _error_response(_request: Request, error: Exception) -> JSONResponse:
    status, headers = 500, {"Cache-Control": "no-store"}
    if isinstance(error, HTTPException):
        status = error.status_code
        headers |= error.headers or {}
    if status == 405:
        headers["Allow"] = ", ".join(READ)  # RFC 9110 §15.5.6: must be there
    body = {"status": "error", "error": _ERRORS.get(status, "internal")}
    return JSONResponse(body, status, headers=headers)
