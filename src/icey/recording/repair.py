"""What a crash left behind, made into files that play.

An open recording is whole up to its last complete fragment. It is copied, with an ordinary index,
beside itself, and the part is removed when the copy is on the disk. So a crash in the middle of a
repair costs nothing: the next start finds the part and an unfinished copy, which it throws away.
"""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

import av
from av.error import FFmpegError

from icey.recording.boxes import boxes_of_file
from icey.recording.disk import sync_folder
from icey.recording.finish import FULL, TEMPORARY, finish_file, take_name
from icey.recording.nal import annex_b, parameter_sets
from icey.recording.paths import PART, recovered_of
from icey.recording.sink import lock

if TYPE_CHECKING:
    from pathlib import Path

    from icey.recording.boxes import ParameterSets

__all__ = ["Repaired", "repair_folder", "repair_part"]

log = logging.getLogger(__name__)

BROKEN = ".broken"
"""Put behind the name of a part that holds media of which nothing can be made."""


@dataclass(frozen=True, slots=True)
class Repaired:
    """What became of one part.

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


def repair_folder(folder: Path) -> list[Repaired]:
    """Repair every part that no living server holds; one that cannot be read stops no other."""
    if not folder.is_dir():
        return []
    done = []
    for copy in folder.glob(f"*{PART}{TEMPORARY}*"):
        copy.unlink(missing_ok=True)
    for part in sorted(folder.glob(f"*{PART}")):
        try:
            repaired = _repair_if_left(part)
        except (OSError, FFmpegError):
            log.exception("%s is left as it is", part.name)
            continue
        if repaired is not None:
            done.append(repaired)
    return done


def _repair_if_left(part: Path) -> Repaired | None:
    descriptor = lock(part)
    if descriptor is None:
        return None
    try:
        return repair_part(part)
    finally:
        os.close(descriptor)


def repair_part(part: Path) -> Repaired:
    """Repair one part, which the caller has locked.

    Raises:
        OSError: the disk refuses; the part is still there.
    """
    whole = _whole_bytes(part)
    if whole == 0:
        part.unlink()
        sync_folder(part.parent)
        return Repaired(part.name, None, 0.0, "it ends before its first fragment")
    final = _free_name(part)
    copy = part.with_name(part.name + TEMPORARY)
    copy.unlink(missing_ok=True)
    os.truncate(part, whole)
    try:
        seconds, largest = _copy_with_index(part, copy)
        finish_file(copy, final, largest)
    except OSError as error:
        copy.unlink(missing_ok=True)
        if error.errno not in FULL:
            raise
        # No room for a copy: as it is, cut to its whole fragments, it plays too.
        seconds = _seconds(part)
        take_name(part, final)
    except FFmpegError as error:
        copy.unlink(missing_ok=True)
        part.rename(part.with_name(part.name + BROKEN))
        return Repaired(part.name, None, 0.0, f"{error}; kept as {part.name}{BROKEN}")
    else:
        part.unlink()
    sync_folder(part.parent)
    return Repaired(part.name, final.name, seconds)


def _whole_bytes(part: Path) -> int:
    """Bytes up to the end of the last fragment that is all there; 0 where there is none."""
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


def _copy_with_index(part: Path, copy: Path) -> tuple[float, ParameterSets | None]:
    """Copy all packets into an ordinary MP4; its seconds, and what it shows at its largest."""
    end = 0.0
    sets: ParameterSets | None = None
    largest: ParameterSets | None = None
    with av.open(str(part)) as source, av.open(str(copy), "w", format="mp4") as target:
        streams = {s.index: target.add_stream_from_template(s) for s in source.streams}
        for packet in source.demux():
            if packet.dts is None or packet.is_corrupt:
                continue
            if packet.stream.type == "video" and packet.is_keyframe:
                sets = parameter_sets(annex_b(bytes(packet)), sets) or sets
                if sets is not None and (largest is None or sets.area > largest.area):
                    largest = sets
            if packet.pts is not None and packet.time_base is not None:
                end = max(end, float((packet.pts + (packet.duration or 0)) * packet.time_base))
            packet.stream = streams[packet.stream.index]
            target.mux_one(packet)
    return end, largest


def _seconds(part: Path) -> float:
    with av.open(str(part)) as container:
        return (container.duration or 0) / av.time_base


def _free_name(part: Path) -> Path:
    again = 0
    while True:
        final = part.with_name(recovered_of(part.name, again=again))
        if not final.exists():
            return final
        again += 1
