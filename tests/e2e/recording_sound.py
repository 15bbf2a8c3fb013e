"""How loud a recording is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import av
import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

RATE = 48_000
STEP = RATE // 10


def loudness(path: Path) -> list[float]:
    """The level (RMS, full scale is 1) of each tenth of a second from the start of the file.

    Where the file has no sound, it is silent.
    """
    mono = av.AudioResampler("s16", "mono", RATE)
    sound = np.zeros(0, np.float64)
    with av.open(str(path)) as container:
        container.streams.audio[0].codec_context.options = {"err_detect": "explode"}
        for frame in container.decode(audio=0):
            at = max(0, round(float(frame.time or 0) * RATE))
            for part in mono.resample(frame):
                samples = part.to_ndarray()[0] / 32768
                if at > len(sound):  # nothing was sent
                    sound = np.concatenate([sound, np.zeros(at - len(sound))])
                sound = np.concatenate([sound, samples])
                at = len(sound)
    steps = [sound[at : at + STEP] for at in range(0, len(sound), STEP)]
    return [float(np.sqrt((step**2).mean())) for step in steps]
