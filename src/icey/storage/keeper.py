"""Keeps a folder: checks its room, repairs its parts, removes old files. All of it may block."""

from __future__ import annotations

import logging
import tempfile
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from icey.storage.disk import check_room, explained, sync_folder
from icey.storage.owners import Owners
from icey.storage.paths import ENDING, parse_name
from icey.storage.repair import repair_folder
from icey.storage.retention import Kept, to_remove

if TYPE_CHECKING:
    from pathlib import Path

    from icey.config.model import RecordSettings
    from icey.storage.repair import Repaired

log = logging.getLogger(__name__)


class Keeper:
    """Keeps one folder of recordings, snapshots or clips.

    Args:
        folder: it is made where it is missing.
        settings: room, age, size.
        ending: of the files that it removes: `icey.storage.paths.ENDING` or ``SNAPSHOT``.
        owners: whose the files are, where each has a share of the room.
    """

    def __init__(
        self,
        folder: Path,
        settings: RecordSettings,
        *,
        ending: str = ENDING,
        owners: Owners | None = None,
    ) -> None:
        self._folder = folder
        self._settings = settings
        self._ending = ending
        self._owners = owners

    def check_blocking(self) -> None:
        """Check that a recording can begin.

        Raises:
            RecordingError: the folder cannot be made or written, or the disk has no room.
        """
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self._folder):
                pass
        except OSError as error:
            raise explained(error) from error
        check_room(self._folder, self._settings.min_free_bytes)

    def repair_blocking(self) -> list[Repaired]:
        """Repair what a crash left behind; see `icey.storage.repair`."""
        return repair_folder(self._folder, min_free_bytes=self._settings.min_free_bytes)

    def keep_blocking(self) -> list[str]:
        """Remove files that are too old or too many, and return their names.

        A file that cannot be removed stays, and the log says so.
        """
        if not (self._settings.max_age_seconds or self._settings.max_total_bytes):
            return []
        removed = []
        for name in to_remove(
            self._finished(),
            max_age_seconds=self._settings.max_age_seconds,
            max_total_bytes=self._settings.max_total_bytes,
            now=datetime.now(UTC),
        ):
            try:
                (self._folder / name).unlink()
            except FileNotFoundError:  # somebody else was faster
                continue
            except OSError as error:
                log.warning("%s is due to be removed, but cannot be: %s", name, error)
                continue
            removed.append(name)
        if removed:
            sync_folder(self._folder)
        return removed

    def _finished(self) -> list[Kept]:
        if not self._folder.is_dir():
            return []
        paths = list(self._folder.iterdir())
        known: dict[str, str] = {}
        if self._owners is not None:
            self._owners.keep_blocking(path.name for path in paths)
            known = self._owners.read_blocking()
        found = []
        for path in paths:
            name = parse_name(path.name, self._ending)
            if name is not None and path.is_file():
                owner = ""
                if self._owners is not None:
                    # One of before there were owners: its name is all that is known.
                    owner = Owners.find(known, path.name) or f"name {name.peer}"
                found.append(Kept(path.name, name.start, path.stat().st_size, owner))
        return found
