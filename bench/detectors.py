"""What motion and speech cost beside a 720p30 stream, and how soon they tell."""

from __future__ import annotations

import os
import statistics
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.clip import write_clip
from icey.config.intelligence import IntelligenceSettings
from icey.config.model import MediaSettings
from icey.intelligence.analysis import Analysis
from icey.media.pipeline import Pipeline
from icey.media.source import parse_source

if TYPE_CHECKING:
    from icey.intelligence.events import Event

MEASURE_S = 15.0
BRANCHES = {"icey-motion": "motion", "icey-energy": "speech"}
TICKS = os.sysconf("SC_CLK_TCK")


class _Nowhere:
    """Counts what is encoded."""

    taken = 0

    def push(self, data: bytes, timestamp: int, captured_ns: int, keyframe: bool) -> None:  # noqa: ARG002, FBT001 - as `Sink` has it
        """Count it."""
        self.taken += 1


class _Timed(Analysis):
    """Notes how long the sending thread spends in the tap."""

    spent_ns = 0

    def picture(self, *arguments: Any) -> None:  # noqa: ANN401 - as the tap has them
        """Take a picture."""
        began = time.thread_time_ns()
        super().picture(*arguments)
        self.spent_ns += time.thread_time_ns() - began

    def sound(self, *arguments: Any) -> None:  # noqa: ANN401
        """Take a run of sound."""
        began = time.thread_time_ns()
        super().sound(*arguments)
        self.spent_ns += time.thread_time_ns() - began


@dataclass
class Detecting:
    """What was measured.

    Attributes:
        core_percent: of each branch's thread, by name; CPU as a share of one core.
        tap_percent: CPU that the sending thread spends handing over, as a share of one core.
        stream_percent: CPU of the stream without detectors, one viewer.
        latencies_ms: from the moment that a picture was sent until its event was made.
        frames: pictures encoded a second, without and with detectors.
    """

    core_percent: dict[str, float] = field(default_factory=dict)
    tap_percent: float = 0.0
    stream_percent: float = 0.0
    latencies_ms: list[float] = field(default_factory=list)
    frames: tuple[float, float] = (0.0, 0.0)

    @property
    def latency_ms(self) -> float:
        """The median latency."""
        return statistics.median(self.latencies_ms)


def measure() -> Detecting:
    """Play a clip without detectors, then with both."""
    found = Detecting()
    with tempfile.TemporaryDirectory(prefix="icey-bench-") as folder:
        clip = write_clip(Path(folder) / "clip.mp4")
        began = time.process_time()
        without = _play(clip, None, found)
        found.stream_percent = 100 * (time.process_time() - began) / MEASURE_S
        events: list[Event] = []
        # Every frame is motion here, so that there is an event for each sample.
        settings = IntelligenceSettings.model_validate(
            {
                "vision": {"enabled": True, "motion": {"threshold": 0.0, "cooldownUsec": 0}},
                "speech": {"enabled": True},
            }
        )
        analysis = _Timed(
            settings, [], source="clip.mp4", stream_id="bench", on_event=events.append
        )
        found.frames = without, _play(clip, analysis, found)
        analysis.stop()
        analysis.join()
        found.tap_percent = analysis.spent_ns / MEASURE_S / 1e7
        found.latencies_ms = [
            event.data["data"]["latencyUsec"] / 1000
            for event in events
            if event.kind == "icey:vision"
        ]
    return found


def _play(clip: Path, analysis: Analysis | None, found: Detecting) -> float:
    """Play for a while; return the pictures encoded a second."""
    media = MediaSettings()
    pipeline = Pipeline(parse_source(str(clip)), media, on_event=lambda _: None, tap=analysis)
    pipeline.prepare()
    video = _Nowhere()
    pipeline.add_lane(video=video, audio=_Nowhere(), bitrate=media.video.bitrate)
    pipeline.start()
    time.sleep(MEASURE_S)
    for thread in threading.enumerate():
        if thread.name in BRANCHES and thread.native_id is not None:
            share = 100 * _cpu_s(thread.native_id) / MEASURE_S
            found.core_percent[BRANCHES[thread.name]] = share
    encoded = video.taken
    pipeline.stop()
    pipeline.join(10)
    return encoded / MEASURE_S


def _cpu_s(thread: int) -> float:
    fields = Path(f"/proc/self/task/{thread}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS
