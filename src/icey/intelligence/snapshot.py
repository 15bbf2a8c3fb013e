"""Snapshots: the picture that an event is about, as a JPEG."""

from __future__ import annotations

import errno
import logging
import os
import threading
from datetime import UTC, datetime
from io import BytesIO
from typing import TYPE_CHECKING, Any

from PIL import Image

from icey.errors import RecordingError
from icey.intelligence.pixels import rgb_of
from icey.storage.finish import TEMPORARY, take_name
from icey.storage.paths import SNAPSHOT, name_recording

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import av

    from icey.config.intelligence import SnapshotSettings
    from icey.intelligence.events import Event
    from icey.intelligence.shelf import Shelf

log = logging.getLogger(__name__)

QUALITY = 85
"""Of 95: a 720p picture is 50 to 150 kB, in 4 ms of a core."""


def jpeg(picture: av.VideoFrame) -> bytes:
    """Encode a picture as JPEG, in the colours that it has on the screen."""
    file = BytesIO()
    Image.fromarray(rgb_of(picture)).save(file, "JPEG", quality=QUALITY)
    return file.getvalue()


class Snapshots:
    """Writes the snapshots of one stream; an `icey.intelligence.analysis.Evidence`.

    `keep` is called from the threads of several branches.

    Args:
        settings: how often.
        shelf: where.
    """

    def __init__(self, settings: SnapshotSettings, shelf: Shelf) -> None:
        self._interval = settings.min_interval_usec
        self._shelf = shelf
        self._lock = threading.Lock()  # guards the three below
        self._last: int | None = None
        self.kept = 0
        self.failed = 0
        self._trouble = ""

    def keep(self, event: Event) -> Mapping[str, Any]:
        """Write the picture of an event; return nothing where the last one is too short ago."""
        sample = event.sample
        if sample is None or not self._is_due(sample.moment.due_ns // 1000):
            return {}
        moment = datetime.fromtimestamp(sample.moment.wall_usec / 1e6, UTC)
        try:
            self._shelf.prepare()
            name = _write(self._shelf.folder, event.detector, moment, jpeg(sample.picture))
        except (OSError, RecordingError) as error:
            self._complain(error)
            return {}
        with self._lock:
            self.kept += 1
            self._trouble = ""
        return {"snapshot": self._shelf.reference(name)}

    def _is_due(self, now_usec: int) -> bool:
        with self._lock:
            if self._last is not None and 0 <= now_usec - self._last < self._interval:
                return False
            self._last = now_usec
            return True

    def _complain(self, error: OSError | RecordingError) -> None:
        """Log a failure once, not for each event."""
        text = (error.strerror if isinstance(error, OSError) else None) or str(error)
        with self._lock:
            self.failed += 1
            known, self._trouble = self._trouble, text
        if text != known:
            log.warning("a snapshot cannot be kept: %s", text)


def _write(folder: Path, detector: str, moment: datetime, data: bytes) -> str:
    """Write a file that is whole as soon as it has its name; return the name.

    Raises:
        OSError: the disk refuses.
    """
    again = 0
    while True:
        name = name_recording(detector, moment, again=again, ending=SNAPSHOT)
        temporary = folder / f".{name}.{threading.get_ident()}{TEMPORARY}"
        try:
            with temporary.open("wb") as file:
                file.write(data)
            take_name(temporary, folder / name)
        except FileExistsError:  # another stream's, of the same millisecond
            again += 1
            if again > 100:
                raise OSError(errno.EEXIST, os.strerror(errno.EEXIST)) from None
        else:
            return name
        finally:
            temporary.unlink(missing_ok=True)
