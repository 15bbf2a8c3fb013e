"""A stream as lanes give it: x264 and Opus of pictures that show their number."""

from __future__ import annotations

import itertools
import time
from datetime import UTC, datetime
from fractions import Fraction

import av
import numpy as np

from icey.config.model import AudioSettings, VideoSettings
from icey.intelligence.events import Event
from icey.intelligence.sample import Moment, PictureSample
from icey.media.encode import AudioEncoder, VideoEncoder

WIDTH, HEIGHT, FPS = 192, 108, 30
SECOND = 1_000_000_000
BITS = 12


def picture(number: int) -> av.VideoFrame:
    """Draw a number as `BITS` bars, white for 1."""
    frame = av.VideoFrame(WIDTH, HEIGHT, "yuv420p")
    for plane, value in zip(frame.planes, (40, 128, 128), strict=True):
        rows = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
        rows[:] = value
    luma = np.frombuffer(memoryview(frame.planes[0]), np.uint8).reshape(
        HEIGHT, frame.planes[0].line_size
    )
    for bit in range(BITS):
        if number >> bit & 1:
            luma[:, bit * WIDTH // BITS : (bit + 1) * WIDTH // BITS] = 210
    return frame


def number_of(luma: np.ndarray) -> int:
    """Read the number back from the luma, or any channel, of shape (h, w)."""
    middle = luma[luma.shape[0] // 3 : luma.shape[0] * 2 // 3].mean(axis=0)
    width = len(middle) // BITS
    return sum(
        1 << bit
        for bit in range(BITS)
        if middle[bit * width + width // 4 : (bit + 1) * width - width // 4].mean() > 125
    )


class Stream:
    """Encodes pictures faster than they would come, at the times at which they would.

    Args:
        clips: what takes them.
        keyframe_s: seconds from one keyframe to the next.
        sound: whether there is any.
    """

    def __init__(self, clips, *, keyframe_s=2.0, sound=True, first_keyframe=0):
        self.clips = clips
        self.start_ns = time.monotonic_ns()
        video = VideoSettings(width=WIDTH, height=HEIGHT, bitrate=400_000)
        self._encoder = VideoEncoder(video, Fraction(FPS), 400_000)
        self._opus = AudioEncoder(AudioSettings()) if sound else None
        self._keyframe = round(keyframe_s * FPS)
        self._first = first_keyframe
        self._numbers = itertools.count()
        self._sound_ns = self.start_ns

    def at(self, seconds):
        """A moment of the stream, ns."""
        return self.start_ns + round(seconds * SECOND)

    def run(self, seconds):
        """Go on to this moment of the stream."""
        for number in self._numbers:
            at = self.start_ns + number * SECOND // FPS
            while self._opus is not None and self._sound_ns <= at:
                self.clips.sound(self._opus.encode(np.zeros((960, 2), np.int16)), self._sound_ns)
                self._sound_ns += SECOND // 50
            data, keyframe = self._encoder.encode(
                picture(number), number * 90_000 // FPS, keyframe=number % self._keyframe == 0
            )
            if number >= self._first:
                self.clips.video(data, at, keyframe=keyframe)
            if number + 1 >= seconds * FPS:
                return

    def event(self, seconds, detector="motion"):
        """An event about a picture of this stream."""
        due = self.at(seconds)
        number = round(seconds * FPS)
        return event(picture(number), due, number, detector)


def event(shown, due_ns, number=0, detector="motion"):
    """An event about a picture."""
    wall = time.time_ns() + due_ns - time.monotonic_ns()
    moment = Moment(number, due_ns // 1000, due_ns, wall // 1000)
    return Event(
        "icey:vision", {"data": {}}, "stream/shared", detector, due_ns, PictureSample(shown, moment)
    )


def shown_in(path):
    """The numbers of the pictures of a film, and the second at which each is shown."""
    with av.open(str(path)) as container:
        return [
            (number_of(frame.to_ndarray(format="gray")), float(frame.pts * frame.time_base))
            for frame in container.decode(video=0)
        ]


def start_of(path):
    """When a film began by its name, seconds since 1970."""
    stamp = path.name.partition(".mp4")[0].rpartition("-")[2]
    return datetime.strptime(stamp, "%Y%m%dT%H%M%S.%fZ").replace(tzinfo=UTC).timestamp()
