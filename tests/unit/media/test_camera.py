"""Which mode of which camera is asked for."""

from fractions import Fraction

import pytest

from icey.config.model import VideoSettings
from icey.media.camera import Mode, choose

WEBCAM = [
    ("yuyv422", 640, 480, 30),
    ("yuyv422", 1280, 720, 10),
    ("yuyv422", 1920, 1080, 5),
    ("mjpeg", 640, 480, 30),
    ("mjpeg", 1280, 720, 30),
    ("mjpeg", 1920, 1080, 30),
]
UNCOMPRESSED = WEBCAM[:3]


def chosen(modes, size=(1280, 720), fps=30):
    modes = [Mode(name, w, h, rate and Fraction(rate)) for name, w, h, rate in modes]
    mode = choose(modes, VideoSettings(width=size[0], height=size[1], fps=fps))
    return mode and (mode.format, mode.width, mode.height, mode.fps)


@pytest.mark.parametrize(
    ("modes", "size", "fps", "expected"),
    [
        (WEBCAM, (1280, 720), 30, ("mjpeg", 1280, 720, 30)),
        (WEBCAM, (1920, 1080), 30, ("mjpeg", 1920, 1080, 30)),
        (WEBCAM, (640, 480), 30, ("yuyv422", 640, 480, 30)),  # no JPEG where none is needed
        (WEBCAM, (640, 360), 30, ("mjpeg", 1280, 720, 30)),  # its shape fits
        (WEBCAM, (1280, 720), 10, ("yuyv422", 1280, 720, 10)),
        (WEBCAM, (3840, 2160), 30, ("mjpeg", 1920, 1080, 30)),  # all that it has
        (UNCOMPRESSED, (1280, 720), 30, ("yuyv422", 640, 480, 30)),  # rather small than slow
        (UNCOMPRESSED, (1280, 720), 5, ("yuyv422", 1280, 720, 10)),
        ([("yuyv422", 160, 120, 30), ("yuyv422", 640, 480, 15)], (1280, 720), 30, None),
        ([("mjpeg", 1280, 720, 60), ("mjpeg", 1280, 720, 30)], (1280, 720), 30, None),
        ([("mjpeg", 960, 720, 30), ("mjpeg", 1280, 720, 30)], (1280, 720), 30, None),  # no bars
        ([("h264", 1280, 720, 30), ("mjpeg", 1280, 720, 30)], (1280, 720), 30, None),
        ([("gray", 1280, 720, 30), ("yuyv422", 320, 240, 30)], (1280, 720), 30, None),
        ([("gray", 640, 360, 30)], (1280, 720), 30, None),
        ([("yuyv422", 640, 480, None)], (1280, 720), 30, None),  # it does not tell its rate
    ],
)
def test_choice(modes, size, fps, expected):
    """What reaches the configured size and rate wins, then what is nearest, then what is cheap.

    Without an expectation the last of the modes is the one.
    """
    assert chosen(modes, size, fps) == (expected or modes[-1])


def test_nothing_to_choose():
    """A camera that does not tell its modes leaves the choice to its driver."""
    assert chosen([]) is None
