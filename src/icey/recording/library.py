"""Lists the finished recordings of a folder, with their codecs, size and duration."""

from __future__ import annotations

import logging
import stat
import struct
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from icey.storage.boxes import boxes_of_file, declared_size
from icey.storage.paths import parse_name

if TYPE_CHECKING:
    import os
    from datetime import datetime
    from pathlib import Path

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Recording:
    """One finished recording.

    Attributes:
        name: of the file, in the folder.
        size_bytes: of the file.
        start: when its first picture came; UTC.
        duration_s: seconds.
        video_codec: as ``h264``; None without pictures.
        audio_codec: as ``opus``; None without sound.
        width: px at its largest; 0 without pictures.
        height: likewise.
        status: ``recovered`` where a crash cut it short.
    """

    name: str
    size_bytes: int
    start: datetime
    duration_s: float
    video_codec: str | None
    audio_codec: str | None
    width: int
    height: int
    status: Literal["complete", "recovered"]


class Library:
    """Lists the recordings of a folder; opens each file once.

    Args:
        folder: it may not be there yet.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        # By name: size and time of change, and what was found then, None for nothing.
        self._known: dict[str, tuple[tuple[int, int], Recording | None]] = {}
        self._lock = threading.Lock()

    def list_recordings(self) -> list[Recording]:
        """List them, newest first. It reads files, so it is for a thread.

        A file that FFmpeg cannot read is left out; the log says so.

        Raises:
            OSError: the folder is there and cannot be read.
        """
        with self._lock:
            known = {}
            for path in self._files():
                entry = self._look_at(path)
                if entry is not None:
                    known[path.name] = entry
            self._known = known
            recordings = [found for _, found in known.values() if found is not None]
        return sorted(recordings, key=lambda r: (r.start, r.name), reverse=True)

    def _files(self) -> list[Path]:
        if not self._folder.is_dir():
            return []
        return [path for path in self._folder.iterdir() if parse_name(path.name) is not None]

    def _look_at(self, path: Path) -> tuple[tuple[int, int], Recording | None] | None:
        try:
            status = path.lstat()  # a link is none of ours, and might lead anywhere
            stamp = status.st_size, status.st_mtime_ns
            before = self._known.get(path.name)
            if before is not None and before[0] == stamp:
                return before
            return stamp, _probe(path, status)
        except FileNotFoundError:  # removed meanwhile
            return None


def _probe(path: Path, status: os.stat_result) -> Recording | None:
    import av  # noqa: PLC0415 - the server starts without FFmpeg, which is loaded beside that
    from av.error import FFmpegError  # noqa: PLC0415

    name = parse_name(path.name)
    if name is None or not stat.S_ISREG(status.st_mode):
        return None
    try:
        # FFmpeg tells the size of the first picture; a browser may have begun with a small one.
        width, height = _declared_size(path)
        with av.open(str(path)) as container:
            video = next(iter(container.streams.video), None)
            audio = next(iter(container.streams.audio), None)
            if video is None and audio is None:
                log.warning("%s holds neither pictures nor sound", path.name)
                return None
            return Recording(
                name=path.name,
                size_bytes=status.st_size,
                start=name.start,
                duration_s=(container.duration or 0) / av.time_base,
                video_codec=None if video is None else video.codec_context.codec.canonical_name,
                audio_codec=None if audio is None else audio.codec_context.codec.canonical_name,
                width=width,
                height=height,
                status="recovered" if name.recovered else "complete",
            )
    except FileNotFoundError:
        raise
    except (FFmpegError, OSError, struct.error) as error:
        log.warning("%s cannot be read as a recording: %s", path.name, error)
        return None


def _declared_size(path: Path) -> tuple[int, int]:
    with path.open("rb") as file:
        for box in boxes_of_file(file, path.stat().st_size):
            if box.kind == b"moov":
                file.seek(box.start)
                return declared_size(file.read(box.size))
    return 0, 0
