"""Reads and edits the boxes of an MP4, where FFmpeg would write the file anew (ISO/IEC 14496-12).

FFmpeg writes every file. It cannot correct the size of the picture at the end: a browser begins
small, and FFmpeg writes the header from the first picture. To move the index to the front, it would
write the whole file twice. Both are changes of a few bytes in one box.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from icey.media.h264 import ParameterSets

CONTAINERS = {b"moov", b"trak", b"mdia", b"minf", b"stbl"}

VISUAL_ENTRY_BYTES = 78
"""Of a visual sample entry before the boxes in it (§12.1.3.2), without its own header."""


@dataclass(frozen=True, slots=True)
class Box:
    """A box at the top level of a file: its type, offset and size in bytes."""

    kind: bytes
    start: int
    size: int

    @property
    def end(self) -> int:
        """The offset of the box behind it."""
        return self.start + self.size


def boxes_of_file(file: BinaryIO, length: int) -> Iterator[Box]:
    """Yield the boxes at the top level of a file, up to the first one that is cut off.

    Args:
        file: open for reading; its position moves.
        length: bytes of the file.
    """
    at = 0
    while at + 8 <= length:
        file.seek(at)
        head = file.read(16)
        size, kind = struct.unpack(">I4s", head[:8])
        if size == 1 and len(head) == 16:
            size = int.from_bytes(head[8:16], "big")
        if size < 8 or at + size > length:
            return
        yield Box(kind, at, size)
        at += size


def with_parameter_sets(moov: bytes, sets: ParameterSets) -> bytes:
    """Return the ``moov`` box whose video track declares these parameter sets and their size."""
    return _rewrite(moov, lambda kind, body: _with_sets(kind, body, sets))


def shift_offsets(moov: bytes, by: int) -> bytes:
    """Return the ``moov`` box with every chunk offset moved by so many bytes (§8.7.5)."""

    def shifted(kind: bytes, body: bytes) -> bytes:
        if kind not in {b"stco", b"co64"}:
            return body
        letter = "I" if kind == b"stco" else "Q"
        (count,) = struct.unpack(">I", body[4:8])
        offsets = struct.unpack(f">{count}{letter}", body[8:])
        return body[:8] + struct.pack(f">{count}{letter}", *(offset + by for offset in offsets))

    return _rewrite(moov, shifted)


def declared_size(moov: bytes) -> tuple[int, int]:
    """Return the width and height, px, that the ``moov`` box declares; (0, 0) without a picture."""
    found = (0, 0)

    def look(kind: bytes, body: bytes) -> bytes:
        nonlocal found
        if kind == b"tkhd" and any(body[-8:]):
            width, height = struct.unpack(">II", body[-8:])
            found = width >> 16, height >> 16
        return body

    _rewrite(moov, look)
    return found


def _rewrite(box: bytes, change: Callable[[bytes, bytes], bytes]) -> bytes:
    """Apply a change to every leaf box, and correct the sizes of the boxes around it."""
    kind, body = box[4:8], box[8:]
    if kind in CONTAINERS:
        body = b"".join(_rewrite(child, change) for child in _children(body))
    else:
        body = change(kind, body)
    return _box(kind, body)


def _children(body: bytes) -> Iterator[bytes]:
    at = 0
    while at + 8 <= len(body):
        size = int.from_bytes(body[at : at + 4], "big")
        if size < 8:
            return
        yield body[at : at + size]
        at += size


def _with_sets(kind: bytes, body: bytes, sets: ParameterSets) -> bytes:
    if kind == b"tkhd" and any(body[-8:]):  # a track without a picture has no size
        return body[:-8] + struct.pack(">II", sets.width << 16, sets.height << 16)
    if kind == b"stsd":
        entries = b"".join(_entry(child, sets) for child in _children(body[8:]))
        return body[:8] + entries
    return body


def _entry(entry: bytes, sets: ParameterSets) -> bytes:
    if entry[4:8] != b"avc1":
        return entry
    body = entry[8:]
    fields = bytearray(body[:VISUAL_ENTRY_BYTES])
    fields[24:28] = struct.pack(">HH", sets.width, sets.height)
    configuration = _box(b"avcC", sets.configuration())
    inner = b"".join(
        configuration if child[4:8] == b"avcC" else child
        for child in _children(body[VISUAL_ENTRY_BYTES:])
    )
    return _box(b"avc1", bytes(fields) + inner)


def _box(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I4s", len(body) + 8, kind) + body
