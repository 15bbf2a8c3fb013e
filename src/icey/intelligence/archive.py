"""Snapshots and clips of all streams, and their counters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from icey.intelligence.clip import Clips
from icey.intelligence.events import Event
from icey.intelligence.shelf import Shelves
from icey.intelligence.snapshot import Snapshots

if TYPE_CHECKING:
    from collections.abc import Callable

    from icey.config.model import Settings
    from icey.intelligence.analysis import Evidence
    from icey.intelligence.clip import ClipFinished

__all__ = ["Archive", "StreamArchive"]

SCHEMA = "icey.clip/1"


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
    """

    def __init__(self, settings: Settings) -> None:
        self._vision = settings.media.intelligence.vision
        self._shelves = Shelves(settings)
        self._running: set[StreamArchive] = set()
        self._ended = StreamArchive(None, None).counts()

    def start(self) -> None:
        """Start the repair and the retention of the folders."""
        self._shelves.start()

    def stop(self) -> None:
        """Stop the retention. Returns at once."""
        self._shelves.stop()

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

        snapshots, clips = self._shelves.snapshots, self._shelves.clips
        stream = StreamArchive(
            None if snapshots is None else Snapshots(self._vision.snapshots, snapshots),
            None if clips is None else Clips(self._vision.clips, clips, on_finished=finished),
        )
        self._running.add(stream)
        return stream

    def end(self, stream: StreamArchive) -> None:
        """Close the archive of a stream, and keep its counters."""
        self._running.discard(stream)
        for name, count in stream.counts().items():
            self._ended[name] += count

    def status(self) -> dict[str, int]:
        """Return the counters of all streams since the start of the server."""
        total = dict(self._ended)
        for stream in self._running:
            for name, count in stream.counts().items():
                total[name] += count
        return total


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
