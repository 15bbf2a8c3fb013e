"""Assembly and life of the server.

::

    preflight ─▶ bind the port ─▶ sessions start ─▶ listen ─▶ ready line ─▶ …
    first SIGINT/SIGTERM ─▶ stop accepting ─▶ hang up every call ─▶ close every socket ─▶ 0
    second one ─▶ the process ends at once
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import sys
from typing import TYPE_CHECKING

from fastapi import FastAPI
from fastapi.responses import JSONResponse

from icey.server.api import ApiContext, add_api, status_json
from icey.server.artifacts import Artifacts
from icey.server.auth import AccessToken
from icey.server.events import EventFeed
from icey.server.gateway import Gateway
from icey.server.hardening import Hardening
from icey.server.listener import HttpServer, bind
from icey.server.page import Page
from icey.server.process import (
    give_back_large_buffers,
    raise_descriptor_limit,
    refuse_huge_pages,
)
from icey.server.readiness import Readiness
from icey.server.signals import stop_requests
from icey.server.trace import log_counters
from icey.server.websocket import socket_class
from icey.signalling.hub import Hub
from icey.signalling.peers import ServerPeer
from icey.version import version

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable
    from pathlib import Path

    from icey.config.load import Loaded
    from icey.config.model import Settings
    from icey.preflight.report import Report
    from icey.server.webhook import Webhook
    from icey.sessions.session import SessionService

__all__ = ["create_app", "run", "serve"]

log = logging.getLogger(__name__)

SHUTDOWN_REASON = "server is shutting down"
CLOSE_MARGIN_S = 0.5
"""Beyond the time that the sessions take for hanging up and for finishing what they write."""
WEBHOOK_GRACE_S = 1.0
"""How long the events that still wait for the webhook may take."""
SOCKETS_GRACE_S = 0.5
"""How long clients may take to answer the close of their WebSocket; then they are cut off."""


def create_app(context: ApiContext, root: Path) -> FastAPI:
    """Make the HTTP application: the API, and the web UI below ``/``.

    Args:
        context: what the API's answers are made of.
        root: the folder of the web UI.
    """
    # No /docs and no /openapi.json: they would load scripts from elsewhere and show everyone
    # what needs the token.
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False)
    add_api(app, context)

    @app.api_route("/ws", methods=["GET", "HEAD"])
    async def upgrade_required() -> JSONResponse:
        """Answer a request for the WebSocket that is not an upgrade (RFC 9110 §15.5.22)."""
        body = {"status": "error", "error": "upgrade_required"}
        return JSONResponse(body, 426, headers={"Upgrade": "websocket", "Connection": "Upgrade"})

    context.artifacts.add_to(app)
    app.mount("/", Page(root))
    return app


async def serve(loaded: Loaded) -> int:
    """Run the server until it is asked to stop.

    Returns:
        The exit code, 0.

    Raises:
        PreflightError: something that the server needs is missing; the message says what.
        AddressInUseError: a port was taken between the check and the start.
        IceyError: the sessions cannot be opened.
    """
    from icey.preflight.run import run_preflight  # noqa: PLC0415 - it imports FFmpeg

    with stop_requests() as stop:
        check = asyncio.create_task(asyncio.to_thread(run_preflight, loaded))
        if not await _done_before(stop, check):
            return 0
        report = check.result()
        report.raise_unless_ready()
        await _run(loaded, report, stop)
    return 0


async def _run(loaded: Loaded, report: Report, stop: asyncio.Event) -> None:
    from icey.sessions import open_sessions  # noqa: PLC0415 - it imports the engine

    settings = loaded.settings
    raise_descriptor_limit()
    refuse_huge_pages()
    give_back_large_buffers()
    with contextlib.ExitStack() as bound:
        # In a thread, as a host name is looked up.
        listeners = await asyncio.to_thread(bind, settings.http.host, settings.http.port)
        for listener in listeners:
            bound.enter_context(listener)
        port = listeners[0].getsockname()[1]
        sessions = open_sessions(_as_bound(settings, port))
        now = asyncio.get_running_loop().time()
        await run(
            settings,
            root=report.web_root,
            listeners=listeners,
            sessions=sessions,
            readiness=Readiness(_recheck(loaded, port, sessions), report, now),
            stop=stop,
            on_listening=lambda: _announce(settings, port),
        )


def _as_bound(settings: Settings, port: int) -> Settings:
    """The settings with the port that the system chose where 0 was set."""
    return settings.model_copy(update={"http": settings.http.model_copy(update={"port": port})})


async def run(
    settings: Settings,
    *,
    root: Path,
    listeners: list[socket.socket],
    sessions: SessionService,
    readiness: Readiness,
    stop: asyncio.Event,
    on_listening: Callable[[], None],
) -> None:
    """Serve on bound sockets until ``stop`` is set, then end everything in order.

    Args:
        settings: the settings in force.
        root: the folder of the web UI.
        listeners: bound, not yet listening; the caller closes them.
        sessions: not yet started; closed here.
        readiness: the newest preflight report.
        stop: the request to stop.
        on_listening: called once connections are accepted.
    """
    token = AccessToken(settings.auth.token.get_secret_value())
    hub = Hub(ServerPeer(settings.media.mode), check_token=token.admits)
    gateway = Gateway(hub, sessions, settings.auth.allowed_origins)
    artifacts = Artifacts(settings.media.record_dir, token, _other_folders(settings))
    webhook = _webhook(settings)
    events = EventFeed(webhook)
    sessions.connect_events(events.publish, artifacts.link)
    context = ApiContext(
        settings=settings,
        version=version(),
        port=listeners[0].getsockname()[1],
        gateway=gateway,
        token=token,
        readiness=readiness,
        sessions=sessions,
        artifacts=artifacts,
        events=events,
    )
    app = create_app(context, root)
    server = HttpServer(Hardening(app), socket_class(gateway), settings.tls)
    try:
        await sessions.start()
        serving = asyncio.create_task(server.serve(sockets=listeners))
        listening = asyncio.create_task(server.listening.wait())
        tracing = asyncio.create_task(log_counters(lambda: status_json(context)))
        await asyncio.wait({serving, listening}, return_when=asyncio.FIRST_COMPLETED)
        if not serving.done():
            on_listening()
        await _done_before(stop, serving)
    finally:
        log.info("stopping")
        server.stop_accepting()
        await _close_sessions(sessions)
        events.close()
        if webhook is not None:
            await asyncio.to_thread(webhook.close_blocking, WEBHOOK_GRACE_S)
        await gateway.shut_down(SHUTDOWN_REASON, grace_s=SOCKETS_GRACE_S)
    listening.cancel()
    tracing.cancel()
    server.stop()
    await serving


def _recheck(
    loaded: Loaded, port: int, sessions: SessionService
) -> Callable[[], Callable[[], Report]]:
    """What checks a server that runs: its own ports and its open camera are no obstacle to it."""
    from icey.preflight.run import run_preflight  # noqa: PLC0415 - it imports FFmpeg
    from icey.preflight.running import Running, SourceState  # noqa: PLC0415

    def prepare() -> Callable[[], Report]:
        state = sessions.status()
        source = state.get("source")
        running = Running(
            http_port=port,
            webrtc_port=state.get("webrtcPort", loaded.settings.webrtc.port),
            source=None if source is None else SourceState(source["healthy"], source["detail"]),
            turn=None if sessions.turn is None else sessions.turn.target(),
        )
        return lambda: run_preflight(loaded, running=running)

    return prepare


async def _done_before(
    stop: asyncio.Event, task: asyncio.Task[Report] | asyncio.Task[None]
) -> bool:
    """Wait for whichever comes first; whether it was the task."""
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({task, stopping}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopping.cancel()
    return task.done()


def _other_folders(settings: Settings) -> dict[str, Path]:
    """The folders of snapshots and clips, where they are not those below ``recordDir``."""
    vision = settings.media.intelligence.vision
    both = {"snapshots": vision.snapshots.dir, "clips": vision.clips.dir}
    return {name: folder for name, folder in both.items() if folder is not None}


def _webhook(settings: Settings) -> Webhook | None:
    url = settings.media.intelligence.webhook.get_secret_value()
    if not url or settings.media.mode != "stream":  # only there are events
        return None
    from icey.server.webhook import Webhook  # noqa: PLC0415 - few have one

    return Webhook(url)


async def _close_sessions(sessions: SessionService) -> None:
    try:
        async with asyncio.timeout(sessions.close_seconds + CLOSE_MARGIN_S):
            await sessions.close(SHUTDOWN_REASON)
    except TimeoutError:
        log.warning("sessions were not closed within %g s", sessions.close_seconds)


def _announce(settings: Settings, port: int) -> None:
    """Print the one line that says where the page is."""
    scheme = "https" if settings.tls_active else "http"
    url = f"{scheme}://{_reachable(settings.http.host)}:{port}"
    line = f"icey-server {version()} {settings.media.mode} {url}"
    with contextlib.suppress(OSError):  # a closed stdout is no reason not to serve
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()
    log.debug("ready: %s", line)


def _reachable(host: str) -> str:
    """The host for a URL: an address that stands for all of them is none to click on."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if address.is_unspecified:
        return "localhost"
    return f"[{host}]" if address.version == 6 else host
