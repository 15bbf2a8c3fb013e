"""Brings pictures to the size and pixel format that the settings give the detectors."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter

from icey.media.scale import matrix_of

if TYPE_CHECKING:
    import av
    from numpy.typing import NDArray

    from icey.config.intelligence import NormalizeSettings

_LUMA_FIRST = frozenset(
    {"gray", "yuv420p", "yuvj420p", "yuv422p", "yuvj422p", "yuv444p", "yuvj444p", "nv12", "nv21"}
)
"""Formats whose first plane is 8-bit luma."""

_MATRICES = {"bt709": Colorspace.ITU709, "smpte170m": Colorspace.SMPTE170M}
_TAGS = {"bt709": 1, "smpte170m": 6}  # ITU-T H.273 table 4


class Normalizer:
    """Converts pictures to one size and format; used by one thread.

    Args:
        settings: ``media.intelligence.vision.normalize``.
    """

    def __init__(self, settings: NormalizeSettings) -> None:
        self._settings = settings
        self._reformatter = VideoReformatter()

    def normalize(self, picture: av.VideoFrame) -> av.VideoFrame:
        """Return the picture as the settings want it; itself, where it is so already."""
        width = self._settings.width or picture.width
        height = self._settings.height or picture.height
        name = self._settings.pixel_fmt or picture.format.name
        if (width, height, name) == (picture.width, picture.height, picture.format.name):
            return picture
        matrix = matrix_of(picture)
        made = self._reformatter.reformat(
            picture,
            width,
            height,
            name,
            src_colorspace=_MATRICES[matrix],
            dst_colorspace=_MATRICES[matrix],
            interpolation=Interpolation.AREA,  # the mean of what a pixel covers
            threads=1,
        )
        made.colorspace = _TAGS[matrix]  # its size no longer tells
        return made


def luma_of(picture: av.VideoFrame) -> NDArray[np.uint8]:
    """Return the luma, of shape (height, width): a view where the format has it."""
    if picture.format.name not in _LUMA_FIRST:
        picture = picture.reformat(format="gray", threads=1)
    plane = picture.planes[0]
    rows = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
    return rows[: picture.height, : picture.width]


def is_full_range(picture: av.VideoFrame) -> bool:
    """Say whether black is 0 and white 255 in its luma, not 16 and 235."""
    name = picture.format.name
    if name not in _LUMA_FIRST:  # then `luma_of` makes a gray picture of it, which has full range
        return True
    return picture.color_range == ColorRange.JPEG or name.startswith("yuvj") or name == "gray"


def rgb_of(picture: av.VideoFrame) -> NDArray[np.uint8]:
    """Return the picture as RGB, of shape (height, width, 3): a copy that is the caller's."""
    matrix = _MATRICES[matrix_of(picture)]
    converted = picture.reformat(format="rgb24", src_colorspace=matrix, threads=1)
    return cast("NDArray[np.uint8]", converted.to_ndarray())
