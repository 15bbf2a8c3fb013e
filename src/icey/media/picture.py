"""Pictures as arrays: views into the planes of a yuv420p frame, colours, copies."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import av
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Plane: TypeAlias = NDArray[np.uint8]

_UNSPECIFIED, _SMPTE170M = 2, 6  # matrices, ITU-T H.273 table 4


def planes(picture: av.VideoFrame) -> tuple[Plane, Plane, Plane]:
    """Return writable views of Y, U and V, of shapes (h, w), (h/2, w/2) and (h/2, w/2)."""
    views = []
    for plane in picture.planes:
        rows = np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, plane.line_size)
        views.append(rows[:, : plane.width])
    y, u, v = views
    return y, u, v


def black(width: int, height: int) -> av.VideoFrame:
    """Make a black picture."""
    picture = av.VideoFrame(width, height, "yuv420p")
    for plane, value in zip(planes(picture), (16, 128, 128), strict=True):
        plane[:] = value
    return picture


def copy_of(picture: av.VideoFrame) -> av.VideoFrame:
    """Copy a yuv420p picture, to draw on."""
    twin = av.VideoFrame(picture.width, picture.height, "yuv420p")
    for target, origin in zip(planes(twin), planes(picture), strict=True):
        target[:] = origin
    return twin


def fill(
    target: tuple[Plane, Plane, Plane],
    box: tuple[int, int, int, int],
    colour: tuple[int, int, int],
) -> None:
    """Paint a box (left, top, right, bottom; px, even) with a Y, U, V colour."""
    left, top, right, bottom = box
    y, u, v = target
    y[top:bottom, left:right] = colour[0]
    u[top // 2 : bottom // 2, left // 2 : right // 2] = colour[1]
    v[top // 2 : bottom // 2, left // 2 : right // 2] = colour[2]


def yuv709(rgb: tuple[int, int, int]) -> tuple[int, int, int]:
    """Turn R, G, B (0..255) into limited-range Y, U, V (ITU-R BT.709 §3)."""
    red, green, blue = (value / 255 for value in rgb)
    luma = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    return (
        round(16 + 219 * luma),
        round(128 + 224 * (blue - luma) / 1.8556),
        round(128 + 224 * (red - luma) / 1.5748),
    )


def mark_bt601(frame: av.VideoFrame | av.AudioFrame) -> None:
    """Have a picture that does not say its matrix say the usual one."""
    if (
        isinstance(frame, av.VideoFrame)
        and frame.colorspace == _UNSPECIFIED
        and not frame.format.is_rgb
    ):
        frame.colorspace = _SMPTE170M
