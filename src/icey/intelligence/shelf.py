"""The folders of snapshots and clips: names, links, room and retention.

Retention is that of recordings (``media.record``), for each folder by itself.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from icey.storage.disk import check_room
from icey.storage.finish import TEMPORARY
from icey.storage.keeper import Keeper

if TYPE_CHECKING:
    from pathlib import Path

    from icey.config.model import RecordSettings

log = logging.getLogger(__name__)

SNAPSHOTS = "snapshots"
CLIPS = "clips"

LEFT_S = 60.0
"""An unfinished snapshot of that age was left by a crash, s."""


class Shelf:
    """One folder of snapshots or clips.

    Args:
        name: as it stands in links: `SNAPSHOTS` or `CLIPS`.
        folder: where; made when first needed.
        settings: ``media.record``, for room and retention.
        ending: of its files.
    """

    def __init__(self, name: str, folder: Path, settings: RecordSettings, ending: str) -> None:
        self.name = name
        self.folder = folder
        self._min_free_bytes = settings.min_free_bytes
        self._keeper = Keeper(folder, settings, ending=ending)

    def prepare(self) -> None:
        """Make the folder, and check that there is room for another file.

        Raises:
            OSError: it cannot be made.
            RecordingError: the disk has too little room.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        check_room(self.folder, self._min_free_bytes)

    def reference(self, file: str) -> dict[str, str]:
        """Return a file as events name it: its path below ``/artifacts/``, and its link."""
        return {"path": f"{self.name}/{file}", "url": f"/artifacts/{self.name}/{file}"}

    def repair_blocking(self) -> None:
        """Repair unfinished files that a crash left."""
        for repaired in self._keeper.repair_blocking():
            log.warning("%s", repaired)
        if self.folder.is_dir():
            for left in self.folder.glob(f".*{TEMPORARY}"):
                if time.time() - left.stat().st_mtime > LEFT_S:  # another server may be writing it
                    left.unlink(missing_ok=True)

    def keep_blocking(self) -> None:
        """Remove files that are too old, or more than may be kept."""
        removed = self._keeper.keep_blocking()
        if removed:
            log.info("%d %s are too old or too many, and removed", len(removed), self.name)
