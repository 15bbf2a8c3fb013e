"""Recordings, snapshots and clips over HTTP: the list of recordings, and the files themselves."""

from __future__ import annotations

import asyncio
import logging
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fastapi import Request  # noqa: TC002 - FastAPI reads it from the signature
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse

from icey.recording.library import Library
from icey.server.auth import offered_tokens
from icey.server.links import SignedLinks

if TYPE_CHECKING:
    import os
    from pathlib import Path

    from fastapi import FastAPI

    from icey.recording.library import Recording
    from icey.server.auth import AccessToken

__all__ = ["Artifacts"]

log = logging.getLogger(__name__)

CONTENT_TYPES = {".mp4": "video/mp4", ".jpg": "image/jpeg", ".jpeg": "image/jpeg"}
"""What is served; whatever else lies in the folder, an open recording too, is not there."""


@dataclass(frozen=True, slots=True)
class _Found:
    path: Path
    status: os.stat_result


class Artifacts:
    """The folder of recordings as browsers see it.

    Args:
        folder: ``media.recordDir``; it may not be there yet.
        token: the access token.
    """

    def __init__(self, folder: Path, token: AccessToken) -> None:
        self._folder = folder
        self._token = token
        self._library = Library(folder)
        self._links = SignedLinks()

    def add_to(self, app: FastAPI) -> None:
        """Add the route of the files."""

        @app.api_route("/artifacts/{path:path}", methods=["GET", "HEAD"])
        async def artifact(request: Request, path: str) -> FileResponse:
            return await self._serve(request, path)

    async def list_json(self) -> dict[str, Any]:
        """Return the answer of ``GET /api/recordings``."""
        warnings = []
        recordings: list[Recording] = []
        try:
            recordings = await asyncio.to_thread(self._library.list_recordings)
        except OSError as error:
            log.warning("the recordings cannot be listed: %s", error)
            warnings.append(f"the folder of recordings cannot be read: {error.strerror}")
        return {
            "status": "ok",
            "recordings": [self._entry(recording) for recording in recordings],
            "warnings": warnings,
        }

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
            "url": self._links.sign(path) if self._token.required else path,
        }

    async def _serve(self, request: Request, path: str) -> FileResponse:
        offered = offered_tokens(request.headers.raw, request.scope["query_string"])
        admitted = not self._token.required or any(map(self._token.admits, offered))
        if not admitted and not self._links.opens(
            f"/artifacts/{path}", request.scope["query_string"]
        ):
            raise HTTPException(401, headers={"WWW-Authenticate": "Bearer"})
        found = await asyncio.to_thread(_find, self._folder, path)
        if found is None:
            raise HTTPException(404)
        return FileResponse(
            found.path,
            stat_result=found.status,
            media_type=CONTENT_TYPES[found.path.suffix],
            filename=found.path.name,
            content_disposition_type="inline",
            headers={"Cache-Control": "private, no-cache"},
        )


def _find(folder: Path, path: str) -> _Found | None:
    """Find a file below a folder; None for whatever is not one of the files that are served."""
    parts = path.split("/")
    if any(not part or part.startswith(".") or "\\" in part or "\0" in part for part in parts):
        return None
    wanted = folder.joinpath(*parts)
    if wanted.suffix not in CONTENT_TYPES:
        return None
    try:
        real = wanted.resolve(strict=True)
        if not real.is_relative_to(folder.resolve(strict=True)):  # a symbolic link leads out
            return None
        status = real.stat()
    except (OSError, ValueError, RuntimeError):  # not there, not a name, a loop of links
        return None
    if not stat.S_ISREG(status.st_mode) or real.suffix != wanted.suffix:
        return None
    return _Found(real, status)
