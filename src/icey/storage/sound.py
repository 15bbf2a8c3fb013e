"""Audio tracks: Opus packets copied, or AAC for players that know nothing else."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Literal, TypeAlias

import av
import numpy as np
from av.error import InvalidDataError

from icey.media.timebase import AUDIO_CLOCK
from icey.storage.continuity import SILENCE

if TYPE_CHECKING:
    from av.container import OutputContainer

PRIMING_SAMPLES = 1024
"""Samples by which FFmpeg's AAC encoder is late: one frame."""

SoundFormat: TypeAlias = Literal["opus", "aac"]


class OpusSound:
    """An audio track of Opus packets, copied."""

    def __init__(self, container: OutputContainer) -> None:
        self._container = container
        # Of the encoder only the header is taken: PyAV makes none without one.
        self._stream = container.add_stream("libopus", rate=AUDIO_CLOCK, layout="stereo")
        self._stream.time_base = Fraction(1, AUDIO_CLOCK)

    def write(self, opus: bytes, at: int, samples: int) -> None:
        """Add the packet that follows; its time and length in 1/48000 s.

        Raises:
            OSError: the disk refuses.
        """
        packet = av.Packet(opus)
        packet.stream = self._stream
        packet.time_base = Fraction(1, AUDIO_CLOCK)
        packet.pts = packet.dts = at
        packet.duration = samples
        packet.is_keyframe = True
        self._container.mux_one(packet)

    def end(self) -> None:
        """Do nothing: no packet is held back."""


class AacSound:
    """An audio track of AAC: Opus packets decoded and encoded again."""

    def __init__(self, container: OutputContainer) -> None:
        self._container = container
        self._stream = container.add_stream("aac", rate=AUDIO_CLOCK, layout="stereo")
        self._decoder = av.CodecContext.create("libopus", "r")
        self._decoder.sample_rate = AUDIO_CLOCK
        self._decoder.layout = "stereo"
        self._resampler = av.AudioResampler("fltp", "stereo", AUDIO_CLOCK)
        # The encoder begins with samples of its own, for which a fragmented file has no edit list.
        # They take the place of as many of ours, in which nothing is heard as a decoder wakes up.
        self._samples = -PRIMING_SAMPLES

    def write(self, opus: bytes, at: int, samples: int) -> None:  # noqa: ARG002 - it has no holes
        """Decode the packet that follows and encode its sound; see `OpusSound.write`."""
        try:
            decoded = self._decoder.decode(av.Packet(opus))
        except InvalidDataError:  # what a remote sends may be anything; its time is kept
            decoded = self._decoder.decode(av.Packet(SILENCE))
        for frame in decoded:
            for part in self._resampler.resample(frame):
                self._samples += part.samples
                if self._samples > 0:
                    self._encode(part)

    def _encode(self, part: av.AudioFrame) -> None:
        kept = min(part.samples, self._samples)
        begin = self._samples - kept
        if kept < part.samples:
            samples = np.ascontiguousarray(part.to_ndarray()[:, -kept:], np.float32)
            part = av.AudioFrame.from_ndarray(samples, "fltp", "stereo")
            part.sample_rate = AUDIO_CLOCK
        part.pts, part.time_base = begin, Fraction(1, AUDIO_CLOCK)
        self._container.mux(self._stream.encode(part))

    def end(self) -> None:
        """Flush the encoder."""
        self._container.mux(self._stream.encode(None))
