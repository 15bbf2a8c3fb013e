"""Reading and editing MP4 boxes."""

import io
import struct

from hypothesis import given
from hypothesis import strategies as st

from icey.media.h264 import ParameterSets
from icey.storage.boxes import (
    Box,
    boxes_of_file,
    declared_size,
    shift_offsets,
    with_parameter_sets,
)

SETS = ParameterSets(b"\x67\x42\xc0\x1f\x01", b"\x68\xce", 1280, 720)


def box(kind, *content):
    body = b"".join(content)
    return struct.pack(">I4s", len(body) + 8, kind) + body


def track(width, height, entry, offsets):
    return box(
        b"trak",
        box(b"tkhd", bytes(76), struct.pack(">II", width << 16, height << 16)),
        box(
            b"mdia",
            box(
                b"minf",
                box(
                    b"stbl",
                    box(b"stsd", struct.pack(">II", 0, 1), entry),
                    box(b"stco", struct.pack(f">II{len(offsets)}I", 0, len(offsets), *offsets)),
                ),
            ),
        ),
    )


def moov():
    visual = bytes(24) + struct.pack(">HH", 320, 240) + bytes(50)
    video = box(b"avc1", visual, box(b"avcC", b"old"), box(b"pasp", bytes(8)))
    return box(
        b"moov",
        box(b"mvhd", bytes(100)),
        track(320, 240, video, [100, 200]),
        track(0, 0, box(b"Opus", bytes(28)), [150]),
    )


def test_the_walk_over_a_file():
    """Every whole box, with sizes of 32 and of 64 bits; it ends at one that is cut off."""
    large = struct.pack(">I4sQ", 1, b"mdat", 20) + b"data"
    file = box(b"ftyp", b"isom") + large + box(b"moov", b"xx")
    walked = list(boxes_of_file(io.BytesIO(file + box(b"moof", bytes(9))[:-1]), len(file) + 16))
    assert walked == [Box(b"ftyp", 0, 12), Box(b"mdat", 12, 20), Box(b"moov", 32, 10)]


@given(st.binary(max_size=200))
def test_the_walk_over_anything(data):
    """Whatever is in the file, boxes lie in it, one behind the other."""
    at = 0
    for found in boxes_of_file(io.BytesIO(data), len(data)):
        assert found.start == at
        assert found.size >= 8
        at = found.end
    assert at <= len(data)


def test_a_larger_picture_is_declared():
    """Track header, sample entry and configuration change; sound and all else stay."""
    changed = with_parameter_sets(moov(), SETS)
    assert declared_size(moov()) == (320, 240)
    assert declared_size(changed) == (1280, 720)
    assert struct.pack(">HH", 1280, 720) in changed
    assert b"avcC" + SETS.configuration() in changed
    assert b"old" not in changed
    assert b"pasp" in changed
    assert changed.count(b"Opus") == 1
    [whole] = boxes_of_file(io.BytesIO(changed), len(changed))
    assert (whole.kind, whole.size) == (b"moov", len(changed))


def test_media_that_move():
    """Every chunk's offset moves along, nothing else."""
    moved = shift_offsets(moov(), 1000)
    assert len(moved) == len(moov())
    assert struct.pack(">III", 2, 1100, 1200) in moved
    assert struct.pack(">II", 1, 1150) in moved
    assert shift_offsets(moved, -1000) == moov()
