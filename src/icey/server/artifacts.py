"""Recordings, snapshots and clips over HTTP: the list of recordings, and the files themselves."""

from __future__ import annotations

import asyncio
import logging
import stat
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from fastapi import Request  # noqa: TC002 - FastAPI reads it from the signature
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse

from icey.network import network_of
from icey.recording.library import Library
from icey.server.links import SignedLinks
from icey.server.ranges import range_counts

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping
    from pathlib import Path

    from fastapi import FastAPI
    from starlette.types import Receive, Scope, Send

    from icey.recording.library import Recording
    from icey.server.auth import AccessToken

log = logging.getLogger(__name__)

CONTENT_TYPES = {".mp4": "video/mp4", ".jpg": "image/jpeg", ".jpeg": "image/jpeg"}
"""What is served; whatever else lies in the folder, an open recording too, is not there."""


class _File(FileResponse):
    """The response with a file, or with the ranges of it that were requested."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request."""
        asked = Headers(scope=scope).get("range")
        size = self.stat_result.st_size if self.stat_result is not None else 0
        if asked is not None and not range_counts(scope["method"], asked, size):
            rest = [(name, value) for name, value in scope["headers"] if name != b"range"]
            scope = {**scope, "headers": rest}
        await super().__call__(scope, receive, send)


class Artifacts:
    """Serves the recordings, snapshots and clips, and lists the recordings.

    Args:
        folder: ``media.recordDir``; it may not be there yet.
        token: the access token.
        elsewhere: folders that lie outside of it, by the name below which their files are served.
    """

    def __init__(
        self, folder: Path, token: AccessToken, elsewhere: Mapping[str, Path] | None = None
    ) -> None:
        self._folder = folder
        self._elsewhere = dict(elsewhere or {})
        self._token = token
        self._library = Library(folder)
        self._links = SignedLinks()
        self._turn = asyncio.Lock()
        self._next: asyncio.Task[tuple[list[Recording], list[str]]] | None = None

    def add_to(self, app: FastAPI) -> None:
        """Add the route of the files."""

        @app.api_route("/artifacts/{path:path}", methods=["GET", "HEAD"])
        async def artifact(request: Request, path: str) -> _File:
            return await self._serve(request, path)

    async def list_json(self) -> dict[str, Any]:
        """Return the answer of ``GET /api/recordings``."""
        # However many ask, one list is made at a time, and one more for all who came meanwhile:
        # who asks because a recording is finished must not get a list that was begun before.
        if self._next is None:
            self._next = asyncio.create_task(self._list())
        recordings, warnings = await asyncio.shield(self._next)
        return {
            "status": "ok",
            "recordings": [self._entry(recording) for recording in recordings],
            "warnings": warnings,
        }

    def link(self, path: str) -> str:
        """Return a path below ``/artifacts/``, not yet quoted, as a link that opens it."""
        return self._links.sign(path) if self._token.required else quote(path)

    async def _list(self) -> tuple[list[Recording], list[str]]:
        async with self._turn:
            self._next = None
            try:
                return await asyncio.to_thread(self._library.list_recordings), []
            except OSError as error:
                log.warning("the recordings cannot be listed: %s", error)
                return [], [f"the folder of recordings cannot be read: {error.strerror}"]

    def _entry(self, recording: Recording) -> dict[str, Any]:
        codecs = [c for c in (recording.video_codec, recording.audio_codec) if c]
        path = f"/artifacts/{recording.name}"
        return {
            "name": recording.name,
            "size": recording.size_bytes,
            "start": recording.start.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "duration": round(recording.duration_s, 3),
            "codec": "+".join(codecs),
            "video": recording.video_codec,
            "audio": recording.audio_codec,
            "width": recording.width,
            "height": recording.height,
            "status": recording.status,
            "url": self.link(path),
        }

    async def _serve(self, request: Request, path: str) -> _File:
        query = request.scope["query_string"]
        if not self._links.opens(f"/artifacts/{path}", query):
            self._token.check(request.headers.raw, query, _network(request))
        folder, below = self._folder, path
        name, _, rest = path.partition("/")
        if name in self._elsewhere:
            folder, below = self._elsewhere[name], rest
        found = await asyncio.to_thread(_find, folder, below)
        if found is None:
            raise HTTPException(404)
        real, status = found
        return _File(
            real,
            stat_result=status,
            media_type=CONTENT_TYPES[real.suffix],
            filename=real.name,
            content_disposition_type="inline",
            headers={"Cache-Control": "private, no-cache"},
        )


def _network(request: Request) -> str:
    return network_of(request.client.host if request.client else "")


def _find(folder: Path, path: str) -> tuple[Path, os.stat_result] | None:
    """Find a file below a folder; return None for everything that is not served."""
    parts = path.split("/")
    if any(not part or _hidden(part) or "\\" in part or "\0" in part for part in parts):
        return None
    wanted = folder.joinpath(*parts)
    if wanted.suffix not in CONTENT_TYPES:
        return None
    try:
        real, root = wanted.resolve(strict=True), folder.resolve(strict=True)
        status = real.stat()
    except (OSError, ValueError, RuntimeError):  # not there, not a name, a loop of links
        return None
    # A symbolic link may lead on, but to nothing that could not be asked for by its own name.
    if not real.is_relative_to(root) or any(map(_hidden, real.relative_to(root).parts)):
        return None
    if not stat.S_ISREG(status.st_mode) or real.suffix != wanted.suffix:
        return None
    return real, status


def _hidden(name: str) -> bool:
    return name.startswith(".")
