"""Which of a camera's modes to ask for: pure arithmetic, no device is touched here.

A webcam gives few of its sizes at full rate, and which ones depends on the format: USB 2 carries
1280x720 uncompressed ten times a second, as JPEG thirty times.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from icey.config.model import VideoSettings

FORMATS = {
    "YUYV": "yuyv422",
    "UYVY": "uyvy422",
    "NV12": "nv12",
    "YU12": "yuv420p",
    "422P": "yuv422p",
    "RGB3": "rgb24",
    "BGR3": "bgr24",
    "MJPG": "mjpeg",
    "JPEG": "mjpeg",
    "H264": "h264",
    "GREY": "gray",
}
"""V4L2's names of formats, and FFmpeg's. At equal size and rate the earlier one is better: it
takes less work, and H.264 brings the camera's own delay and its scarce keyframes."""

_ORDER = {name: place for place, name in enumerate(FORMATS.values())}


@dataclass(frozen=True)
class Mode:
    """What a camera can do.

    Attributes:
        format: FFmpeg's name of the pixel format or codec.
        width: of its pictures, px.
        height: likewise.
        fps: frames a second, None where it does not tell.
    """

    format: str
    width: int
    height: int
    fps: Fraction | None


def choose(modes: Iterable[Mode], video: VideoSettings) -> Mode | None:
    """Choose the mode that comes nearest to what is sent, None where there is none.

    Half the rate is as bad as half the width. What goes beyond the configured size and rate is
    worth nothing and costs work.

    Args:
        modes: of one camera.
        video: what is sent.
    """
    return max(modes, key=lambda mode: _worth(mode, video), default=None)


def _worth(mode: Mode, video: VideoSettings) -> tuple[Fraction | int, ...]:
    fps = mode.fps or Fraction(video.fps)
    across, down = Fraction(mode.width, video.width), Fraction(mode.height, video.height)
    # The picture is fitted into the frame: its sharpness is that of the side that fills it, and
    # where the other side falls short there are bars.
    sharpness = min(Fraction(1), max(across, down))
    filled = min(across, down) / max(across, down)
    return (
        mode.format != "gray",  # an infrared camera beside the real one
        min(Fraction(1), fps / video.fps) * sharpness,
        filled,
        -mode.width * mode.height,
        -fps,
        -_ORDER[mode.format],
    )
