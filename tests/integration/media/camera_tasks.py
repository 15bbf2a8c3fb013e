"""What a process that sees the test camera does; `Camera.ask` starts it.

The camera is preloaded into a process, so these run in one of their own: ``camera_tasks.py TASK
ARGUMENTS``, the arguments and the result are JSON.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from pathlib import Path
from typing import Any

import av
import numpy as np
from camera import BARS, DEVICE

from icey.config.model import VideoSettings
from icey.errors import SourceError
from icey.media import input as media_input
from icey.media import v4l2
from icey.media.input import Input
from icey.media.probe import probe
from icey.media.source import parse_source


def modes(**video):
    """Format, size and rate of each mode."""
    found = v4l2.read_modes(DEVICE, VideoSettings(**video))
    return [[mode.format, mode.width, mode.height, mode.fps and float(mode.fps)] for mode in found]


def _picture(opened):
    while True:
        packet = opened.read()
        for frame in opened.decode(packet):
            return frame


def watch(*, pictures, video=None, hold=False):
    """Read pictures; returns how they are, and how old each was, s."""
    settings = VideoSettings(**(video or {}))
    opened: Any = Input(parse_source(DEVICE), settings)
    ages, frames, damaged = [], [], []
    count = opened._count_damaged

    def note(error):
        damaged.append(error)
        count(error)

    opened._count_damaged = note
    for _ in range(pictures):
        frame = _picture(opened)
        if frame.pts is not None:  # FFmpeg gives none to the first picture of H.264
            ages.append(time.monotonic() - float(frame.pts * frame.time_base))
        if hold:
            frames.append(frame)
    result = {
        "ages": ages,
        "format": frame.format.name,
        "size": [frame.width, frame.height],
        "matrix": frame.colorspace,
        "damaged": len(damaged),
    }
    opened.close()
    if hold:  # the pictures are good after the device is closed
        result["bars"] = [_bars(frame) for frame in (frames[0], frames[-1])]
    return result


def _bars(frame):
    image = frame.to_ndarray(format="rgb24", src_colorspace="ITU601")
    row = image[image.shape[0] * 2 // 5]
    step = row.shape[0] // len(BARS)
    return np.array([row[step * i + step // 2] for i in range(len(BARS))]).tolist()


def fail(*, open_timeout=5.0, read_timeout=5.0, most_damaged=150, then=None, folder=None):
    """Open it, and read after the state `then` began; returns the error and the seconds it took."""
    media_input.OPEN_TIMEOUT_S, media_input.READ_TIMEOUT_S = open_timeout, read_timeout
    media_input.MAX_DAMAGED = most_damaged
    began = time.monotonic()
    try:
        opened = Input(parse_source(DEVICE), VideoSettings())
        _picture(opened)
        if then:
            Path(folder, then).touch()
            began = time.monotonic()
        while True:
            _picture(opened)
    except SourceError as error:
        return {"error": str(error), "seconds": time.monotonic() - began}


def cycle(*, times):
    """Open and close it again and again; returns descriptors and threads, early and at the end."""
    counts = []
    for _ in range(times):
        opened = Input(parse_source(DEVICE), VideoSettings())
        _picture(opened)
        opened.close()
        counts.append([len(list(Path("/proc/self/fd").iterdir())), threading.active_count()])
    return [counts[1], counts[-1]]


def describe(**video):
    """What a probe finds."""
    info = probe(parse_source(DEVICE), VideoSettings(**video), timeout_s=5)
    return [info.video, info.width, info.height, info.fps, info.audio]


if __name__ == "__main__":
    av.logging.set_level(None)
    json.dump(globals()[sys.argv[1]](**json.loads(sys.argv[2])), sys.stdout)
