"""Collects what a pipeline pushes, and decodes it back."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from itertools import pairwise

import av
import numpy as np

from icey.config.model import AudioSettings, MediaSettings, VideoSettings
from icey.media.picture import planes
from icey.media.pipeline import Pipeline
from icey.media.source import parse_source

SMALL = (320, 180)


@dataclass(frozen=True)
class Unit:
    """One push."""

    data: bytes
    timestamp: int
    captured_ns: int
    keyframe: bool
    pushed_ns: int


class CollectingSink:
    """A `Sink` that keeps everything and can be waited for."""

    def __init__(self) -> None:
        self.units: list[Unit] = []
        self._changed = threading.Condition()

    def push(self, data, timestamp, captured_ns, keyframe):
        with self._changed:
            self.units.append(Unit(data, timestamp, captured_ns, keyframe, time.monotonic_ns()))
            self._changed.notify_all()

    def wait(self, holds, timeout=10.0):
        """Wait until `holds(units)`, and return the units."""
        with self._changed:
            assert self._changed.wait_for(lambda: holds(self.units), timeout), (
                f"only {len(self.units)} units in {timeout} s"
            )
            return list(self.units)

    def wait_count(self, count, timeout=10.0):
        return self.wait(lambda units: len(units) >= count, timeout)


def settings(
    *,
    size=SMALL,
    fps=30,
    bitrate=2_000_000,
    deinterlace="auto",
    channels=2,
    sample_rate=48_000,
    **media,
):
    width, height = size
    return MediaSettings(
        video=VideoSettings(
            width=width, height=height, fps=fps, bitrate=bitrate, deinterlace=deinterlace
        ),
        audio=AudioSettings(channels=channels, sample_rate=sample_rate),
        **media,
    )


class Player:
    """A pipeline with one lane into collecting sinks; a context manager that leaves nothing."""

    def __init__(self, source, media=None, tap=None):
        self.events = []
        self._event = threading.Condition()
        self.video, self.audio = CollectingSink(), CollectingSink()
        self.media = media or settings()
        self.pipeline = Pipeline(
            parse_source(str(source)), self.media, on_event=self._note, tap=tap
        )

    def _note(self, event):
        with self._event:
            self.events.append(event)
            self._event.notify_all()

    def wait_event(self, kind, timeout=10.0):
        with self._event:
            found = []
            ok = self._event.wait_for(
                lambda: found.extend(e for e in self.events if isinstance(e, kind)) or found,
                timeout,
            )
            assert ok, f"no {kind.__name__} in {timeout} s, but {self.events}"
            return found[0]

    def __enter__(self):
        self.pipeline.prepare()
        self.lane = self.pipeline.add_lane(
            video=self.video, audio=self.audio, bitrate=self.media.video.bitrate
        )
        self.pipeline.start()
        return self

    def __exit__(self, *_):
        self.pipeline.stop()
        assert self.pipeline.join(12), "a thread stayed behind"


def decode_video(units):
    """Decode access units; returns luma arrays of shape (h, w)."""
    context = av.CodecContext.create("h264", "r")
    context.thread_count = 1
    lumas = []
    for unit in units:
        packet = av.Packet(unit.data)
        lumas += [planes(frame)[0].copy() for frame in context.decode(packet)]
    lumas += [planes(frame)[0].copy() for frame in context.decode(None)]
    return lumas


def decode_audio(units):
    """Decode Opus packets; returns samples of shape (n, 2), -1..1."""
    context = av.CodecContext.create("libopus", "r")
    context.sample_rate, context.layout = 48_000, "stereo"
    runs = []
    for unit in units:
        runs += [
            frame.to_ndarray().reshape(-1, 2).astype(float) / 32768
            for frame in context.decode(av.Packet(unit.data))
        ]
    return np.concatenate(runs)


def pitch(samples, rate=48_000):
    """The strongest frequency, Hz."""
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(np.argmax(spectrum[1:]) + 1) * rate / len(samples)


def rate_of(units):
    """Frames a second by the usual step of their timestamps; a busy machine may drop some."""
    return 90_000 / float(np.median(steps(units)))


def steps(units):
    """Differences of the timestamps from each unit to the next."""
    return [b.timestamp - a.timestamp for a, b in pairwise(units)]
