"""The encoders: x264 as browsers want it, and Opus in packets of 20 ms.

x264 runs in the thread that calls it, 2 to 2.5 ms a frame at 720p. Slices in two threads were
measured: 0.7 ms less delay a frame, for one more thread and 4 % more CPU with every viewer.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import TYPE_CHECKING

import av
import numpy as np
from av.video.frame import PictureType
from av.video.reformatter import ColorRange

from icey.media.timebase import VIDEO_CLOCK

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from av.packet import Packet
    from numpy.typing import NDArray

    from icey.config.model import AudioSettings, VideoSettings
    from icey.media.scale import Matrix

MIN_BITRATE = 150_000
"""Bit/s below which the picture is not worth sending."""

KEYFRAME_SECONDS = 60
"""Seconds from one unasked keyframe to the next. Viewers ask for those they need (PLI), again and
again until they have them, and each one costs as much as ten other frames: at 10 s a path that was
just wide enough stood still for half a second each time."""

BUFFER_SECONDS = 0.2
"""The decoder buffer that x264 models (VBV), s of the full bitrate. It bounds keyframes, to 42 kB
at 2 Mb/s, and it says how soon a lower bitrate is kept: from 2 Mb/s to 0.4 in 0.6 s; at 0.5 s,
75 kB and 1.3 s, for 0.6 dB more in between."""

FIRST_FILL = 0.9
"""How full that buffer is before the first keyframe at the full bitrate. At a lower bitrate it is
by the root of its share: a quarter of the bitrate begins with half of the keyframe."""

LOW_SHARE = 0.7
"""The share of the full bitrate below which keyframes are too large for it: what bounds them is
the full bitrate's buffer."""


class VideoEncoder:
    """One x264, whose bitrate can change while it runs.

    Args:
        video: size and the highest bitrate.
        rate: frames a second that it will be given.
        bitrate: bit/s to start with.
        matrix: what U and V of the pictures mean; written into the SPS (H.264 §E.2.1).
        buffer_s: VBV, s of the full bitrate; the more, the better are keyframes, which a file has
            many of, and the more they burst.
    """

    def __init__(
        self,
        video: VideoSettings,
        rate: Fraction,
        bitrate: int,
        matrix: Matrix = "bt709",
        *,
        buffer_s: float = BUFFER_SECONDS,
    ) -> None:
        context = av.CodecContext.create("libx264", "w")
        context.width, context.height = video.width, video.height
        context.pix_fmt = "yuv420p"
        context.time_base = Fraction(1, VIDEO_CLOCK)
        context.framerate = rate
        context.gop_size = math.ceil(rate * KEYFRAME_SECONDS)
        context.max_b_frames = 0
        context.colorspace = context.color_primaries = context.color_trc = (
            1 if matrix == "bt709" else 6  # ITU-T H.273
        )
        context.color_range = ColorRange.MPEG
        context.thread_count = 1
        context.bit_rate = video.bitrate
        share = FIRST_FILL * math.sqrt(min(bitrate / video.bitrate, 1))
        context.options = {
            "preset": "ultrafast",
            "tune": "zerolatency",
            "profile": "baseline",
            # Without maxrate and bufsize x264 ignores a new bit_rate.
            "maxrate": str(video.bitrate),
            "bufsize": str(int(video.bitrate * buffer_s)),
            # How full it is at first bounds the first keyframe.
            "rc_init_occupancy": str(int(buffer_s * share * video.bitrate)),
            "forced-idr": "1",
            # Tables for longer vectors, one for each quantiser, are 0.7 MiB more.
            "x264-params": "mvrange=128",
        }
        context.open()
        self._context = context
        self._limit = video.bitrate
        self._begun = False
        self.bitrate = video.bitrate
        self.set_bitrate(bitrate)

    def set_bitrate(self, bitrate: int) -> None:
        """Aim at so many bit/s from the next frame on, within `MIN_BITRATE` and the settings'."""
        self.bitrate = max(MIN_BITRATE, min(bitrate, self._limit))
        self._context.bit_rate = self.bitrate

    @property
    def fits(self) -> bool:
        """Whether its keyframes are as small as its bitrate wants them; a new one's are."""
        return not self._begun or self.bitrate > LOW_SHARE * self._limit

    def encode(
        self, picture: av.VideoFrame, timestamp: int, *, keyframe: bool
    ) -> tuple[bytes, bool]:
        """Encode one picture; nothing is held back.

        Args:
            picture: yuv420p of the settings' size.
            timestamp: in 1/90000 s, greater than the one before.
            keyframe: make it an IDR with SPS and PPS.

        Returns:
            The access unit in Annex B (H.264 Annex B), and whether it is an IDR.
        """
        picture.pts = timestamp
        picture.time_base = self._context.time_base
        # A decoded picture still says what it was in its source, and x264 would obey.
        picture.pict_type = PictureType.I if keyframe else PictureType.NONE
        packets = self._context.encode(picture)
        self._begun = True
        return b"".join(bytes(packet) for packet in packets), any(p.is_keyframe for p in packets)


class AudioEncoder:
    """Opus: one packet for every 20 ms of samples."""

    def __init__(self, audio: AudioSettings) -> None:
        context = av.CodecContext.create("libopus", "w")
        self.block = audio.sample_rate // 50
        self._layout = "stereo" if audio.channels == 2 else "mono"
        context.sample_rate = self._rate = audio.sample_rate
        context.layout = self._layout
        context.format = "s16"
        context.bit_rate = audio.bitrate
        # Complexity 5 of 10: a third less CPU than 10, 0.2 % of a core a viewer, and no difference
        # that anybody hears at the usual 128 kb/s.
        context.options = {
            "frame_duration": "20",
            "application": "audio",
            "compression_level": "5",
        }
        context.open()
        self._context = context
        # PyAV's `encode` puts a filter graph before Opus that has nothing to do and starts a thread
        # for each core, up to 16 for every viewer; this is the part of it behind the graph. It is
        # not public: where a version lacks it, the threads are the price.
        self._encode: Callable[[av.AudioFrame], Iterable[Packet[Any]]] = getattr(
            context, "_send_frame_and_recv", context.encode
        )
        self._count = 0

    def encode(self, samples: NDArray[np.int16]) -> bytes:
        """Encode `block` samples, an array of shape (block, channels)."""
        frame = av.AudioFrame.from_ndarray(
            np.ascontiguousarray(samples).reshape(1, -1), "s16", self._layout
        )
        frame.sample_rate = self._rate
        frame.pts = self._count
        frame.time_base = Fraction(1, self._rate)
        self._count += self.block
        return b"".join(bytes(packet) for packet in self._encode(frame))
