"""Words in pictures. Pillow's built-in font, as PyAV's FFmpeg has no ``drawtext``."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from icey.media.picture import copy_of, planes

if TYPE_CHECKING:
    import av
    from numpy.typing import NDArray


@lru_cache(maxsize=8)
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def rendered(text: str, size: int) -> NDArray[np.uint8]:
    """Draw one line of text.

    Args:
        text: the line.
        size: height of the letters, px.

    Returns:
        How much of each pixel is covered, 0..255, of shape (height, width), both even.
    """
    font = _font(size)
    left, top, right, bottom = font.getbbox(text or " ")
    width, height = int(right - left) + 2, int(bottom - top) + 2
    image = Image.new("L", (width + width % 2, height + height % 2))
    ImageDraw.Draw(image).text((1 - left, 1 - top), text, fill=255, font=font)
    return np.asarray(image, np.uint8)


def captioned(picture: av.VideoFrame, text: str) -> av.VideoFrame:
    """Return a copy of a yuv420p picture with white words on a dark band at its lower edge."""
    twin = copy_of(picture)
    y, u, v = planes(twin)
    height, width = y.shape
    mask = rendered(text, max(10, height // 24))
    while mask.shape[1] > width and len(text) > 4:
        text = text[: len(text) * 3 // 4].rstrip() + "…"
        mask = rendered(text, max(10, height // 24))
    mask = mask[:height, :width]
    rows, columns = mask.shape
    margin = min(rows // 2, (height - rows) // 2) & ~1
    top = max(0, height - rows - 2 * margin) & ~1
    bottom = min(height, top + rows + 2 * margin)
    y[top:bottom] = 16 + (y[top:bottom].astype(np.uint16) - 16) // 4
    u[top // 2 : bottom // 2] = 128
    v[top // 2 : bottom // 2] = 128
    start = ((width - columns) // 2) & ~1
    box = y[top + margin : top + margin + rows, start : start + columns]
    np.maximum(box, (16 + mask.astype(np.uint16) * 219 // 255).astype(np.uint8), out=box)
    return twin
