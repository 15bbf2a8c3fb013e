"""What is asked of drivers that a test camera does not imitate: ranges, planes, nonsense."""

import errno
import fcntl
import struct
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from icey.config.model import VideoSettings
from icey.media import v4l2
from icey.media.camera import Mode, choose

CAPTURE, PLANES, DEVICE_CAPS = 0x1, 0x1000, 0x80000000
CAPABILITY, FORMAT, SIZE, INTERVAL = 0x80685600, 0xC0405602, 0xC02C564A, 0xC034564B


class Driver:
    """Answers from a table: request → the answers to index 0, 1 …; the first for the rest."""

    def __init__(self, able=CAPTURE, node=0, **answers):
        self.answers = {
            CAPABILITY: [bytes(84) + struct.pack("2I", able, node) + bytes(12)],
            FORMAT: answers.get("formats", []),
            SIZE: answers.get("sizes", []),
            INTERVAL: answers.get("intervals", []),
        }

    def ioctl(self, device, request, question):
        answers = self.answers[request]
        index = struct.unpack_from("I", question)[0] if request != CAPABILITY else 0
        if index >= len(answers):
            raise OSError(errno.EINVAL, "Invalid argument")
        assert len(answers[index]) == len(question)
        return answers[index]


def format_(name):
    return struct.pack("3I32s4s16x", 0, 1, 0, b"", name)


def size(kind, *numbers):
    return struct.pack("I4sI6I8x", 0, b"", kind, *numbers, *[0] * (6 - len(numbers)))


def interval(kind, *numbers):
    return struct.pack("I4sIII6I8x", 0, b"", 0, 0, kind, *numbers, *[0] * (6 - len(numbers)))


def modes(monkeypatch, driver, tmp_path, **video):
    monkeypatch.setattr(fcntl, "ioctl", driver.ioctl)
    device = tmp_path / "device"
    device.touch()
    return v4l2.read_modes(str(device), VideoSettings(**video))


def test_ranges(monkeypatch, tmp_path):
    """Of a range of sizes and rates, the configured ones are taken, or the nearest."""
    driver = Driver(
        formats=[format_(b"YU12")],
        sizes=[size(3, 32, 1920, 8, 32, 1080, 8)],
        intervals=[interval(3, 1, 90, 1, 1)],  # 1/90 s to 1 s
    )
    assert modes(monkeypatch, driver, tmp_path) == [Mode("yuv420p", 1280, 720, Fraction(30))]
    large = modes(monkeypatch, driver, tmp_path, width=3840, height=2160, fps=120)
    assert large == [Mode("yuv420p", 1920, 1080 - 1080 % 8, Fraction(90))]


def test_rates(monkeypatch, tmp_path):
    """Of single rates the lowest that is enough is taken, else the highest."""
    rates = [interval(1, 1, n) for n in (60, 15, 30)] + [interval(1, 1001, 24_000)]
    driver = Driver(formats=[format_(b"MJPG")], sizes=[size(1, 1280, 720)], intervals=rates)
    assert modes(monkeypatch, driver, tmp_path)[0].fps == 30
    assert modes(monkeypatch, driver, tmp_path, fps=20)[0].fps == Fraction(24_000, 1001)
    assert modes(monkeypatch, driver, tmp_path, fps=120)[0].fps == 60


def test_silent_driver(monkeypatch, tmp_path):
    """A driver that tells formats, but no sizes, has no modes to choose from."""
    driver = Driver(formats=[format_(b"YUYV")])
    assert modes(monkeypatch, driver, tmp_path) == []


def test_unknown_formats(monkeypatch, tmp_path):
    """Formats that FFmpeg does not know are left out."""
    driver = Driver(formats=[format_(b"BA81"), format_(b"\xff\0\0\0")], sizes=[size(1, 64, 48)])
    assert modes(monkeypatch, driver, tmp_path) == []


@pytest.mark.parametrize(
    ("able", "node", "words"),
    [
        (CAPTURE | DEVICE_CAPS, 0x800000, "gives no pictures"),  # the second node of a USB camera
        (PLANES, 0, "multi-planar"),
        (0x2, 0, "gives no pictures"),  # an output
    ],
)
def test_no_camera(monkeypatch, tmp_path, able, node, words):
    """A device that gives no pictures, or none that FFmpeg can take, is refused with the reason."""
    with pytest.raises(OSError, match=words):
        modes(monkeypatch, Driver(able, node), tmp_path)


def test_file_is_no_camera(tmp_path):
    """Any other file is no camera."""
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="this is no camera"):
        v4l2.read_modes(str(tmp_path / "file"), VideoSettings())


@given(st.data())
def test_nonsense(data):
    """Whatever a driver answers, modes can be chosen from it, or there are none."""
    names = st.sampled_from([b"MJPG", b"YUYV", b"GREY", b"\0\0\0\0"])
    number = st.integers(0, 2**32 - 1)
    numbers = st.lists(number, min_size=6, max_size=6)
    draw = data.draw

    class Endless(Driver):
        def ioctl(self, device, request, question):
            return {
                CAPABILITY: lambda: self.answers[CAPABILITY][0],
                FORMAT: lambda: format_(draw(names)),
                SIZE: lambda: size(draw(number), *draw(numbers)),
                INTERVAL: lambda: interval(draw(number), *draw(numbers)),
            }[request]()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(v4l2, "_MOST", 3)
        patch.setattr(fcntl, "ioctl", Endless().ioctl)
        found = v4l2.read_modes("/dev/null", VideoSettings())
    mode = choose(found, VideoSettings())
    assert (mode is None) == (not found)
    assert mode is None or (mode.width > 0 and mode.height > 0)
    assert mode is None or mode.fps is None or mode.fps > 0
