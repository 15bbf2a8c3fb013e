"""Decoded sound of any kind into the 16-bit samples that Opus is fed with."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import av
import av.error
import numpy as np
from av.audio.format import AudioFormat
from av.filter import Graph

if TYPE_CHECKING:
    from numpy.typing import NDArray


class SoundConverter:
    """Resamples and mixes down; made anew inside whenever the source's sound changes.

    `av.AudioResampler` would do, but its graph starts a thread for each core and it refuses a
    source that changes from mono to stereo between two programmes.

    Args:
        rate: samples a second of the result.
        channels: of the result, 1 or 2.
    """

    def __init__(self, rate: int, channels: int) -> None:
        self._rate, self._channels = rate, channels
        self._key: tuple[object, ...] | None = None
        self._graph = Graph()

    def convert(self, frame: av.AudioFrame) -> NDArray[np.int16]:
        """Return the frame's samples as an array of shape (n, channels); n may be 0.

        A few samples stay in the filter until the next frame.
        """
        key = (frame.sample_rate, frame.format.name, frame.layout.name, frame.layout.nb_channels)
        if key != self._key:
            self._graph = self._build(frame)
            self._key = key
        self._graph.push(frame)
        # The filter gives one frame for one, or none while it has too few samples. Asking until
        # there is none costs an exception a frame: a tenth of a passed-through file's CPU.
        try:
            out = self._graph.pull()
        except (av.error.BlockingIOError, av.error.EOFError):
            return np.zeros((0, self._channels), np.int16)
        return cast("NDArray[np.int16]", out.to_ndarray()).reshape(-1, self._channels)

    def _build(self, frame: av.AudioFrame) -> Graph:
        graph = Graph()
        graph.threads = 1
        layout = "mono" if self._channels == 1 else "stereo"
        graph.link_nodes(
            graph.add(
                "abuffer",
                sample_rate=str(frame.sample_rate),
                sample_fmt=AudioFormat(frame.format).name,
                channel_layout=_layout_name(frame),
                time_base=str(frame.time_base or f"1/{frame.sample_rate}"),
            ),
            graph.add(
                "aformat",
                sample_rates=str(self._rate),
                sample_fmts="s16",
                channel_layouts=layout,
            ),
            graph.add("abuffersink"),
        ).configure()
        return graph


def _layout_name(frame: av.AudioFrame) -> str:
    """Name the channel layout; old files only have a number of channels."""
    name, count = frame.layout.name, frame.layout.nb_channels
    return f"{count}c" if "channels" in name and count <= 8 else name  # FFmpeg's default for it
