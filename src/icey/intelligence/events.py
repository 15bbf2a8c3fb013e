"""Events of the detectors, in the shapes of ``docs/protocol.md``.

An `Event` is made in the thread of a branch and goes to the peers of its stream, to those who
read ``GET /api/events``, and to the webhook.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from icey.intelligence.speech import levels

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import av

    from icey.intelligence.detector import Detection
    from icey.intelligence.motion import Motion
    from icey.intelligence.sample import PictureSample, SoundSample
    from icey.intelligence.speech import Activity

EventKind: TypeAlias = Literal["icey:vision", "icey:speech", "icey:clip"]
"""``icey:clip`` says that a clip is finished; it goes to other programs, not to peers."""

SCHEMA = "icey.vision/1"

MAX_DETECTIONS = 8
"""Detections in an event at most; the largest are kept."""

MAX_GRID_CELLS = 4096
"""Cells of a motion grid above which an event goes without them: they are 7 bytes each."""

MAX_TEXT = 256
"""Characters of a text that a detector gives; the rest is cut off."""

MAX_DEPTH = 6
"""Levels of nested data that a detector may give; of deeper ones the type is told."""

MAX_MEMBERS = 256
"""Members of a list or a mapping that a detector gives; the rest is left away."""


@dataclass(frozen=True, slots=True)
class Event:
    """An event of a detector, or a finished clip.

    Attributes:
        kind: the subtype of the message.
        data: its data, ready for JSON. Nobody writes to it.
        stream_id: whose stream it is.
        detector: what found it.
        due_ns: when what it is about was sent, on `time.monotonic_ns`'s clock.
        sample: the picture that it is about, None for sound.
    """

    kind: EventKind
    data: dict[str, Any]
    stream_id: str
    detector: str
    due_ns: int
    sample: PictureSample | None = None

    def with_links(self, sign: Callable[[str], str]) -> Event:
        """Return the event with links to snapshot and clip that open without the access token."""
        holder = self.data if self.kind == "icey:clip" else self.data["data"]
        linked = {
            name: {**holder[name], "url": sign(holder[name]["url"])}
            for name in ("snapshot", "clip")
            if name in holder
        }
        if not linked:
            return self
        inner = holder | linked
        return replace(self, data=inner if holder is self.data else self.data | {"data": inner})

    def data_for(self, address: str) -> dict[str, Any]:
        """Return the data for the peer at an address, with the id of the stream that it watches."""
        if "frame" not in self.data:
            return self.data
        return self.data | {"frame": self.data["frame"] | {"streamId": f"stream/{address}"}}


def vision_event(
    sample: PictureSample,
    *,
    source: str,
    stream_id: str,
    detector: str,
    picture: av.VideoFrame,
    detections: Sequence[Detection],
    data: Mapping[str, Any],
) -> Event:
    """Make an ``icey:vision`` event.

    Args:
        sample: the picture as it was sent.
        source: the source as anyone may see it.
        stream_id: whose stream it is.
        detector: what found it.
        picture: the picture as the detector got it.
        detections: what it found.
        data: the event's own data, ready for JSON; the latency is added.
    """
    moment = sample.moment
    shown = sorted(detections, key=_area, reverse=True)[:MAX_DETECTIONS]
    document = {
        "schema": SCHEMA,
        "type": "detect",
        "source": source,
        "detector": detector,
        "emittedAtUsec": time.time_ns() // 1000,
        "frame": {
            "sourceId": source,
            "streamId": stream_id,
            "frameId": moment.number,
            "ptsUsec": moment.media_usec,
            "receivedAtUsec": moment.wall_usec,
            "width": picture.width,
            "height": picture.height,
            "pixelFmt": picture.format.name,
            "keyframe": bool(sample.picture.key_frame),
        },
        "detections": [_detection(detection) for detection in shown],
        "tracks": [],
        "data": {
            **data,
            "latencyUsec": max(0, time.monotonic_ns() - moment.due_ns) // 1000,
        },
    }
    return Event("icey:vision", document, stream_id, detector, moment.due_ns, sample)


def motion_data(motion: Motion) -> dict[str, Any]:
    """Return the data of a motion event: the score and the grid."""
    rows, columns = motion.cells.shape
    grid: dict[str, Any] = {"width": columns, "height": rows}
    if motion.cells.size <= MAX_GRID_CELLS:
        # Rounded as float64: of a float32 json would write all the digits again.
        grid["cells"] = np.round(motion.cells.astype(np.float64), 3).ravel().tolist()
    return {
        "score": round(motion.score, 4),
        "gridWidth": columns,
        "gridHeight": rows,
        "grid": grid,
    }


def speech_event(
    sample: SoundSample,
    *,
    source: str,
    stream_id: str,
    activity: Activity,
    thresholds: tuple[float, float],
) -> Event:
    """Make an ``icey:speech`` event of the energy detector.

    Args:
        sample: the sound as it was sent.
        source: the source as anyone may see it.
        stream_id: whose stream it is.
        activity: what the detector heard.
        thresholds: the levels at which speech starts, and ends.
    """
    data = {
        "type": f"speech:{activity.phase}",
        **_heard(sample, source, "energy"),
        "active": activity.phase != "end",
        "level": round(activity.level, 5),
        "peak": round(activity.peak, 5),
        "data": {"startThreshold": thresholds[0], "stopThreshold": thresholds[1]},
    }
    return Event("icey:speech", data, stream_id, "energy", sample.moment.due_ns)


def heard_event(
    sample: SoundSample,
    *,
    source: str,
    stream_id: str,
    detector: str,
    detections: Sequence[Detection],
) -> Event:
    """Make an ``icey:speech`` event of somebody's own detector: ``type`` is ``detect``."""
    level, peak = levels(sample.samples)
    data = {
        "type": "detect",
        **_heard(sample, source, detector),
        "active": True,
        "level": round(level, 5),
        "peak": round(peak, 5),
        "detections": [_detection(detection) for detection in detections[:MAX_DETECTIONS]],
        "data": {},
    }
    return Event("icey:speech", data, stream_id, detector, sample.moment.due_ns)


def plain(value: object, depth: int = MAX_DEPTH) -> Any:  # noqa: ANN401 - whatever JSON can hold
    """Convert any value that a detector returns into JSON, within bounds.

    numpy's numbers and arrays become Python's, what is not finite becomes None, anything else,
    or too deep, the name of its type.
    """
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    if value is None or isinstance(value, bool | str):
        return value[:MAX_TEXT] if isinstance(value, str) else value
    if isinstance(value, int | float):
        number = value if abs(value) < 2**53 else float(value)
        return number if math.isfinite(number) else None
    if depth > 0 and isinstance(value, Mapping):
        members = list(value.items())[:MAX_MEMBERS]
        return {str(key)[:MAX_TEXT]: plain(member, depth - 1) for key, member in members}
    if depth > 0 and isinstance(value, list | tuple | set | frozenset):
        return [plain(member, depth - 1) for member in list(value)[:MAX_MEMBERS]]
    return type(value).__name__


def _heard(sample: SoundSample, source: str, detector: str) -> dict[str, Any]:
    """Return the members that every event of sound has."""
    count, channels = sample.samples.shape
    return {
        "source": source,
        "detector": detector,
        "time": sample.moment.media_usec,
        "audio": {
            "sequence": sample.moment.number,
            "time": sample.moment.media_usec,
            "duration": count * 1_000_000 // sample.rate,
            "sampleRate": sample.rate,
            "channels": channels,
            "numSamples": count,
            "sampleFmt": "s16",
        },
    }


def _area(detection: Detection) -> float:
    region = detection.region
    return region.width * region.height if region is not None else 0.0


def _detection(detection: Detection) -> dict[str, Any]:
    region = detection.region
    shown: dict[str, Any] = {
        "label": str(detection.label)[:MAX_TEXT],
        "confidence": _fraction(detection.confidence),
        "trackId": str(detection.track_id)[:MAX_TEXT],
        "data": plain(detection.data),
    }
    if region is not None:
        shown["region"] = {
            name: _fraction(getattr(region, name)) for name in ("x", "y", "width", "height")
        }
    return shown


def _fraction(value: float) -> float:
    """Clamp a number to 0..1; one that is not finite becomes 0."""
    number = float(value)
    return round(min(max(number, 0.0), 1.0), 4) if math.isfinite(number) else 0.0
