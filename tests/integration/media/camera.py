"""A webcam that is not there: programs started with its `environment` find it at `DEVICE`.

What it is and how it behaves stands in webcam/webcam.c. Its picture:

========================  ==================================================================
top 1/20                  the strip of `icey.media.demo`, with the number of the picture (modulo
                          `PICTURES`) in place of the clock
1/20 to 15/20             four vertical bars, `BARS`
15/20 to 20/20            grey, with a white box that goes on by a 16th of the width each picture
========================  ==================================================================
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import functools
import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from icey.media.demo import STRIP_BLOCKS, encode_strip

HERE = Path(__file__).parent
DEVICE = "/dev/video7"
PICTURES = 60
BARS = ((200, 110, 40), (40, 150, 140), (120, 60, 170), (150, 190, 60))
"""R, G, B of each bar, left to right, a quarter of the width each."""

WEBCAM = (
    "YUYV 640 480 30 15",
    "YUYV 1280 720 10",
    "MJPG 640 480 30 15",
    "MJPG 1280 720 30 15",
    "MJPG 1920 1080 30",
)
"""What an ordinary USB 2 webcam can do."""

UNCOMPRESSED = ("YUYV 640 480 30 15", "YUYV 1280 720 10")
"""A webcam without JPEG."""

_CODECS = {
    "MJPG": ("mjpeg", "yuvj422p"),
    "YUYV": ("rawvideo", "yuyv422"),
    "H264": ("libx264", "yuv420p"),
}


@dataclass(frozen=True)
class Streamed:
    """What it was asked to send: ``start_ms`` is the wall clock, ms, as picture 0 began."""

    fourcc: str
    size: tuple[int, int]
    rate: int
    buffers: int
    start_ms: int


@functools.cache
def library() -> Path:
    """Compile the camera once in a test run."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        message = "no C compiler for the test camera (cc): apt-get install gcc libc6-dev"
        raise FileNotFoundError(message)
    folder = tempfile.mkdtemp(prefix="icey-webcam-")
    atexit.register(shutil.rmtree, folder)
    built = Path(folder) / "webcam.so"
    sources = sorted((HERE / "webcam").glob("*.c"))
    flags = ("-std=gnu11", "-O2", "-Wall", "-shared", "-fPIC")
    done = subprocess.run(
        [compiler, *flags, "-o", built, *sources, "-ldl"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"the test camera does not compile:\n{done.stderr}"
    return built


class Camera:
    """A camera with its state in a folder.

    Args:
        folder: an empty one.
        modes: what it can do, as webcam.c reads it.
        pictures: the modes, "FOURCC-WxH", that are really sent in the test.
    """

    def __init__(
        self,
        folder: Path,
        modes: tuple[str, ...] = WEBCAM,
        pictures: tuple[str, ...] = ("MJPG-1280x720",),
    ) -> None:
        self.folder = folder
        (folder / "modes").write_text("\n".join(modes) + "\n")
        for name in pictures:
            fourcc, _, size = name.partition("-")
            width, height = map(int, size.split("x"))
            (folder / name).write_bytes(_pictures(fourcc, width, height))

    @property
    def environment(self) -> dict[str, str]:
        """The variables with which a program sees it."""
        return {
            "LD_PRELOAD": str(library()),
            "ICEY_CAMERA_DEVICE": DEVICE,
            "ICEY_CAMERA_FOLDER": str(self.folder),
        }

    @contextlib.contextmanager
    def seen(self):
        """Let what is started within the block see it."""
        before = {name: os.environ.get(name) for name in self.environment}
        os.environ.update(self.environment)
        try:
            yield
        finally:
            for name, value in before.items():
                if value is None:
                    del os.environ[name]
                else:
                    os.environ[name] = value

    @contextlib.contextmanager
    def taken(self):
        """Let another program stream from it within the block."""
        with (self.folder / "lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield

    def set(self, state: str, *, on: bool = True) -> None:
        """Turn one of the states of webcam.c on or off: "unplugged", "frozen" …."""
        path = self.folder / state
        if on:
            path.touch()
        else:
            path.unlink()

    @property
    def log(self) -> list[str]:
        """What it was asked so far."""
        path = self.folder / "log"
        return path.read_text().splitlines() if path.exists() else []

    @property
    def users(self) -> int:
        """How many have it open."""
        return self.log.count("open") - self.log.count("close")

    @property
    def streamed(self) -> list[Streamed]:
        """Each time that it was asked to send, in order."""
        found = []
        for line in self.log:
            word, *rest = line.split()
            if word == "stream":
                width, height = map(int, rest[1].split("x"))
                found.append(Streamed(rest[0], (width, height), *map(int, rest[2:])))
        return found

    def run(self, *command: str | Path, timeout_s: float = 60) -> subprocess.CompletedProcess[str]:
        """Run a program that sees it."""
        return subprocess.run(
            command,
            env=os.environ | self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout_s,
        )

    def ask(self, task: str, **arguments: object) -> Any:
        """Do a task of camera_tasks.py in a process that sees it; return what it returns."""
        script = HERE / "camera_tasks.py"
        done = self.run(sys.executable, script, task, json.dumps(arguments))
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


def _draw(number: int, width: int, height: int) -> np.ndarray:
    image = np.full((height, width, 3), 90, np.uint8)
    for i, rgb in enumerate(BARS):
        image[height // 20 : height * 15 // 20, i * width // 4 : (i + 1) * width // 4] = rgb
    left = number % 16 * width // 16
    image[height * 16 // 20 : height * 19 // 20, left : left + width // 16] = 235
    for i, white in enumerate(encode_strip(number)):
        edges = (round(k * width / STRIP_BLOCKS) for k in (i, i + 1))
        image[: height // 20, slice(*edges)] = 255 if white else 0
    return image


@functools.cache
def _pictures(fourcc: str, width: int, height: int) -> bytes:
    codec, pix_fmt = _CODECS[fourcc]
    context: Any = av.CodecContext.create(codec, "w")
    context.width, context.height, context.pix_fmt = width, height, pix_fmt
    context.time_base = Fraction(1, 30)
    if codec == "mjpeg":
        context.color_range = 2
        context.options = {"qmin": "2", "qmax": "4"}
    if codec == "libx264":
        context.options = {"tune": "zerolatency", "preset": "veryfast", "profile": "baseline"}
        context.gop_size = PICTURES
    packed = []
    for number in range(PICTURES):
        picture = av.VideoFrame.from_ndarray(_draw(number, width, height), "rgb24")
        # A webcam's matrix is BT.601, whatever its size.
        frame = picture.reformat(format=pix_fmt, dst_colorspace=5)
        frame.pts = number
        packed += [bytes(packet) for packet in context.encode(frame)]
    packed += [bytes(packet) for packet in context.encode(None)]
    return b"".join(struct.pack("=I", len(data)) + data for data in packed)
