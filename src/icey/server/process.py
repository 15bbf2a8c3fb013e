"""Limits of the server's own process: descriptors and memory."""

from __future__ import annotations

import ctypes
import logging
import os
import resource
import sys

log = logging.getLogger(__name__)

DESCRIPTORS = 16_384
"""Open files wanted: each signalling client is one, and the usual soft limit is 1024."""

PR_SET_THP_DISABLE = 41  # linux/prctl.h
M_MMAP_THRESHOLD = -3  # malloc.h

LARGE_BYTES = 256 * 1024
"""Pictures and the buffers of encoders are larger, packets and objects of Python smaller."""


def raise_descriptor_limit() -> None:
    """Raise the soft limit of open files as far as the hard one allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(DESCRIPTORS, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def refuse_huge_pages() -> None:
    """Turn transparent huge pages off for this process (Linux).

    x264 asks for pages of 2 MiB around buffers that fill them in part only: measured at 720p, 5 MiB
    a viewer with an encoder of his own, and no difference in CPU.
    """
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0) != 0:
        log.debug("huge pages stay: %s", os.strerror(ctypes.get_errno()))


def give_back_large_buffers() -> None:
    """Make malloc return the large buffers of a closed encoder to the system (glibc).

    By itself glibc learns from each large buffer that is freed to take the next ones from its heap,
    where they leave holes: measured with viewers of 720p that come and go, 20 MiB that stay.
    """
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None, use_errno=True)
    # Another C library may have no mallopt, or one that does nothing.
    if not hasattr(libc, "mallopt") or libc.mallopt(M_MMAP_THRESHOLD, LARGE_BYTES) != 1:
        log.debug("large buffers are kept as this C library likes")


def create_files_with(mode: int) -> None:
    """Make this process create its files with at most this mode, and folders that go with it.

    The umask does it, so that it holds for whatever writes: FFmpeg, the repair, the detectors.

    Args:
        mode: of `chmod`, without execution.
    """
    os.umask(~mode & 0o666)
