"""A browser that is played by the test: pictures and sound as the engine would give them."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from fractions import Fraction

import av
import numpy as np

from icey._core import PeerStats, ReceivedFrame
from icey.config.model import VideoSettings
from icey.media.encode import VideoEncoder

SECOND = 1_000_000_000
FPS = 30


FIELDS = ("codec", "data", "timestamp", "arrived_ns", "report", "keyframe", "after_loss")


def changed(frame, **changes):
    """A frame with some of its fields changed."""
    return ReceivedFrame(**{name: getattr(frame, name) for name in FIELDS} | changes)


@dataclass
class PlayedSource:
    """Gives what was put in, from whatever thread."""

    frames: deque[ReceivedFrame] = field(default_factory=deque)
    keyframes_asked: int = 0
    lost: int = 0

    def pull(self, max_frames=512):
        return [self.frames.popleft() for _ in range(min(max_frames, len(self.frames)))]

    def request_keyframe(self):
        self.keyframes_asked += 1

    def stats(self):
        return PeerStats(frames_lost=self.lost)


class Browser:
    """Encodes pictures whose brightness counts up, and a tone.

    Args:
        size: of the pictures, px.
        start_ns: when it begins, on the monotonic clock.
    """

    def __init__(self, size=(320, 240), start_ns=5 * SECOND):
        self.start_ns = start_ns
        self.count = 0
        self.blocks = 0
        self.resize(size)
        sound = av.CodecContext.create("libopus", "w")
        sound.sample_rate, sound.layout, sound.format = 48_000, "stereo", "s16"
        sound.options = {"frame_duration": "20"}
        self._sound = sound
        self._pending = []

    def resize(self, size):
        """Go on in another size, with a keyframe, as browsers do."""
        self.size = size
        video = VideoSettings(width=size[0], height=size[1], fps=FPS, bitrate=500_000)
        self._video = VideoEncoder(video, Fraction(FPS), 500_000)
        self._key = True

    def picture(self, *, keyframe=False):
        """The next picture, 1/30 s after the one before."""
        width, height = self.size
        luma = np.full((height * 3 // 2, width), 128, np.uint8)
        luma[:height] = 30 + self.count * 2 % 200
        luma[: height // 2, : self.count % width] = 235
        frame = av.VideoFrame.from_ndarray(luma, "yuv420p")
        at = self.count * 90_000 // FPS
        unit, key = self._video.encode(frame, at, keyframe=keyframe or self._key)
        self._key = False
        arrived = self.start_ns + self.count * SECOND // FPS
        self.count += 1
        return ReceivedFrame(
            codec="h264", data=unit, timestamp=1_000_000 + at, arrived_ns=arrived, keyframe=key
        )

    def sound(self):
        """The next 20 ms of the tone."""
        time = (self.blocks * 960 + np.arange(960)) / 48_000
        tone = np.repeat((8000 * np.sin(2 * np.pi * 440 * time)).astype(np.int16), 2)
        frame = av.AudioFrame.from_ndarray(tone[None, :], "s16", "stereo")
        frame.sample_rate, frame.pts = 48_000, self.blocks * 960
        frame.time_base = Fraction(1, 48_000)
        packets = self._sound.encode(frame)
        arrived = self.start_ns + self.blocks * SECOND // 50
        at = self.blocks * 960
        self.blocks += 1
        data = b"".join(bytes(packet) for packet in packets)
        return ReceivedFrame(codec="opus", data=data, timestamp=7_000_000 + at, arrived_ns=arrived)

    def seconds(self, seconds, *, sound=True, keyframe_every=30):
        """So many seconds of both, in the order of their arrival."""
        frames = [
            self.picture(keyframe=self.count % keyframe_every == 0)
            for _ in range(round(seconds * FPS))
        ]
        if sound:
            frames += [self.sound() for _ in range(round(seconds * 50))]
        frames = [frame for frame in frames if frame.data]
        return sorted(frames, key=lambda frame: frame.arrived_ns)
