"""The folders of snapshots and clips: names, links, room and retention.

Retention is that of recordings (``media.record``), for each folder by itself. It runs in a thread
of its own, so that no detector waits while thousands of files are looked through.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING

from icey.storage.disk import check_room
from icey.storage.finish import TEMPORARY
from icey.storage.keeper import Keeper
from icey.storage.paths import ENDING, SNAPSHOT

if TYPE_CHECKING:
    from pathlib import Path

    from icey.config.model import RecordSettings, Settings

__all__ = ["CLIPS", "SNAPSHOTS", "Shelf", "Shelves"]

log = logging.getLogger(__name__)

SNAPSHOTS = "snapshots"
CLIPS = "clips"

LEFT_S = 60.0
"""An unfinished snapshot of that age was left by a crash, s."""

KEEP_EVERY_S = 30.0
"""How often what is too old or too much is looked for."""


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


class Shelves:
    """The folders of snapshots and clips of a server, and the thread of their retention.

    Args:
        settings: the settings in force.
    """

    def __init__(self, settings: Settings) -> None:
        vision, record = settings.media.intelligence.vision, settings.media.record
        self.snapshots = self.clips = None
        if vision.snapshots.enabled:
            self.snapshots = Shelf(SNAPSHOTS, settings.snapshots_dir, record, SNAPSHOT)
        if vision.clips.enabled:
            self.clips = Shelf(CLIPS, settings.clips_dir, record, ENDING)
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread, if there is a folder."""
        if self.snapshots is not None or self.clips is not None:
            self._thread = threading.Thread(target=self._run, name="icey-shelves", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Stop the thread. Returns at once."""
        self._stopping.set()

    def _run(self) -> None:
        shelves = [shelf for shelf in (self.snapshots, self.clips) if shelf is not None]
        repaired = False
        while not self._stopping.is_set():
            for shelf in shelves:
                try:
                    if not repaired:
                        shelf.repair_blocking()
                    shelf.keep_blocking()
                except OSError as error:
                    log.warning("the folder of %s cannot be looked after: %s", shelf.name, error)
            repaired = True
            self._stopping.wait(KEEP_EVERY_S)
