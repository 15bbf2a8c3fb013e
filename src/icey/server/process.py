"""What the server asks of the system for its own process: descriptors and memory pages."""

from __future__ import annotations

import ctypes
import logging
import os
import resource
import sys

__all__ = ["raise_descriptor_limit", "refuse_huge_pages"]

log = logging.getLogger(__name__)

DESCRIPTORS = 16_384
"""Open files wanted: each signalling client is one, and the usual soft limit is 1024."""

PR_SET_THP_DISABLE = 41  # linux/prctl.h


def raise_descriptor_limit() -> None:
    """Raise the soft limit of open files, as far as the hard one allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(DESCRIPTORS, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def refuse_huge_pages() -> None:
    """Let memory be given in small pages (Linux).

    x264 asks for pages of 2 MiB around buffers that fill them in part only: measured at 720p, 5 MiB
    a viewer with an encoder of his own, and no difference in CPU.
    """
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0) != 0:
        log.debug("huge pages stay: %s", os.strerror(ctypes.get_errno()))
