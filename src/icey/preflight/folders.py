"""Checks of folders: that of the web UI is readable, those of recordings are writable."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from contextlib import suppress
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING

from icey.preflight.finding import Finding, failed, passed, warned

if TYPE_CHECKING:
    from icey.config.model import Settings
    from icey.preflight.running import Running

_LOW_DISK_BYTES = 1024**3
"""With less than a GiB to write, a recording is about to end: an hour at 2 Mbit/s needs that."""


def web_root(settings: Settings) -> Path:
    """Return the folder of the web UI."""
    return settings.web_root or Path(__file__).parents[1] / "web"


def check_web_root(settings: Settings) -> Finding:
    """Read the page that a browser will ask for first."""
    root = web_root(settings)
    index = root / "index.html"
    what_to_do = (
        "set --web-root or webRoot to a folder with an index.html, or leave it out for the UI "
        "inside the package"
        if settings.web_root
        else "reinstall the package: pip install --force-reinstall icey"
    )
    try:
        page = index.read_bytes()
    except OSError as error:
        return failed("cannot read ", index, f" ({error.strerror}): {what_to_do}")
    if not page.strip():
        return failed(index, f" is empty: {what_to_do}")
    return passed(root, "" if settings.web_root else " (inside the package)")


def _writers(settings: Settings) -> list[tuple[str, Path, str]]:
    """Return the folders that this configuration writes to: purpose, path and setting."""
    if settings.media.mode == "record":
        return [("recordings", settings.media.record_dir, "--record-dir or media.recordDir")]
    intelligence = settings.media.intelligence
    vision = intelligence.vision
    looked_at = vision.enabled or intelligence.detectors
    if settings.media.mode != "stream" or not looked_at:
        return []
    prefix = "media.intelligence.vision"
    kinds = [
        ("snapshots", vision.snapshots.enabled, settings.snapshots_dir),
        ("clips", vision.clips.enabled, settings.clips_dir),
    ]
    return [(name, path, f"{prefix}.{name}.dir") for name, enabled, path in kinds if enabled]


def check_record_dir(settings: Settings, running: Running | None = None) -> Finding:
    """Write, flush and delete a file in each folder that will be written to.

    Folders made for it are removed again: the doctor leaves no trace, and in a mode that writes
    nothing no folder is touched at all. A server that runs leaves them: a recording may be about to
    begin in them.
    """
    writers = _writers(settings)
    if not writers:
        return passed(f"not written to in {settings.media.mode} mode")
    free = []
    for name, path, setting in writers:
        try:
            free.append(_write_in(path, keep=running is not None))
        except OSError as error:
            advice = f"{_ADVICE.get(error.errno or 0, _OTHER_ADVICE)}, or choose another folder"
            reason = error.strerror or type(error).__name__
            return failed(f"cannot write {name} to ", path, f" ({reason}): {advice} with {setting}")
    detail = [part for _, path, _ in writers for part in (path, " ")]
    # A stream goes on without snapshots and clips, recordings do not.
    floor = settings.media.record.min_free_bytes if settings.media.mode == "record" else 0
    return _check_room(detail, min(free), floor)


_ADVICE = {
    errno.ENOSPC: "make room on its disk",
    errno.EDQUOT: "make room in this user's quota",
    errno.EROFS: "mount its disk for writing",
    errno.ENOTDIR: "remove the file that is in its way",
    errno.EACCES: "let this user write there (chown, chmod)",
    errno.EPERM: "let this user write there (chown, chmod)",
    errno.ELOOP: "remove the symbolic link that leads to itself",
}
_OTHER_ADVICE = "make it a folder that this user may write to"


def _check_room(detail: list[str | Path], free: int, floor: int) -> Finding:
    """Compare the free bytes with those that are to stay free."""
    if free < floor:
        return failed(
            *detail,
            f"has {free // 1024**2} MiB left, and {floor // 1024**2} MiB are to stay free: make "
            "room, choose another disk with --record-dir or media.recordDir, or lower "
            "media.record.minFreeBytes",
        )
    if free - floor < _LOW_DISK_BYTES:
        stop = f" at {floor // 1024**2} MiB" if floor else ""
        return warned(
            *detail, f"has {free // 1024**2} MiB left: make room, or recordings stop{stop}"
        )
    return passed(*detail, f"writable, {free // 1024**3} GiB free")


def _write_in(folder: Path, *, keep: bool) -> int:
    """Write a file in a folder, as a recording would; return the bytes that stay free.

    Args:
        folder: where.
        keep: whether folders that were made for it stay.

    Raises:
        OSError: the folder cannot be made, or the file not written.
    """
    missing = list(takewhile(lambda path: not path.exists(), (folder, *folder.parents)))
    made: list[Path] = []
    try:
        for path in reversed(missing):
            with suppress(FileExistsError):  # a recording made it at the same moment
                path.mkdir()
                made.insert(0, path)
        with tempfile.NamedTemporaryFile(prefix=".icey-preflight-", dir=folder) as file:
            file.write(b"icey")
            file.flush()
            os.fsync(file.fileno())
        return shutil.disk_usage(folder).free
    finally:
        if not keep:
            for path in made:
                # A folder that somebody has put something into since then is not ours any more.
                with suppress(OSError):
                    path.rmdir()
