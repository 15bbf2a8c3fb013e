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

RESERVED_DESCRIPTORS = 512
"""Of the limit of open files, what no connection gets: for recordings, sources and the engine."""

PR_SET_THP_DISABLE = 41  # linux/prctl.h
M_MMAP_THRESHOLD, M_ARENA_MAX = -3, -8  # malloc.h

LARGE_BYTES = 256 * 1024
"""Pictures and the buffers of encoders are larger, packets and objects of Python smaller."""

LEAST_ARENAS = 4


def raise_descriptor_limit(connections: int = 0) -> None:
    """Raise the soft limit of open files as far as the hard one allows.

    Args:
        connections: ``limits.connections``, for which there must be room.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = max(DESCRIPTORS, 2 * connections + RESERVED_DESCRIPTORS)
    wanted = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def room_for_connections(wanted: int) -> int:
    """Return how many HTTP connections there may be, so that descriptors for all else are left.

    Half of the descriptors beyond the reserve, as TURN's connections and relayed ports need some
    too; where the limit is low, the reserve is a quarter of it.

    Args:
        wanted: ``limits.connections``; 0 is no bound of its own.
    """
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return wanted
    room = max(16, (soft - min(RESERVED_DESCRIPTORS, soft // 4)) // 2)
    if wanted and wanted > room:
        log.warning(
            "the system allows %d open files, so there are at most %d connections at a time, not "
            "the %d of limits.connections: raise the limit (LimitNOFILE of systemd, ulimit -n)",
            soft,
            room,
            wanted,
        )
    return min(wanted, room) if wanted else room


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
        return
    # Eight arenas a core are the default, and what a storm of viewers leaves in them lies
    # scattered: of twelve that came and went 20 MiB stayed with 16 arenas, 7 with 4, both trimmed
    # (`server.memory`).
    libc.mallopt(M_ARENA_MAX, max(LEAST_ARENAS, 2 * (os.cpu_count() or 1)))


def create_files_with(mode: int) -> None:
    """Make this process create its files with at most this mode, and folders that go with it.

    The umask does it, so that it holds for whatever writes: FFmpeg, the repair, the detectors.

    Args:
        mode: of `chmod`, without execution.
    """
    os.umask(~mode & 0o666)
