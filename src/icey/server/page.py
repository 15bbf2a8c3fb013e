"""The web UI: static files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import anyio.to_thread
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, Response
from starlette.staticfiles import StaticFiles

if TYPE_CHECKING:
    from starlette.types import Scope

SMALL_BYTES = 256 * 1024
"""A file up to this size is sent from memory. One that is sent from the disk keeps a descriptor
and comes back to a pool of threads for as long as its reader takes: strangers could use up both."""

KEPT = 64
"""Small files that are kept; the page has some thirty."""


class Page(StaticFiles):
    """Serves the files of the web UI; ``index.html`` stands for its folder.

    Names that begin with a dot are not served: a web root is often a checkout, with
    ``.git`` and ``.env`` in it.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(directory=folder, html=True, check_dir=False)
        self._kept: dict[tuple[str, str], bytes] = {}  # by path and ETag

    async def check_config(self) -> None:
        """Check nothing: preflight did, and a folder that vanishes later means 404, not 500."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        """Return the response for one path below the root.

        Raises:
            HTTPException: 404, there is no such file.
        """
        if any(part.startswith(".") and part != "." for part in Path(path).parts):
            raise HTTPException(404)
        response = await super().get_response(path, scope)
        if isinstance(response, FileResponse) and "range" not in Headers(scope=scope):
            response = await self._from_memory(response)
        # An update takes effect at the next load; the ETag keeps that cheap.
        response.headers["Cache-Control"] = "no-cache"
        return response

    async def _from_memory(self, response: FileResponse) -> Response:
        if int(response.headers["Content-Length"]) > SMALL_BYTES:
            return response
        key = str(response.path), response.headers["ETag"]
        content = self._kept.get(key)
        if content is None:
            content = await anyio.to_thread.run_sync(Path(response.path).read_bytes)
            if len(self._kept) >= KEPT:
                self._kept.clear()
            self._kept[key] = content
        headers = {name: response.headers[name] for name in ("Last-Modified", "ETag")}
        return Response(content, media_type=response.media_type, headers=headers)
