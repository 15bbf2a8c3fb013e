"""What a V4L2 device says of itself, and how not to wait for it for ever.

FFmpeg opens and reads it. But it asks nothing about the device's modes, and reads with a call that
no timeout of its own ends: a camera on a crowded USB bus may be there and send nothing.

The numbers and layouts are those of ``linux/videodev2.h``.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import select
import struct
import threading
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from icey.media.camera import FORMATS, Mode

if TYPE_CHECKING:
    from collections.abc import Iterator

    from icey.config.model import VideoSettings

_CAPTURE = 1  # V4L2_BUF_TYPE_VIDEO_CAPTURE
_CAN_CAPTURE, _CAN_CAPTURE_PLANES, _HAS_DEVICE_CAPS = 0x1, 0x1000, 0x80000000
_SPACE_709, _ENCODING_709 = 3, 2  # V4L2_COLORSPACE_REC709, V4L2_YCBCR_ENC_709
_DISCRETE = 1  # of sizes and intervals; 2 and 3 are ranges
_MOST = 256  # sizes, rates or formats that are asked for; a broken driver may never end
_LARGEST = 1 << 14  # width or height, px, that is believed

_CAPABILITY = struct.Struct("16s32s32s3I12x")
_FORMAT = struct.Struct("3I32s4s16x")
_SIZE = struct.Struct("I4sI6I8x")
_INTERVAL = struct.Struct("I4sIII6I8x")
_TYPE = struct.Struct("i")
# The union that begins behind the type holds pointers, which makes it begin at their size.
_CURRENT = struct.Struct(f"{struct.calcsize('P')}s12I152x")


def _request(direction: int, number: int, layout: struct.Struct) -> int:
    return direction << 30 | layout.size << 16 | ord("V") << 8 | number


_QUERYCAP = _request(2, 0, _CAPABILITY)
_ENUM_FMT = _request(3, 2, _FORMAT)
_G_FMT = _request(3, 4, _CURRENT)
_STREAMOFF = _request(1, 19, _TYPE)
_ENUM_FRAMESIZES = _request(3, 74, _SIZE)
_ENUM_FRAMEINTERVALS = _request(3, 75, _INTERVAL)


def read_modes(path: str, video: VideoSettings) -> list[Mode]:
    """Ask a device what it can do; possible while somebody else uses it.

    Args:
        path: the device.
        video: what is sent; of a range of sizes or rates, the nearest to it is told.

    Returns:
        Its modes in formats of `FORMATS`, one rate for each size; empty where it does not tell.

    Raises:
        OSError: it cannot be opened, or is no camera; ``strerror`` says why.
    """
    device = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        _check_kind(device)
        return [
            Mode(FORMATS[name], width, height, _rate(device, name, width, height, video))
            for name in _formats(device)
            for width, height in _sizes(device, name, video)
        ]
    finally:
        os.close(device)


def _check_kind(device: int) -> None:
    try:
        *_, whole, node = _CAPABILITY.unpack(
            fcntl.ioctl(device, _QUERYCAP, bytes(_CAPABILITY.size))
        )
    except OSError:
        raise OSError(errno.ENODEV, "this is no camera") from None
    able = node if whole & _HAS_DEVICE_CAPS else whole
    if able & _CAN_CAPTURE:
        return
    if able & _CAN_CAPTURE_PLANES:
        raise OSError(errno.ENODEV, "FFmpeg cannot read this kind of camera (multi-planar)")
    # Most USB cameras have a second device, with data about the pictures.
    raise OSError(errno.ENODEV, "this device gives no pictures; the camera's other one may")


def _enumerate(device: int, request: int, layout: struct.Struct, *asked: object) -> Iterator[bytes]:
    """Ask with index 0, 1, 2 … until the device says that there are no more."""
    for index in range(_MOST):
        question = struct.pack("I", index) + b"".join(
            part if isinstance(part, bytes) else struct.pack("I", part) for part in asked
        )
        try:
            yield fcntl.ioctl(device, request, question.ljust(layout.size, b"\0"))
        except OSError:  # EINVAL at the end, ENOTTY where the driver is too old for this
            return


def _formats(device: int) -> list[str]:
    answers = _enumerate(device, _ENUM_FMT, _FORMAT, _CAPTURE)
    names = [_FORMAT.unpack(answer)[4].decode("latin-1") for answer in answers]
    return [name for name in names if name in FORMATS]


def _sizes(device: int, name: str, video: VideoSettings) -> Iterator[tuple[int, int]]:
    for answer in _enumerate(device, _ENUM_FRAMESIZES, _SIZE, name.encode()):
        _, _, kind, *numbers = _SIZE.unpack(answer)
        width, height = numbers[:2]
        if kind != _DISCRETE:
            width, height = (
                _nearest(video.width, *numbers[:3]),
                _nearest(video.height, *numbers[3:]),
            )
        if 0 < width <= _LARGEST and 0 < height <= _LARGEST:
            yield width, height
        if kind != _DISCRETE:  # a range is one answer
            return


def _nearest(wanted: int, least: int, most: int, step: int) -> int:
    step = max(1, step)
    return least + (min(max(wanted, least), most) - least) // step * step


def _rate(device: int, name: str, width: int, height: int, video: VideoSettings) -> Fraction | None:
    """Return the lowest rate that is enough, else the highest."""
    rates = []
    asked = (name.encode(), width, height)
    for answer in _enumerate(device, _ENUM_FRAMEINTERVALS, _INTERVAL, *asked):
        *_, kind, a, b, c, d, _, _ = _INTERVAL.unpack(answer)
        if not (a and b):
            continue
        if kind == _DISCRETE:
            rates.append(Fraction(b, a))
            continue
        slowest = Fraction(d, c) if c and d else Fraction(b, a)
        rates.append(min(max(Fraction(video.fps), slowest), Fraction(b, a)))
        break
    return min((rate for rate in rates if rate >= video.fps), default=max(rates, default=None))


def is_bt709(descriptor: int) -> bool:
    """Say whether U and V of an open device's pictures mean what ITU-R BT.709 says, not BT.601.

    FFmpeg does not ask. BT.601 is what the kernel's documentation says of all colour spaces but
    Rec. 709 (and two that no camera has), and what webcams send, whatever their size.
    """
    kind = _TYPE.pack(_CAPTURE).ljust(_CURRENT.size, b"\0")
    try:
        _, *numbers = _CURRENT.unpack(fcntl.ioctl(descriptor, _G_FMT, kind))
    except OSError:  # unplugged meanwhile
        return False
    colour_space, encoding = numbers[6], numbers[9]
    return encoding == _ENCODING_709 or (not encoding and colour_space == _SPACE_709)


def descriptors(path: str) -> set[int]:
    """Return this process's descriptors that have the device open."""
    try:
        device = Path(path).stat().st_rdev
        numbers = [int(entry.name) for entry in Path("/proc/self/fd").iterdir()]
    except OSError:  # unplugged meanwhile
        return set()
    found = set()
    for number in numbers:
        with contextlib.suppress(OSError):  # that of the listing itself, or closed meanwhile
            if device and os.fstat(number).st_rdev == device:
                found.add(number)
    return found


def wait(descriptor: int, seconds: float) -> bool:
    """Wait until reading a streaming device would not block; False where it still would."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(seconds * 1000))


@contextlib.contextmanager
def deadline(path: str, seconds: float) -> Iterator[threading.Event]:
    """Let nobody in this process wait for the device's pictures longer than so within the block.

    Afterwards the device sends none; whoever waits in FFmpeg gets an error.

    Yields:
        What is set when the time was over.
    """
    over = threading.Event()

    def end() -> None:
        over.set()
        for descriptor in descriptors(path):
            with contextlib.suppress(OSError):  # not streaming, or closed meanwhile
                fcntl.ioctl(descriptor, _STREAMOFF, _TYPE.pack(_CAPTURE))

    timer = threading.Timer(seconds, end)
    timer.name = "icey-camera-deadline"
    timer.start()
    try:
        yield over
    finally:
        timer.cancel()
        timer.join()
