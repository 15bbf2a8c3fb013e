"""The web UI: static files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from starlette.exceptions import HTTPException
from starlette.staticfiles import StaticFiles

if TYPE_CHECKING:
    from starlette.responses import Response
    from starlette.types import Scope


class Page(StaticFiles):
    """Serves the files of the web UI; ``index.html`` stands for its folder.

    Names that begin with a dot are not served: a web root is often a checkout, with
    ``.git`` and ``.env`` in it.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(directory=folder, html=True, check_dir=False)

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
        # An update takes effect at the next load; the ETag keeps that cheap.
        response.headers["Cache-Control"] = "no-cache"
        return response
