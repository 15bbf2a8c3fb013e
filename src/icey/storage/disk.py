"""Checks the folder of recordings, and explains the errors of its file system."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

from icey.errors import RecordingError

if TYPE_CHECKING:
    from pathlib import Path


def check_room(folder: Path, min_free_bytes: int) -> None:
    """Check that a folder exists and has room.

    Raises:
        RecordingError: it is gone, or has less than ``media.record.minFreeBytes`` left.
    """
    try:
        space = os.statvfs(folder)
    except OSError as error:
        raise explained(error) from error
    free = space.f_bavail * space.f_frsize
    if free < min_free_bytes:
        raise RecordingError(
            f"the disk has {free // 2**20} MiB free, and {min_free_bytes // 2**20} MiB are to stay "
            "free (media.record.minFreeBytes)"
        )


def explained(error: OSError) -> RecordingError:
    """Turn an error of the system into one whose text a caller understands."""
    words = {
        errno.ENOSPC: "the disk is full",
        errno.EDQUOT: "the disk quota of the server is full",
        errno.ENOENT: "the folder of recordings is gone",
        errno.ENOTDIR: "the folder of recordings is not a folder",
        errno.EACCES: "the server may not write into the folder of recordings",
        errno.EPERM: "the server may not write into the folder of recordings",
        errno.EROFS: "the folder of recordings is on a read-only disk",
        errno.EIO: "the disk reports an error",
    }
    detail = os.strerror(error.errno) if error.errno else type(error).__name__
    known = words.get(error.errno or 0, f"the recording cannot be written: {detail}")
    return RecordingError(known, detail=detail)


def sync_folder(folder: Path) -> None:
    """Make sure that the names in a folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
