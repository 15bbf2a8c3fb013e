"""Finishes a file: corrects its index, moves it to the front where that is cheap, renames the file.

FFmpeg's ``hybrid_fragmented`` leaves ``ftyp free mdat moov``: the fragments have become one
``mdat``, with an index behind it, and no byte was copied. Whatever happens while this runs, a file
that can be played is there: a new index is written behind the old one before the old one is
struck out, and a copy with the index in front takes the name only when it is on the disk.
"""

from __future__ import annotations

import errno
import logging
import os
import shutil
from typing import TYPE_CHECKING

from icey.storage.boxes import boxes_of_file, shift_offsets, with_parameter_sets
from icey.storage.disk import sync_folder

if TYPE_CHECKING:
    from pathlib import Path

    from icey.media.h264 import ParameterSets
    from icey.storage.boxes import Box

log = logging.getLogger(__name__)

FASTSTART_BYTES = 64 << 20
"""Up to this size the index is moved to the front, by a copy that takes a second on a slow disk."""

TEMPORARY = ".tmp"

FULL = {errno.ENOSPC, errno.EDQUOT}


def finish_file(
    written: Path,
    final: Path,
    largest: ParameterSets | None,
    *,
    faststart_bytes: int = FASTSTART_BYTES,
) -> None:
    """Finish a closed file and give it its final name; `final` must not exist yet.

    Args:
        written: what FFmpeg left.
        final: the name to take; in the same folder.
        largest: what the header declares of the picture, None to leave it as it is.
        faststart_bytes: move the index to the front of files up to this size.

    Raises:
        OSError: the disk refuses; `written` is still there and can be played.
    """
    if largest is not None:
        _declare(written, largest)
    size = written.stat().st_size
    room = shutil.disk_usage(written.parent).free
    if size <= faststart_bytes and room > 2 * size:
        ahead = written.with_name(written.name + TEMPORARY)
        try:
            if _index_in_front(written, ahead):
                take_name(ahead, final)
                written.unlink()
                sync_folder(final.parent)
                return
        except OSError as error:
            if error.errno not in FULL:
                raise
            log.info("%s keeps its index at the end: %s", final.name, error)
        finally:
            ahead.unlink(missing_ok=True)
    with written.open("rb") as file:
        os.fsync(file.fileno())
    take_name(written, final)
    sync_folder(final.parent)


def take_name(path: Path, final: Path) -> None:
    """Rename without ever replacing a file: a link fails where a rename would not."""
    try:
        os.link(path, final)
    except OSError as error:
        if error.errno not in {errno.EPERM, errno.ENOTSUP, errno.EMLINK}:
            raise
        # A file system without links (FAT, some network ones): nobody else makes such names.
        if final.exists():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST)) from error
        path.rename(final)
    else:
        path.unlink()


def _layout(path: Path) -> dict[bytes, Box]:
    with path.open("rb") as file:
        return {box.kind: box for box in boxes_of_file(file, path.stat().st_size)}


def _declare(path: Path, sets: ParameterSets) -> None:
    """Append a second index with these parameter sets, then strike out the first."""
    length = path.stat().st_size
    old = _layout(path).get(b"moov")
    if old is None:
        return
    with path.open("r+b") as file:
        file.seek(old.start)
        moov = file.read(old.size)
        new = with_parameter_sets(moov, sets)
        if new == moov:
            return
        try:
            file.seek(0, os.SEEK_END)
            file.write(new)
            file.flush()
            os.fsync(file.fileno())
        except OSError as error:
            if error.errno not in FULL:
                raise
            log.info("%s keeps the size of its first picture: %s", path.name, error)
            os.truncate(path, length)
            return
        file.seek(old.start + 4)
        file.write(b"free")
        file.flush()
        os.fsync(file.fileno())


def _index_in_front(path: Path, target: Path) -> bool:
    """Copy a file with its index moved to the front; False for a file of another layout."""
    layout = _layout(path)
    start, media, index = (layout.get(kind) for kind in (b"ftyp", b"mdat", b"moov"))
    if start is None or media is None or index is None or b"moof" in layout:
        return False
    with path.open("rb") as source, target.open("xb") as copy:
        source.seek(index.start)
        moov = source.read(index.size)
        # Everything between the beginning of the file and the media goes, but the first box.
        moved = start.size + len(moov) - media.start
        moov = shift_offsets(moov, moved)
        source.seek(0)
        copy.write(source.read(start.size))
        copy.write(moov)
        source.seek(media.start)
        left = media.size
        while left and (piece := source.read(min(left, 1 << 20))):
            copy.write(piece)
            left -= len(piece)
        copy.flush()
        os.fsync(copy.fileno())
    return True
