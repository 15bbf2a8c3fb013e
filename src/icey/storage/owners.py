"""Remembers whose a recording is: a small file beside the recordings, for fair retention.

A caller chooses the name that its files bear, so the name says nothing. What counts is the network
that the caller came from; the file has no address but a digest of it. A line is added for each
recording; those of files that are gone are left out when the folder is kept.
"""

from __future__ import annotations

import hashlib
import logging
import threading
from typing import TYPE_CHECKING

from icey.storage.paths import ENDING, PART, RECOVERED

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

log = logging.getLogger(__name__)

FILE = ".icey-owners"

MAX_BYTES = 8 << 20
"""Of the file that is read; a hundred thousand recordings have half of it."""


def owner_of(network: str) -> str:
    """Return the name of an owner: a digest of where it comes from (`icey.network.network_of`)."""
    return hashlib.sha256(network.encode()).hexdigest()[:16]


class Owners:
    """Whose the recordings of one folder are. For threads: it reads and writes the disk.

    Args:
        folder: of the recordings; it is there before the first `note_blocking`.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE
        self._lock = threading.Lock()

    def note_blocking(self, name: str, owner: str) -> None:
        """Remember whose a recording is; the log says so where the disk refuses."""
        with self._lock:
            try:
                with self._path.open("a", encoding="ascii") as file:
                    file.write(f"{_stem(name)} {owner}\n")
            except OSError as error:
                log.warning("whose %s is cannot be remembered: %s", name, error)

    def read_blocking(self) -> dict[str, str]:
        """Return the owner by the stem of each recording; empty where nothing can be read."""
        with self._lock:
            return self._read()

    def keep_blocking(self, names: Iterable[str]) -> None:
        """Forget recordings that are gone, once they are half of what is remembered.

        Args:
            names: of all files in the folder, parts included.
        """
        with self._lock:
            known = self._read()
            stems = {_stem(name) for name in names}
            there = {stem: owner for stem, owner in known.items() if stem in stems}
            if len(there) * 2 > len(known):
                return
            text = "".join(f"{stem} {owner}\n" for stem, owner in there.items())
            new = self._path.with_name(FILE + ".new")
            try:
                new.write_text(text, encoding="ascii")
                new.replace(self._path)
            except OSError as error:
                log.warning("the list of owners cannot be written: %s", error)

    @staticmethod
    def find(known: dict[str, str], name: str) -> str:
        """Return the owner of a file by its name; empty for one that is not known."""
        return known.get(_stem(name), "")

    def _read(self) -> dict[str, str]:
        try:
            with self._path.open(encoding="ascii", errors="replace") as file:
                lines = file.read(MAX_BYTES).splitlines()
        except OSError:
            return {}
        pairs = (line.split(" ") for line in lines)
        return {pair[0]: pair[1] for pair in pairs if len(pair) == 2}


def _stem(name: str) -> str:
    for ending in (RECOVERED, PART, ENDING):
        if name.endswith(ending):
            return name.removesuffix(ending)
    return name
