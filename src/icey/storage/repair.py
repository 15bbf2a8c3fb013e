"""Repairs the parts that a crash left behind: makes them files that play.

An open recording is whole up to its last complete fragment. It is copied, with an ordinary index,
beside itself, and the part is removed when the copy is on the disk. So a crash in the middle of a
repair costs nothing: the next start finds the part and an unfinished copy, which it throws away.
"""

from __future__ import annotations

import errno
import logging
import os
import shutil
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING

import av
from av.error import FFmpegError

from icey.media.h264 import annex_b
from icey.storage.boxes import boxes_of_file
from icey.storage.disk import sync_folder
from icey.storage.finish import FULL, TEMPORARY, finish_file, take_name
from icey.storage.largest import LargestPicture
from icey.storage.paths import ENDING, PART, recovered_of
from icey.storage.sink import lock

if TYPE_CHECKING:
    from pathlib import Path

    from icey.media.h264 import ParameterSets

log = logging.getLogger(__name__)

BROKEN = ".broken"
"""Put behind the name of a part that holds media of which nothing can be made."""

CUT_OFF_BYTES = 8 << 20
"""A crash cuts off less than a fragment. Where more than this cannot be read, the disk has lost
something in the middle, and the part is kept aside for somebody who knows more."""


@dataclass(frozen=True, slots=True)
class Repaired:
    """The result of repairing one part.

    Attributes:
        part: its name.
        name: the name of what was saved, None where there was nothing to save.
        seconds: its duration.
        detail: why nothing was saved.
    """

    part: str
    name: str | None
    seconds: float
    detail: str = ""

    def __str__(self) -> str:
        if self.name is None:
            return f"{self.part}: nothing could be saved: {self.detail}"
        return f"{self.part}: a crash cut it short; {self.seconds:.1f} s saved as {self.name}"


def repair_folder(folder: Path, *, min_free_bytes: int = 0) -> list[Repaired]:
    """Repair every part that no living server holds; one that cannot be read stops no other.

    Args:
        folder: of the recordings; it may not be there yet.
        min_free_bytes: what copies leave free on the disk. A part that there is no room to copy
            keeps its fragments, with which it plays as well.
    """
    if not folder.is_dir():
        return []
    done = []
    for copy in folder.glob(f"*{PART}{TEMPORARY}*"):
        _remove_if_left(copy)
    for part in sorted(folder.glob(f"*{PART}")):
        try:
            repaired = _repair_if_left(part, min_free_bytes)
        except (OSError, FFmpegError):
            log.exception("%s is left as it is", part.name)
            continue
        if repaired is not None:
            done.append(repaired)
    return done


def _remove_if_left(copy: Path) -> None:
    """Remove an unfinished copy, but not one that a living server is just making."""
    part = copy.with_name(copy.name.partition(PART)[0] + PART)
    if not part.exists():
        copy.unlink(missing_ok=True)
        return
    descriptor = lock(part)
    if descriptor is not None:
        copy.unlink(missing_ok=True)
        os.close(descriptor)


def _repair_if_left(part: Path, min_free_bytes: int) -> Repaired | None:
    descriptor = lock(part)
    if descriptor is None:
        return None
    try:
        named = _named_already(part)
        if named is not None:
            # The crash came between the last two steps: only the old name is left to remove.
            log.info("%s is whole, and called %s", part.name, named.name)
            part.unlink()
            sync_folder(part.parent)
            return None
        return repair_part(part, min_free_bytes=min_free_bytes)
    finally:
        os.close(descriptor)


def _named_already(part: Path) -> Path | None:
    names = (part.name.removesuffix(PART) + ENDING, recovered_of(part.name))
    paths = (part.with_name(name) for name in names)
    return next((path for path in paths if path.exists() and path.samefile(part)), None)


def repair_part(part: Path, *, min_free_bytes: int = 0) -> Repaired:
    """Repair one part, which the caller has locked.

    Args:
        part: what a recorder has left.
        min_free_bytes: what a copy leaves free on the disk.

    Raises:
        OSError: the disk refuses; the part is still there.
    """
    whole = _whole_bytes(part)
    rest = part.stat().st_size - whole
    if whole == 0 and rest <= CUT_OFF_BYTES and _begins_as_ours(part):
        part.unlink()
        sync_folder(part.parent)
        return Repaired(part.name, None, 0.0, "it ends before its first fragment")
    if whole == 0:
        return _put_aside(part, "its beginning cannot be read")
    final = _free_name(part)
    copy = part.with_name(part.name + TEMPORARY)
    copy.unlink(missing_ok=True)
    try:
        _check_room_for(whole, part.parent, min_free_bytes)
        seconds, largest = _copy_with_index(part, whole, copy)
        finish_file(copy, final, largest)
    except OSError as error:
        copy.unlink(missing_ok=True)
        if error.errno not in FULL:
            raise
        # As it is, cut to its whole fragments, it plays too.
        log.info("%s is not copied: %s", part.name, error)
        if rest <= CUT_OFF_BYTES:
            os.truncate(part, whole)
        seconds = _seconds(part)
        take_name(part, final)
    except FFmpegError as error:
        copy.unlink(missing_ok=True)
        return _put_aside(part, str(error))
    else:
        if rest > CUT_OFF_BYTES:
            log.warning("%s", _put_aside(part, f"{rest} bytes of it cannot be read"))
        else:
            part.unlink()
    sync_folder(part.parent)
    return Repaired(part.name, final.name, seconds)


def _put_aside(part: Path, why: str) -> Repaired:
    part.rename(part.with_name(part.name + BROKEN))
    sync_folder(part.parent)
    return Repaired(part.name, None, 0.0, f"{why}; kept as {part.name}{BROKEN}")


def _begins_as_ours(part: Path) -> bool:
    with part.open("rb") as file:
        head = file.read(8)
    return head[4:8] == b"ftyp"[: len(head[4:8])]


def _check_room_for(size: int, folder: Path, min_free_bytes: int) -> None:
    if shutil.disk_usage(folder).free - size < min_free_bytes:
        raise OSError(errno.ENOSPC, "a copy would take the room that is to stay free")


def _whole_bytes(part: Path) -> int:
    """Return the bytes up to the end of the last complete fragment; 0 without one."""
    whole, index, media = 0, False, False
    with part.open("rb") as file:
        for box in boxes_of_file(file, part.stat().st_size):
            if box.kind == b"mdat":
                media = True
                whole = box.end if index else whole
            elif box.kind in {b"moov", b"moof"}:
                index = True
                # An index behind the media: the crash came after the recording was closed.
                whole = box.end if media and box.kind == b"moov" else whole
    return whole


def _copy_with_index(part: Path, whole: int, copy: Path) -> tuple[float, ParameterSets | None]:
    """Copy all packets into an ordinary MP4; return its seconds and its largest picture's sets."""
    end = 0.0
    largest = LargestPicture()
    with (
        # FFmpeg reads the first bytes of the file only: what lies behind them is cut off.
        av.open(f"subfile,,start,0,end,{whole},,:{part}", "r", format="mp4") as source,
        av.open(str(copy), "w", format="mp4") as target,
    ):
        streams = {s.index: target.add_stream_from_template(s) for s in source.streams}
        for packet in source.demux():
            if packet.dts is None or packet.is_corrupt:
                continue
            if packet.stream.type == "video" and packet.is_keyframe:
                largest.add(annex_b(bytes(packet)))
            if packet.pts is not None and packet.time_base is not None:
                end = max(end, float((packet.pts + (packet.duration or 0)) * packet.time_base))
            packet.stream = streams[packet.stream.index]
            target.mux_one(packet)
    return end, largest.sets


def _seconds(part: Path) -> float:
    with av.open(str(part)) as container:
        return (container.duration or 0) / av.time_base


def _free_name(part: Path) -> Path:
    names = (part.with_name(recovered_of(part.name, again=again)) for again in count())
    return next(final for final in names if not final.exists())
