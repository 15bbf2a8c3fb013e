"""What motion and speech cost beside a 720p30 stream, and how soon they tell."""

from __future__ import annotations

import statistics
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import Row
from bench.clip import write_clip
from icey.config.intelligence import IntelligenceSettings
from icey.config.model import MediaSettings
from icey.intelligence.analysis import Analysis
from icey.media.pipeline import Pipeline
from icey.media.source import parse_source

if TYPE_CHECKING:
    from collections.abc import Iterator

    from icey.intelligence.events import Event

MEASURE_S = 15.0
BRANCHES = {"icey-motion": "motion", "icey-energy": "speech"}


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


def rows() -> Iterator[Row]:
    """Play a clip without detectors, then with both."""
    with tempfile.TemporaryDirectory(prefix="icey-bench-") as folder:
        clip = write_clip(Path(folder) / "clip.mp4")
        began = time.process_time()
        fps_without, _ = _play(clip, None)
        stream_percent = 100 * (time.process_time() - began) / MEASURE_S
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
        fps_with, branch_percent = _play(clip, analysis)
        analysis.stop()
        analysis.join()
    costs = ", ".join(f"{name} {share:.2f} %" for name, share in branch_percent.items())
    yield Row(
        "motion and speech beside a stream",
        "",
        f"{costs} of a core, handing over {analysis.spent_ns / MEASURE_S / 1e7:.2f} %; the stream"
        f" alone {stream_percent:.1f} %; {fps_without:.1f} fps without, {fps_with:.1f} with",
    )
    # From the moment that a picture was sent until its event was made.
    latencies = [
        event.data["data"]["latencyUsec"] / 1000 for event in events if event.kind == "icey:vision"
    ]
    yield Row(
        "frame to event, median",
        "",
        f"{statistics.median(latencies):.1f} ms ({min(latencies):.1f}–{max(latencies):.1f};"
        f" {len(latencies)} events)",
    )


def _play(clip: Path, analysis: Analysis | None) -> tuple[float, dict[str, float]]:
    """Play for a while; return pictures encoded a second, and each branch's percent of a core."""
    media = MediaSettings()
    pipeline = Pipeline(parse_source(str(clip)), media, on_event=lambda _: None, tap=analysis)
    pipeline.prepare()
    video = _Nowhere()
    pipeline.add_lane(video=video, audio=_Nowhere(), bitrate=media.video.bitrate)
    pipeline.start()
    time.sleep(MEASURE_S)
    shares = {
        BRANCHES[thread.name]: 100
        * time.clock_gettime(time.pthread_getcpuclockid(thread.ident))
        / MEASURE_S
        for thread in threading.enumerate()
        if thread.name in BRANCHES and thread.ident is not None
    }
    encoded = video.taken
    pipeline.stop()
    pipeline.join(10)
    return encoded / MEASURE_S, shares
