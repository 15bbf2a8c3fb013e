"""Plays a file by its reader alone, against a clock that stands still while the reader works.

So a minute of a film takes a second, and the result does not depend on the machine.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from icey.errors import SourceError
from icey.media.buffer import MediaBuffer
from icey.media.playback import FileReader
from icey.media.source import parse_source
from icey.media.timebase import SECOND_NS
from integration.media.sinks import settings

if TYPE_CHECKING:
    import av

    from icey.media.passthrough import AccessUnit

STEP_NS = SECOND_NS // 100
QUIET = 100
"""RMS of 16-bit samples below which a block counts as silent."""


@dataclass
class DryRun:
    """What a file gave.

    Attributes:
        pictures: (due, picture or access unit), one for each time at which it is sent; s.
        late: by how much the latest picture came too late, s.
        sound: (due, RMS) of each block of 20 ms; s.
        error: why it ended early.
    """

    pictures: list[tuple[float, av.VideoFrame | AccessUnit]] = field(default_factory=list)
    late: float = 0.0
    sound: list[tuple[float, float]] = field(default_factory=list)
    error: SourceError | None = None

    def changes(self) -> list[float]:
        """Return when another picture than the one before was shown, s."""
        times, last = [], None
        for at, picture in self.pictures:
            if picture is not last:
                times.append(at)
            last = picture
        return times

    def longest_stand(self) -> float:
        """Return how long a picture stood at most, s."""
        changes = [*self.changes(), self.pictures[-1][0]]
        return max(after - before for before, after in pairwise(changes))

    def longest_silence(self) -> float:
        """Return for how long no sound was heard at most, until the end of the pictures, s."""
        heard = [at for at, loudness in self.sound if loudness > QUIET]
        heard.append(max(self.pictures[-1][0], heard[-1]))
        return max(after - before for before, after in pairwise(heard)) - 0.02


def dry_run(path, seconds: float, **media) -> DryRun:
    """Play a file for so long, of its own time, with these media settings."""
    chosen = settings(**media)
    buffer = MediaBuffer(chosen.audio.sample_rate, chosen.audio.channels)
    reader = FileReader(parse_source(str(path)), chosen, buffer)
    run, now = DryRun(), 0
    try:
        reader.open()
        while now < seconds * SECOND_NS:
            while reader.step(now):
                pass
            _take(buffer, run, now)
            now += STEP_NS
    except SourceError as error:
        run.error = error
    finally:
        reader.close()
    return run


def _take(buffer: MediaBuffer, run: DryRun, now: int) -> None:
    while buffer.pictures and buffer.pictures[0].times[0] <= now:
        shown = buffer.pictures[0]
        due = shown.times.popleft()
        run.pictures.append((due / SECOND_NS, shown.picture))
        run.late = max(run.late, (now - due) / SECOND_NS)
        if not shown.times:
            buffer.pictures.popleft()
    while buffer.sound.ready and buffer.sound.head_ns <= now:
        due, samples = buffer.sound.take()
        run.sound.append((due / SECOND_NS, float(np.sqrt((samples.astype(float) ** 2).mean()))))
