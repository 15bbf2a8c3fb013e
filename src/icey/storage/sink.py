"""A locked file that FFmpeg writes into; its errors are the system's own.

FFmpeg could open the file itself. But then a full disk is seen late, and at the end it would
strike out the fragments even where the index that replaces them has not been written.
"""

from __future__ import annotations

import fcntl
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


class FileSink:
    """A new file, locked for as long as it is open; FFmpeg writes it by `write` and `seek`.

    Args:
        path: must not be there yet.

    Raises:
        OSError: it cannot be made.

    Attributes:
        size: bytes written so far, from any thread.
        error: the first error of the disk. From then on the file stays as it is.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = _create(path)
        while not self.is_in_place():  # a repair saw it before it was locked, and found it empty
            os.close(self._descriptor)
            self._descriptor = _create(path)
        self._at = 0
        self.size = 0
        self.error: OSError | None = None

    def write(self, data: bytes) -> int:
        """Write all of it where the last write or `seek` ended.

        Raises:
            OSError: the disk refuses, now or before.
        """
        if self.error is not None:
            raise self.error
        try:
            if self._at < self.size:
                # What is written over was whole. It goes when what replaces it is on the disk.
                os.fdatasync(self._descriptor)
            left = memoryview(data)
            while left:
                written = os.pwrite(self._descriptor, left, self._at)
                self._at += written
                left = left[written:]
        except OSError as error:
            self.error = error
            raise
        self.size = max(self.size, self._at)
        return len(data)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move to where the next write goes."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self.size}[whence]
        self._at = base + offset
        return self._at

    def tell(self) -> int:
        """Where the next write goes."""
        return self._at

    def check(self) -> None:
        """Raise an error of the disk that FFmpeg may not have reported.

        Raises:
            OSError: the disk has refused something.
        """
        if self.error is not None:
            raise self.error

    def freeze(self, error: OSError) -> None:
        """Leave the file as it is: what FFmpeg still writes is refused with this error."""
        self.error = self.error or error

    def sync(self) -> None:
        """Have the disk keep what was written.

        Raises:
            OSError: the disk refuses.
        """
        os.fdatasync(self._descriptor)

    def is_in_place(self) -> bool:
        """Whether the name still leads to this file: somebody may have removed it."""
        return _leads_to(self._path, self._descriptor)

    def release(self) -> None:
        """Close and unlock the file."""
        os.close(self._descriptor)


def lock(path: Path) -> int | None:
    """Lock a file for reading and writing.

    Returns:
        Its descriptor; None where somebody writes it, or has just finished it.

    Raises:
        OSError: it cannot be opened.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    if not _leads_to(path, descriptor):
        os.close(descriptor)
        return None
    return descriptor


def _create(path: Path) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    return descriptor


def _leads_to(path: Path, descriptor: int) -> bool:
    try:
        named = path.stat()
    except OSError:
        return False
    mine = os.fstat(descriptor)
    return (named.st_dev, named.st_ino) == (mine.st_dev, mine.st_ino)
