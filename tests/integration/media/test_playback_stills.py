"""One picture as the source: it stands for as long as anybody watches."""

import struct
import zlib
from fractions import Fraction
from typing import Any

import av
import numpy as np
import pytest

from icey.media.events import SourceEnded
from icey.media.picture import planes
from icey.media.probe import probe
from icey.media.source import parse_source
from integration.media.dry_run import dry_run
from integration.media.material import Film, make
from integration.media.sinks import Player, decode_video, settings

SIZE = (101, 67)


def still(path, orientation=1):
    """Write a picture, blue at the top left, red elsewhere, that says how it is to be turned."""
    pixels = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
    pixels[:, :, 0] = 230
    pixels[:34, :51] = (0, 0, 230)
    codec, layout = ("png", "rgb24") if path.suffix == ".png" else ("mjpeg", "yuvj444p")
    encoder: Any = av.CodecContext.create(codec, "w")
    encoder.width, encoder.height = SIZE
    encoder.pix_fmt, encoder.time_base = layout, Fraction(1, 25)
    frame = av.VideoFrame.from_ndarray(pixels, "rgb24").reformat(format=layout)
    data = b"".join(bytes(p) for f in (frame, None) for p in encoder.encode(f))
    directory = struct.pack(">HHHIHHI", 1, 0x0112, 3, 1, orientation, 0, 0)
    tiff = b"MM\0*\0\0\0\x08" + directory
    if codec == "png":
        chunk = b"eXIf" + tiff
        chunk = struct.pack(">I", len(tiff)) + chunk + struct.pack(">I", zlib.crc32(chunk))
        data = data[:33] + chunk + data[33:]  # behind IHDR
    else:
        segment = b"Exif\0\0" + tiff
        data = data[:2] + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + data[2:]
    path.write_bytes(data)
    return path


UPRIGHT = {1: (0, 0), 2: (1, 0), 3: (1, 1), 4: (0, 1), 5: (0, 0), 6: (1, 0), 7: (1, 1), 8: (0, 1)}
"""Where blue is, right and below the middle, by the orientation (Exif 2.32 §4.6.4)."""


@pytest.mark.parametrize("suffix", ["jpg", "png"])
@pytest.mark.parametrize("orientation", UPRIGHT)
def test_picture_is_upright(orientation, suffix, tmp_path):
    """A picture of odd size is turned and flipped as its EXIF says, and letterboxed."""
    run = dry_run(still(tmp_path / f"still.{suffix}", orientation), 1)
    picture = run.pictures[0][1]
    assert isinstance(picture, av.VideoFrame)
    luma, blue, _ = planes(picture)
    rows, columns = np.nonzero(blue > 180)
    height, width = blue.shape
    middle = columns.mean() / width > 0.5, rows.mean() / height > 0.5
    assert middle == UPRIGHT[orientation]
    lit = np.count_nonzero(luma[90] > 20)
    assert lit == pytest.approx(180 * 67 / 101 if orientation > 4 else 180 * 101 / 67, abs=3)


@pytest.mark.parametrize("loop", [True, False])
@pytest.mark.parametrize("name", ["photo.jpg", "photo.png", "50%03d*[1].jpg"])
def test_picture_stands_and_gives_keyframes(name, loop, tmp_path):
    """A picture is sent a few times a second, goes on, and has a keyframe for whoever asks."""
    path = still(tmp_path / name)
    assert probe(parse_source(str(path)), timeout_s=5).width == SIZE[0]
    with Player(path, settings(loop=loop)) as player:
        units = player.video.wait_count(6)
        player.lane.request_keyframe()
        asked = len(player.video.units)
        units = player.video.wait(lambda units: any(u.keyframe for u in units[asked:]))
        assert player.events == []
    rate = (len(units) - 1) * 90_000 / (units[-1].timestamp - units[0].timestamp)
    assert rate < 10
    lumas = decode_video(units)
    assert np.abs(lumas[-1].astype(int) - lumas[0]).mean() < 5


def test_film_of_one_picture_stands(tmp_path):
    """So does a silent film of a single picture that loops; one that does not loop ends."""
    path = make(tmp_path / "one.mp4", Film(frames=1, audio=None, options={"preset": "ultrafast"}))
    with Player(path) as player:
        player.video.wait_count(6)
        assert player.events == []
    with Player(path, settings(loop=False)) as player:
        player.wait_event(SourceEnded)
