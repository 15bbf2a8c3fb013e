"""A film of which it is known when something moves and when somebody speaks, and who watches it."""

from __future__ import annotations

import threading
from collections import deque
from fractions import Fraction
from typing import Any

import av
import numpy as np

from icey.config.intelligence import IntelligenceSettings
from icey.intelligence.analysis import Analysis
from icey.intelligence.plugins import Plugin
from integration.intelligence.spoken import RATE, SENTENCES, scene
from unit.intelligence import scenes

FPS = 30
MOVES = 2.0, 4.0
"""When the box of `scenes.box_crossing` is there, s."""


def write(path, *, b_frames=False):
    """Write a film of a crossing box and one sentence; return the second at which that ends."""
    voice, ends = scene(SENTENCES[1], 0.002)
    pictures = scenes.film(5.5, scenes.box_crossing, rate=FPS)
    with av.open(str(path), "w") as out:
        video = out.add_stream("libx264", rate=FPS)
        video.width, video.height, video.pix_fmt = scenes.WIDTH, scenes.HEIGHT, "yuv420p"
        video.options = {"preset": "ultrafast", "g": "30", "bf": "2" if b_frames else "0"}
        audio = out.add_stream("aac", rate=RATE)
        audio.layout = "mono"
        for number, picture in enumerate(pictures):
            frame = av.VideoFrame(scenes.WIDTH, scenes.HEIGHT, "yuv420p")
            values: tuple[Any, ...] = picture, 128, 128
            for plane, value in zip(frame.planes, values, strict=True):
                rows = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
                rows[:, : plane.width] = value
            frame.pts, frame.time_base = number, Fraction(1, FPS)
            out.mux(video.encode(frame))
            run = voice[number * RATE // FPS : (number + 1) * RATE // FPS]
            if len(run):
                sound = av.AudioFrame.from_ndarray(np.ascontiguousarray(run.T), "s16", "mono")
                sound.sample_rate, sound.pts = RATE, number * RATE // FPS
                out.mux(audio.encode(sound))
        out.mux(video.encode(None))
        out.mux(audio.encode(None))
    return ends


class Watch:
    """Detectors as a tap, and the events that they gave."""

    def __init__(self, *plugins, source="film.mp4", **settings):
        self.events = deque()
        self._changed = threading.Condition()
        self.analysis = Analysis(
            IntelligenceSettings.model_validate(settings),
            [Plugin(name, takes, target) for name, takes, target in plugins],
            source=source,
            stream_id="stream/alice|1",
            on_event=self._take,
        )

    def _take(self, event):
        with self._changed:
            self.events.append(event)
            self._changed.notify_all()

    def wait(self, holds, timeout=15.0):
        """Wait until `holds(events)`."""
        with self._changed:
            assert self._changed.wait_for(lambda: holds(list(self.events)), timeout), self.events

    def of(self, detector):
        """The data of a detector's events."""
        return [event.data for event in self.events if event.detector == detector]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.analysis.stop()
        self.analysis.join()


BOTH = {"vision": {"enabled": True}, "speech": {"enabled": True}}
