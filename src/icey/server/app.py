"""Assembly and life of the server.

::

    preflight ─▶ bind the ports ─▶ calls start ─▶ listen ─▶ ready line ─▶ …
    first SIGINT/SIGTERM ─▶ stop accepting ─▶ hang up every call ─▶ close every socket
                         ─▶ free the ports ─▶ 0
    second one ─▶ the process ends at once
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import sys
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI
from fastapi.responses import JSONResponse

from icey.config.exposure import access_warnings
from icey.quota import Quota
from icey.refusals import Refusals
from icey.server.admission import Admission
from icey.server.api import ApiContext, add_api, status_json
from icey.server.artifacts import Artifacts
from icey.server.auth import AccessToken
from icey.server.events import EventFeed
from icey.server.gateway import Gateway
from icey.server.hardening import Hardening
from icey.server.hosts import HostCheck, HostNames, host_names_blocking
from icey.server.listener import HttpServer, bind
from icey.server.memory import give_back_memory
from icey.server.page import Page
from icey.server.process import (
    create_files_with,
    give_back_large_buffers,
    raise_descriptor_limit,
    refuse_huge_pages,
)
from icey.server.readiness import Readiness
from icey.server.signals import stop_requests
from icey.server.trace import log_counters
from icey.server.websocket import socket_class
from icey.signalling.hub import Hub
from icey.signalling.limits import Limits
from icey.signalling.peers import ServerPeer
from icey.version import version

if TYPE_CHECKING:
    import socket
    from collections.abc import AsyncIterator, Callable, Mapping
    from pathlib import Path

    from icey.config.load import Loaded
    from icey.config.model import Settings
    from icey.preflight.report import Report
    from icey.server.webhook import Webhook
    from icey.sessions.calls import Calls
    from icey.sessions.mode import Mode

log = logging.getLogger(__name__)

SHUTDOWN_REASON = "server is shutting down"
CLOSE_MARGIN_S = 0.5
"""Beyond the time that the calls take for hanging up and for finishing what they write."""
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
        IceyError: the engine, its TURN server or the mode cannot be opened.
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
    settings = loaded.settings
    raise_descriptor_limit(settings.limits.connections)
    refuse_huge_pages()
    give_back_large_buffers()
    create_files_with(int(settings.media.file_mode, 8))
    async with contextlib.AsyncExitStack() as opened:
        # In a thread, as a host name is looked up.
        listeners = await asyncio.to_thread(bind, settings.http.host, settings.http.port)
        for listener in listeners:
            opened.enter_context(listener)
        port = listeners[0].getsockname()[1]
        hosts = await asyncio.to_thread(host_names_blocking, settings)
        refusals = Refusals()
        token = AccessToken(settings.auth.token.get_secret_value(), refusals)
        artifacts = open_artifacts(settings, token)
        webhook = _webhook(settings)
        events = open_events(settings, refusals, webhook)
        calls = await opened.enter_async_context(
            open_calls(
                _as_bound(settings, port),
                refusals,
                publish=events.publish,
                sign=artifacts.link,
            )
        )
        now = asyncio.get_running_loop().time()
        await run(
            settings,
            root=report.web_root,
            listeners=listeners,
            token=token,
            artifacts=artifacts,
            events=events,
            webhook=webhook,
            calls=calls,
            readiness=Readiness(_recheck(loaded, port, calls), report, now),
            refusals=refusals,
            hosts=hosts,
            stop=stop,
            on_listening=lambda: _announce(settings, port),
        )


@contextlib.asynccontextmanager
async def open_calls(
    settings: Settings,
    refusals: Refusals,
    *,
    publish: Callable[[str, Mapping[str, Any]], None],
    sign: Callable[[str], str],
) -> AsyncIterator[Calls]:
    """Open the packet engine, its TURN server, and the calls of the configured mode over them.

    Args:
        settings: the settings in force, with the HTTP port that is really bound.
        refusals: counts what is refused to callers.
        publish: takes a kind (``icey:vision``, …) and its data for other programs.
        sign: makes a path below ``/artifacts/`` a link that opens without the token.
    """
    # Imported here, as the extension and FFmpeg take a good part of the time to start.
    from icey.server.engine import running_engine  # noqa: PLC0415
    from icey.sessions.calls import Calls  # noqa: PLC0415
    from icey.sessions.work import Work  # noqa: PLC0415

    async with running_engine(settings) as (engine, turn):
        work, media = Work(), settings.media
        mode: Mode
        if media.mode == "record":
            from icey.sessions.record import RecordMode  # noqa: PLC0415

            mode = RecordMode(media, engine, work, limits=settings.limits)
        elif media.mode == "relay":
            from icey.sessions.relay import RelayMode  # noqa: PLC0415

            mode = RelayMode(media.relay, engine, work)
        else:
            from icey.sessions.stream import StreamMode  # noqa: PLC0415

            mode = StreamMode(settings, engine, work, publish=publish, sign=sign)
        yield Calls(
            engine,
            turn,
            mode,
            work,
            refusals=refusals,
            external_ip=settings.turn.external_ip,
            limits=settings.limits,
        )


def _as_bound(settings: Settings, port: int) -> Settings:
    """The settings with the port that the system chose where 0 was set."""
    return settings.model_copy(update={"http": settings.http.model_copy(update={"port": port})})


async def run(
    settings: Settings,
    *,
    root: Path,
    listeners: list[socket.socket],
    token: AccessToken,
    artifacts: Artifacts,
    events: EventFeed,
    webhook: Webhook | None,
    calls: Calls,
    readiness: Readiness,
    refusals: Refusals,
    hosts: HostNames,
    stop: asyncio.Event,
    on_listening: Callable[[], None],
) -> None:
    """Serve on bound sockets until ``stop`` is set, then end everything in order.

    Args:
        settings: the settings in force.
        root: the folder of the web UI.
        listeners: bound, not yet listening; the caller closes them.
        token: the access token.
        artifacts: recordings, snapshots and clips.
        events: what the detectors find; closed here.
        webhook: takes each event too; closed here.
        calls: not yet started; closed here.
        readiness: the newest preflight report.
        refusals: counts what is refused.
        hosts: the names of this server.
        stop: the request to stop.
        on_listening: called once connections are accepted.
    """
    limits = settings.limits
    hub = Hub(
        ServerPeer(settings.media.mode),
        check_token=token.admits_peer,
        # The bounds of sockets are the admission's.
        limits=Limits(
            sockets=sys.maxsize,
            room_peers=limits.room_peers,
            sender_bytes=limits.sender_bytes,
            receiver_bytes=limits.receiver_bytes,
        ),
    )
    gateway = Gateway(hub, calls, refusals)
    admission = Admission(
        hosts,
        settings.auth.allowed_origins,
        Quota(limits.sockets, limits.sockets_per_address),
        refusals,
    )
    context = ApiContext(
        settings=settings,
        version=version(),
        port=listeners[0].getsockname()[1],
        gateway=gateway,
        token=token,
        readiness=readiness,
        sessions=calls,
        artifacts=artifacts,
        events=events,
        refusals=refusals,
        connections=lambda: server.entrance.status(),  # noqa: PLW0108 - made below
    )
    app = HostCheck(create_app(context, root), hosts, refusals)
    websocket = socket_class(gateway, admission)
    server = HttpServer(Hardening(app), websocket, settings, refusals)
    try:
        calls.start(gateway.send)
        serving = asyncio.create_task(server.serve(sockets=listeners))
        listening = asyncio.create_task(server.listening.wait())
        tracing = asyncio.create_task(log_counters(lambda: status_json(context)))
        trimming = asyncio.create_task(give_back_memory())
        await asyncio.wait({serving, listening}, return_when=asyncio.FIRST_COMPLETED)
        if not serving.done():
            on_listening()
        await _done_before(stop, serving)
    finally:
        log.info("stopping")
        server.stop_accepting()
        await _close(calls)
        events.close()
        if webhook is not None:
            await asyncio.to_thread(webhook.close_blocking, WEBHOOK_GRACE_S)
        await gateway.shut_down(SHUTDOWN_REASON, grace_s=SOCKETS_GRACE_S)
    listening.cancel()
    tracing.cancel()
    trimming.cancel()
    server.stop()
    await serving


def _recheck(loaded: Loaded, port: int, calls: Calls) -> Callable[[], Callable[[], Report]]:
    """What checks a server that runs: its own ports and its open camera are no obstacle to it."""
    from icey.preflight.run import run_preflight  # noqa: PLC0415 - it imports FFmpeg
    from icey.preflight.running import Running, SourceState  # noqa: PLC0415

    def prepare() -> Callable[[], Report]:
        state = calls.status()
        source = state.get("source")
        running = Running(
            http_port=port,
            webrtc_port=state.get("webrtcPort", loaded.settings.webrtc.port),
            source=None if source is None else SourceState(source["healthy"], source["detail"]),
            turn=None if calls.turn is None else calls.turn.target(),
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


def open_artifacts(settings: Settings, token: AccessToken) -> Artifacts:
    """Serve recordings, and snapshots and clips also where they are not below ``recordDir``."""
    vision = settings.media.intelligence.vision
    both = {"snapshots": vision.snapshots.dir, "clips": vision.clips.dir}
    elsewhere = {name: folder for name, folder in both.items() if folder is not None}
    return Artifacts(settings.media.record_dir, token, elsewhere)


def open_events(
    settings: Settings, refusals: Refusals, webhook: Webhook | None = None
) -> EventFeed:
    """Make the feed of ``/api/events`` with its bounds."""
    limits = settings.limits
    quota = Quota(limits.event_readers, limits.event_readers_per_address)
    return EventFeed(webhook, quota=quota, refusals=refusals)


def _webhook(settings: Settings) -> Webhook | None:
    url = settings.media.intelligence.webhook.get_secret_value()
    if not url or settings.media.mode != "stream":  # only there are events
        return None
    from icey.server.webhook import Webhook  # noqa: PLC0415 - few have one

    return Webhook(url)


async def _close(calls: Calls) -> None:
    try:
        async with asyncio.timeout(calls.close_seconds + CLOSE_MARGIN_S):
            await calls.close(SHUTDOWN_REASON)
    except TimeoutError:
        log.warning("calls were not closed within %g s", calls.close_seconds)


def _announce(settings: Settings, port: int) -> None:
    """Print the one line that says where the page is."""
    scheme = "https" if settings.tls_active else "http"
    url = f"{scheme}://{_reachable(settings.http.host)}:{port}"
    line = f"icey-server {version()} {settings.media.mode} {url}"
    with contextlib.suppress(OSError):  # a closed stdout is no reason not to serve
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()
    log.debug("ready: %s", line)
    for sentence in access_warnings(_as_bound(settings, port)):
        log.warning("%s", sentence)


def _reachable(host: str) -> str:
    """The host for a URL: an address that stands for all of them is none to click on."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if address.is_unspecified:
        return "localhost"
    return f"[{host}]" if address.version == 6 else host
