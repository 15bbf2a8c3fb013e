"""The settings of ``media.intelligence``: what looks at pictures, and what listens to sound."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, JsonValue, SecretStr

from icey.config.group import SettingsModel
from icey.config.values import (
    DetectorUse,
    FilePath,
    Microseconds,
    PixelFormat,
    Says,
    Unit,
    WebhookUrl,
)


class NormalizeSettings(SettingsModel):
    """``media.intelligence.vision.normalize``: the pictures that the detectors get."""

    width: Annotated[int, Field(ge=0, le=3840)] = 0
    """Pixels; 0 leaves the width of the source."""

    height: Annotated[int, Field(ge=0, le=3840)] = 0
    """Pixels; 0 leaves the height of the source."""

    pixel_fmt: PixelFormat = ""
    """FFmpeg pixel format; empty leaves that of the source."""


class SnapshotSettings(SettingsModel):
    """``media.intelligence.vision.snapshots``: a still picture of a detection."""

    enabled: bool = False
    """Whether to write them."""

    dir: FilePath | None = None
    """Folder; empty is ``<recordDir>/snapshots``."""

    min_interval_usec: Microseconds = 1_000_000
    """Microseconds between two snapshots of a stream, at least; 0 is no limit."""


class ClipSettings(SettingsModel):
    """``media.intelligence.vision.clips``: a short film around a detection."""

    enabled: bool = False
    """Whether to write them."""

    dir: FilePath | None = None
    """Folder; empty is ``<recordDir>/clips``."""

    pre_roll_usec: Microseconds = 1_000_000
    """Microseconds kept from before the detection; 0 starts with it."""

    post_roll_usec: Microseconds = 3_000_000
    """Microseconds recorded after the last detection; 0 ends with it."""


class MotionSettings(SettingsModel):
    """``media.intelligence.vision.motion``: the motion detector."""

    grid_width: Annotated[int, Field(ge=1, le=256)] = 32
    """Cells across into which a picture is divided."""

    grid_height: Annotated[int, Field(ge=1, le=256)] = 18
    """Cells down."""

    warmup_frames: Annotated[int, Field(ge=0, le=10_000)] = 2
    """Sampled frames that are only learnt from before anything is reported; 0 reports at once."""

    threshold: Unit = 0.08
    """Score from which a frame counts as motion; 0 is every frame, 1 practically none."""

    cooldown_usec: Microseconds = 500_000
    """Microseconds between two reports of a stream, at least; 0 is no limit."""

    ignore_global_change: bool = True
    """Whether what lights or the exposure of the camera do to the whole picture is taken out of the
    score."""

    small_objects: bool = True
    """Whether a single cell that changes by the threshold is motion too. Without it only the score
    of the whole picture counts, which a person in the distance hardly moves."""


class VisionSettings(SettingsModel):
    """``media.intelligence.vision``: detectors on sampled pictures, in stream mode."""

    enabled: bool = False
    """Whether to run it."""

    every_nth_frame: Annotated[int, Field(ge=1, le=10_000)] = 6
    """Sample one frame of so many; 1 is every frame."""

    min_interval_usec: Microseconds = 200_000
    """Microseconds between two samples, at least; 0 is no limit."""

    queue_depth: Annotated[int, Field(ge=1, le=1024)] = 8
    """Frames that may wait for the detectors; beyond it the oldest is dropped and counted."""

    normalize: NormalizeSettings = NormalizeSettings()
    snapshots: SnapshotSettings = SnapshotSettings()
    clips: ClipSettings = ClipSettings()
    motion: MotionSettings = MotionSettings()


class SpeechSettings(SettingsModel):
    """``media.intelligence.speech``: voice activity by energy, in stream mode."""

    enabled: bool = False
    """Whether to run it."""

    queue_depth: Annotated[int, Field(ge=1, le=1024)] = 32
    """Audio frames that may wait for the detector; beyond it the oldest is dropped and counted."""

    start_threshold: Unit = 0.045
    """Level (mean absolute sample, 0 to 1) at which speech starts."""

    stop_threshold: Unit = 0.02
    """Level below which it ends after the silence; at most the start threshold."""

    min_silence_usec: Microseconds = 250_000
    """Microseconds below the stop threshold that end speech; 0 ends it at once."""

    update_interval_usec: Microseconds = 250_000
    """Microseconds between two updates while speech goes on; 0 is one for every audio frame."""


class DetectorSettings(SettingsModel):
    """One of ``media.intelligence.detectors``: a detector of the user's own."""

    use: DetectorUse
    """``module:Class`` that Python can import, ``file.py:Class`` with a path relative to the config
    file, or the name of an installed one (entry point group ``icey.detectors``)."""

    name: Annotated[
        str, Field(pattern=r"^[A-Za-z0-9_.-]{0,64}$"), Says("at most 64 of A-Z a-z 0-9 _ . -")
    ] = ""
    """What its events call it; empty is the installed one's name, or that of the class."""

    enabled: bool = True
    """Whether to run it; ``false`` also turns off one that is installed."""

    options: Annotated[dict[str, JsonValue], Says("an object")] = Field(default_factory=dict)
    """Keyword arguments of the class."""

    every_nth_frame: Annotated[int, Field(ge=1, le=10_000)] | None = None
    """Sample one frame of so many; left out: as ``vision.everyNthFrame``."""

    min_interval_usec: Microseconds | None = None
    """Microseconds between two samples, at least; left out: as ``vision.minIntervalUsec``."""


_MEMBERS = [field.alias or name for name, field in DetectorSettings.model_fields.items()]


class IntelligenceSettings(SettingsModel):
    """``media.intelligence``: side branches on decoded media, active in stream mode only."""

    vision: VisionSettings = VisionSettings()
    speech: SpeechSettings = SpeechSettings()

    detectors: Annotated[
        tuple[DetectorSettings, ...],
        Field(strict=False, max_length=16),
        Says(f"a list of at most 16 objects with {', '.join(_MEMBERS)}"),
    ] = ()
    """Detectors of the user's own, beside those installed as packages; see detectors.md."""

    webhook: WebhookUrl = SecretStr("")
    """URL to which every event is posted as JSON; empty posts none."""
