"""Any decoded picture into the yuv420p picture that is sent: size, rotation, depth, range, matrix.

One libavfilter graph does it in C: scale (bilinear), turn, pad to a letterbox. A picture that
already fits is passed through untouched.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Literal, TypeAlias

from av.filter import Graph
from av.video.reformatter import ColorRange

if TYPE_CHECKING:
    import av

Matrix: TypeAlias = Literal["bt709", "smpte170m"]
"""What the encoder is told about the meaning of U and V; HDR and the rest become ``bt709``."""

_BT709, _UNSPECIFIED, _BT470BG, _SMPTE170M = 1, 2, 5, 6  # ITU-T H.273 table 4


@dataclass(frozen=True)
class Fit:
    """How a picture is laid into another: turned, scaled, and placed at ``left``, ``top``.

    Attributes:
        width: of the turned picture in the target, px, even.
        height: likewise.
        left: px from the left, even.
        top: px from the top, even.
        turn: degrees counterclockwise: 0, 90, 180 or 270.
    """

    width: int
    height: int
    left: int
    top: int
    turn: int


def fit(
    size: tuple[int, int], sample_aspect: Fraction | None, rotation: float, target: tuple[int, int]
) -> Fit:
    """Lay a picture into `target`, as large as its aspect ratio allows, in the middle.

    Args:
        size: width and height of the decoded picture, px; may be odd.
        sample_aspect: width of a pixel by its height; None or 0 is square.
        rotation: degrees counterclockwise by which the container says to turn it.
        target: width and height to fill, px, even.
    """
    turn = round(rotation / 90) * 90 % 360
    aspect = Fraction(*size) * (sample_aspect or 1)
    if turn in {90, 270}:
        aspect = 1 / aspect
    width, height = target
    if aspect > Fraction(width, height):
        inner = width, _even(width / aspect)
    else:
        inner = _even(height * aspect), height
    inner_width, inner_height = min(inner[0], width), min(inner[1], height)
    if width - inner_width <= 2:  # a pixel or two of border is rounding, not a shape
        inner_width = width
    if height - inner_height <= 2:
        inner_height = height
    return Fit(
        inner_width,
        inner_height,
        (width - inner_width) // 2 & ~1,
        (height - inner_height) // 2 & ~1,
        turn,
    )


def matrix_of(picture: av.VideoFrame) -> Matrix:
    """Return the matrix in which pictures like this one are sent."""
    if picture.colorspace in {_BT470BG, _SMPTE170M}:
        return "smpte170m"
    if picture.colorspace == _UNSPECIFIED and picture.height < 720:
        return "smpte170m"  # what players assume of small pictures
    return "bt709"


class Scaler:
    """Fits pictures into one size; made anew inside whenever the source's pictures change.

    Args:
        width: of the result, px, even.
        height: likewise.
    """

    def __init__(self, width: int, height: int) -> None:
        self._size = width, height
        self._key: tuple[object, ...] | None = None
        self._graph: Graph | None = None

    def scale(
        self,
        picture: av.VideoFrame,
        sample_aspect: Fraction | None,
        matrix: Matrix,
        *,
        mirrored: bool = False,
    ) -> av.VideoFrame:
        """Return the picture as yuv420p of limited range in `matrix`, letterboxed.

        Args:
            picture: any picture; its own rotation is obeyed.
            sample_aspect: width of a pixel by its height; None or 0 is square.
            matrix: what U and V of the result mean.
            mirrored: flip it top to bottom before it is turned.
        """
        key = (
            picture.width,
            picture.height,
            picture.format.name,
            picture.rotation,
            picture.colorspace,
            picture.color_range,
            sample_aspect,
            matrix,
            mirrored,
        )
        if key != self._key:
            self._graph = self._build(picture, sample_aspect, matrix, mirrored=mirrored)
            self._key = key
        if self._graph is None:
            return picture
        self._graph.vpush(picture)
        return self._graph.vpull()

    def _build(
        self,
        picture: av.VideoFrame,
        sample_aspect: Fraction | None,
        matrix: Matrix,
        *,
        mirrored: bool,
    ) -> Graph | None:
        size = picture.width, picture.height
        how = fit(size, sample_aspect, picture.rotation, self._size)
        source_matrix = matrix_of(picture)
        wide = picture.colorspace not in {_BT709, _UNSPECIFIED, _BT470BG, _SMPTE170M}
        if (
            size == self._size == (how.width, how.height)
            and how.turn == 0
            and not mirrored
            and picture.format.name == "yuv420p"
            and picture.color_range != ColorRange.JPEG
            and source_matrix == matrix
            and not wide
        ):
            return None
        graph = Graph()
        graph.threads = 1
        chain = [
            graph.add(
                "buffer",
                f"video_size={size[0]}x{size[1]}:pix_fmt={picture.format.name}:time_base=1/90000"
                f":colorspace={picture.colorspace}:range={picture.color_range}",
            )
        ]
        inner = (how.width, how.height)
        scaled = inner if how.turn in {0, 180} else inner[::-1]
        # The input's matrix is given only where the picture itself does not say it.
        told = f":in_color_matrix={source_matrix}" if picture.colorspace == _UNSPECIFIED else ""
        chain.append(
            graph.add(
                "scale",
                f"{scaled[0]}:{scaled[1]}:flags=bilinear{told}:out_color_matrix={matrix}:out_range=tv",
            )
        )
        chain.append(graph.add("format", "yuv420p"))
        if mirrored:
            chain.append(graph.add("vflip"))
        if how.turn == 180:
            chain += [graph.add("hflip"), graph.add("vflip")]
        elif how.turn:
            chain.append(graph.add("transpose", "cclock" if how.turn == 90 else "clock"))
        if inner != self._size:
            chain.append(
                graph.add("pad", f"{self._size[0]}:{self._size[1]}:{how.left}:{how.top}:black")
            )
        chain.append(graph.add("buffersink"))
        graph.link_nodes(*chain).configure()
        return graph


def _even(value: Fraction) -> int:
    return max(2, round(value / 2) * 2)
