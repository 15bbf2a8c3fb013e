"""Gives memory that nobody uses back to the system, where the C library would keep it (glibc).

Buffers of many threads leave free room all over malloc's arenas, and of that only the end of an
arena goes back by itself. After sixty viewers of 720p had come and gone 600 MB stayed. So each
`LOOK_EVERY_S` the process is looked at, and trimmed where much has been freed since the last time,
whoever it was that used it: viewers, sockets, or requests.

Objects of connections lie in circles, and Python collects its oldest generation only when many more
are made: after a storm of 1800 sockets 40 MB stayed, as nothing came any more. So where more is
resident than there has been, the garbage is collected before the trim.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import logging
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger(__name__)

LOOK_EVERY_S = 2.0
"""How often the process is looked at. It costs some 50 µs."""

WORTH_BYTES = 4 << 20
"""What must have been freed since the last time. A trim looks at every free chunk and gives back
pages that may soon be wanted again, so it is not done for little."""

GROWN = 1.1
"""Times the least that was ever resident, above which garbage is looked for."""

COLLECT_EVERY = 4
"""Looks from one collection to the next at least."""

_STATM = Path("/proc/self/statm")


class _Mallinfo(ctypes.Structure):
    """``struct mallinfo2`` of malloc.h (glibc 2.33 and later)."""

    _fields_: ClassVar = [
        (name, ctypes.c_size_t)
        for name in (
            "arena",
            "ordblks",
            "smblks",
            "hblks",
            "hblkhd",
            "usmblks",
            "fsmblks",
            "uordblks",
            "fordblks",
            "keepcost",
        )
    ]


@dataclass(frozen=True, slots=True)
class Memory:
    """What is in memory, in bytes.

    Attributes:
        resident: of the process.
        in_use: handed out by malloc and not freed.
    """

    resident: int
    in_use: int

    @property
    def slack(self) -> int:
        """What is resident and not in use: code, Python's own pools, and what was freed."""
        return self.resident - self.in_use


class Trimmer:
    """Decides when to trim. Pure but for what it is given.

    Args:
        look: measures.
        trim: gives back what it can.
        collect: collects garbage.
    """

    def __init__(
        self,
        look: Callable[[], Memory],
        trim: Callable[[], object],
        collect: Callable[[], object] = lambda: None,
    ) -> None:
        self._look, self._trim, self._collect = look, trim, collect
        self._floor: int | None = None  # the least that was ever resident
        self._looks = 0
        self._left: int | None = None  # what was resident after the last collection
        self._least: int | None = None  # the slack that cannot be given back
        self._before: int | None = None
        self.trims = 0

    def step_blocking(self) -> None:
        """Trim where there is enough to give back and nothing more is freed at the moment."""
        self._collect_where_grown()
        slack = self._look().slack
        before, self._before = self._before, slack
        self._least = slack if self._least is None else min(self._least, slack)
        # While it still grows more is being freed, and one trim will do for all of it.
        if slack - self._least < WORTH_BYTES or (before is not None and slack > before * 1.05):
            return
        began = time.monotonic()
        self._trim()
        self.trims += 1
        after = self._look().slack
        self._least = self._before = after
        log.debug(
            "gave back %d MiB in %.0f ms",
            (slack - after) >> 20,
            1000 * (time.monotonic() - began),
        )

    def _collect_where_grown(self) -> None:
        resident = self._look().resident
        self._floor = resident if self._floor is None else min(self._floor, resident)
        self._looks += 1
        # A collection holds up all threads, so one that can find nothing new is none: with viewers
        # that stay, more than the floor is resident for hours.
        changed = self._left is None or abs(resident - self._left) >= WORTH_BYTES
        if resident > self._floor * GROWN and changed and self._looks >= COLLECT_EVERY:
            self._looks = 0
            self._collect()
            self._left = self._look().resident


def open_trimmer() -> Trimmer | None:
    """Return what trims this process; None where the C library or the system has no such thing."""
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "malloc_trim"):  # musl gives everything back by itself
        return None
    page = os.sysconf("SC_PAGE_SIZE")
    counted = hasattr(libc, "mallinfo2")
    if counted:
        libc.mallinfo2.restype = _Mallinfo

    def look() -> Memory:
        resident = int(_STATM.read_bytes().split()[1]) * page
        if not counted:  # then every growth by so much is taken for something freed
            return Memory(resident, 0)
        info = libc.mallinfo2()
        return Memory(resident, info.uordblks + info.hblkhd)

    return Trimmer(look, lambda: libc.malloc_trim(0), gc.collect)


async def give_back_memory() -> None:
    """Trim the process in a thread, again and again, until it is cancelled."""
    trimmer = open_trimmer()
    if trimmer is None:
        return
    gc.freeze()  # what is there from the start on is not looked through again and again
    while True:
        await asyncio.sleep(LOOK_EVERY_S)
        await asyncio.to_thread(trimmer.step_blocking)
