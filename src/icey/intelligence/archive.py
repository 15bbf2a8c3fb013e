"""Snapshots and clips of all streams, their counters, and the retention of their folders.

Retention runs in a thread of its own, so that no detector waits while thousands of files are
looked through.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from icey.intelligence.clip import Clips
from icey.intelligence.events import Event
from icey.intelligence.shelf import CLIPS, SNAPSHOTS, Shelf
from icey.intelligence.snapshot import Snapshots
from icey.storage.paths import ENDING, SNAPSHOT

if TYPE_CHECKING:
    from collections.abc import Callable

    from icey.config.model import Settings
    from icey.intelligence.analysis import Evidence
    from icey.intelligence.clip import ClipFinished

log = logging.getLogger(__name__)

SCHEMA = "icey.clip/1"

KEEP_EVERY_S = 30.0
"""How often what is too old or too much is looked for."""


@dataclass(frozen=True, slots=True, eq=False)
class StreamArchive:
    """The snapshots and clips of one stream; None where they are off."""

    snapshots: Snapshots | None
    clips: Clips | None

    @property
    def evidence(self) -> list[Evidence]:
        """Snapshots and clips, where they are on."""
        both: tuple[Evidence | None, ...] = (self.snapshots, self.clips)
        return [one for one in both if one is not None]

    def counts(self) -> dict[str, int]:
        """Count snapshots and clips, failures and drops."""
        snapshots, clips = self.snapshots, self.clips
        return {
            "snapshots": snapshots.kept if snapshots else 0,
            "snapshotsFailed": snapshots.failed if snapshots else 0,
            "clips": clips.finished if clips else 0,
            "clipsFailed": clips.failed if clips else 0,
            "clipUnitsDropped": clips.dropped if clips else 0,
            "clipGroupsDropped": clips.overflows if clips else 0,
        }


class Archive:
    """The snapshots and clips of a server.

    Args:
        settings: the settings in force.

    Attributes:
        snapshots: the folder of snapshots; None where they are off.
        clips: likewise.
    """

    def __init__(self, settings: Settings) -> None:
        vision, record = settings.media.intelligence.vision, settings.media.record
        self._vision = vision
        self.snapshots = self.clips = None
        if vision.snapshots.enabled:
            self.snapshots = Shelf(SNAPSHOTS, settings.snapshots_dir, record, SNAPSHOT)
        if vision.clips.enabled:
            self.clips = Shelf(CLIPS, settings.clips_dir, record, ENDING)
        self._running: set[StreamArchive] = set()
        self._ended = Counter(StreamArchive(None, None).counts())
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the repair and the retention of the folders, if there is one."""
        if self.snapshots is not None or self.clips is not None:
            self._thread = threading.Thread(target=self._run, name="icey-shelves", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Stop the retention. Returns at once."""
        self._stopping.set()

    def begin(
        self, source: str, stream_id: str, on_event: Callable[[Event], None]
    ) -> StreamArchive:
        """Open the archive of a stream.

        Args:
            source: the source as anyone may see it.
            stream_id: whose stream it is.
            on_event: told of each clip that is finished, from a thread; must not block.
        """

        def finished(clip: ClipFinished) -> None:
            on_event(_clip_event(clip, source, stream_id))

        snapshots, clips = self.snapshots, self.clips
        stream = StreamArchive(
            None if snapshots is None else Snapshots(self._vision.snapshots, snapshots),
            None if clips is None else Clips(self._vision.clips, clips, on_finished=finished),
        )
        self._running.add(stream)
        return stream

    def end(self, stream: StreamArchive) -> None:
        """Close the archive of a stream, and keep its counters."""
        self._running.discard(stream)
        self._ended.update(stream.counts())

    def status(self) -> dict[str, int]:
        """Return the counters of all streams since the start of the server."""
        total = Counter(self._ended)
        for stream in self._running:
            total.update(stream.counts())
        return total

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


def _clip_event(clip: ClipFinished, source: str, stream_id: str) -> Event:
    data = {
        "schema": SCHEMA,
        "source": source,
        "streamId": stream_id,
        "detector": clip.detector,
        "start": clip.start.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "durationUsec": round(clip.seconds * 1e6),
        "clip": clip.reference,
    }
    return Event("icey:clip", data, stream_id, clip.detector, due_ns=0)
