"""A detector for icey-server: objects by an ONNX model, ``icey_objects:ObjectDetector``.

The model is a file of the user's, of the YOLO family, in one of the layouts that their exporters
write (`decode`). It runs on the CPU.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import onnxruntime
from PIL import Image

from icey.intelligence.detector import Detection, Region

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from icey.intelligence.detector import FrameContext

    Floats = NDArray[np.float32]

__all__ = ["Found", "ObjectDetector", "decode", "letterbox", "suppress"]

GREY = 114
"""What a picture is padded with; models were trained with it."""

CANDIDATES = 300
"""Boxes that are compared with each other at most, the surest ones."""

DEFAULT_SIDE = 640
"""Pixels of a side, for a model that takes any size."""


@dataclass(frozen=True, slots=True)
class Found:
    """Boxes as a model gives them: corners in its own pixels, and the surest class of each.

    Attributes:
        boxes: left, top, right, bottom; of shape (n, 4).
        scores: 0 to 1; of shape (n,).
        classes: numbers; of shape (n,).
    """

    boxes: Floats
    scores: Floats
    classes: NDArray[np.int64]

    def __getitem__(self, chosen: NDArray[Any]) -> Found:
        """Take some of them."""
        return Found(self.boxes[chosen], self.scores[chosen], self.classes[chosen])


class ObjectDetector:
    """Finds what a model knows.

    Args:
        model: the file; relative to the working directory of the server.
        labels: the names of the classes in their order; empty: as the model says, or numbers.
        only: report no others than these; empty is all.
        confidence: report what is at least that sure, 0 to 1.
        overlap: of two boxes of one class that share more than this (of their union), one goes.
        threads: of the CPU; more than one takes from the encoders.
    """

    def __init__(
        self,
        *,
        model: str,
        labels: Sequence[str] = (),
        only: Sequence[str] = (),
        confidence: float = 0.5,
        overlap: float = 0.5,
        threads: int = 1,
    ) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(
            model, options, providers=["CPUExecutionProvider"]
        )
        wanted = self._session.get_inputs()[0]
        self._input, self._type = wanted.name, _TYPES.get(wanted.type)
        if self._type is None or len(wanted.shape) != 4 or wanted.shape[1] != 3:
            raise ValueError(
                f"the model wants {wanted.type} {wanted.shape}, not a picture (1, 3, height, width)"
            )
        self._height, self._width = (
            side if isinstance(side, int) else DEFAULT_SIDE for side in wanted.shape[2:]
        )
        self._labels = tuple(labels) or _names(self._session.get_modelmeta().custom_metadata_map)
        self._only = frozenset(only)
        self._confidence = confidence
        self._overlap = overlap

    @staticmethod
    def check(model: str, **_options: object) -> None:
        """Look for the model before the server starts.

        Raises:
            ValueError: it is not there.
        """
        if not Path(model).is_file():
            raise ValueError(f"there is no model {Path(model).name} in that place")

    def process(self, frame: NDArray[np.uint8], context: FrameContext) -> list[Detection]:
        """Find objects in a picture of shape (height, width, 3)."""
        picture, scale, (left, top) = letterbox(frame, self._width, self._height)
        tensor = picture.transpose(2, 0, 1)[None].astype(np.float32) / np.float32(255)
        (output, *_) = self._session.run(None, {self._input: tensor.astype(self._type)})
        found = decode(np.asarray(output, np.float32))
        found = suppress(found[found.scores >= self._confidence], self._overlap)
        boxes = (found.boxes - np.array([left, top, left, top])) / scale
        sides = np.array([context.width, context.height] * 2)
        boxes = np.clip(boxes / sides, 0, 1)
        detections = []
        for box, score, number in zip(boxes, found.scores, found.classes, strict=True):
            label = self._label(int(number))
            if self._only and label not in self._only:
                continue
            x, y, right, bottom = map(float, box)
            region = Region(x, y, right - x, bottom - y)
            detections.append(Detection(label, float(score), region, data={"class": int(number)}))
        return detections

    def _label(self, number: int) -> str:
        return self._labels[number] if 0 <= number < len(self._labels) else str(number)


_TYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16}


def letterbox(
    frame: NDArray[np.uint8], width: int, height: int
) -> tuple[NDArray[np.uint8], float, tuple[int, int]]:
    """Lay a picture into the middle of another size, its aspect ratio kept.

    Returns:
        The picture of shape (height, width, 3), the factor by which it was scaled, and where its
        upper left corner lies, px.
    """
    scale = min(width / frame.shape[1], height / frame.shape[0])
    size = max(1, round(frame.shape[1] * scale)), max(1, round(frame.shape[0] * scale))
    scaled = np.asarray(Image.fromarray(frame).resize(size, Image.Resampling.BILINEAR))
    left, top = (width - size[0]) // 2, (height - size[1]) // 2
    picture = np.full((height, width, 3), GREY, np.uint8)
    picture[top : top + size[1], left : left + size[0]] = scaled
    return picture, scale, (left, top)


def decode(output: Floats) -> Found:
    """Read the output of a model, in whichever of three layouts it is.

    ========================  ======================================================
    shape                     what each box is
    ========================  ======================================================
    (1, n, 6)                 left, top, right, bottom, score, class
    (1, 4 + classes, n)       centre x, centre y, width, height, a score for each class
    (1, n, 5 + classes)       likewise, with "is there anything" before the scores
    ========================  ======================================================

    In the last two there are more boxes than numbers for each.

    Raises:
        ValueError: it is in none of these.
    """
    if output.ndim != 3 or output.shape[0] != 1:
        raise ValueError(f"the model gives {output.shape}, which is no list of boxes")
    table = output[0]
    if table.shape[1] == 6:
        return Found(table[:, :4], table[:, 4], table[:, 5].astype(np.int64))
    if 4 < table.shape[0] < table.shape[1]:
        table = table.T
        scores = table[:, 4:]
    elif 5 < table.shape[1] < table.shape[0]:
        scores = table[:, 5:] * table[:, 4:5]
    else:
        raise ValueError(f"the model gives {output.shape}, which is no list of boxes")
    centre, half = table[:, :2], table[:, 2:4] / 2
    boxes = np.concatenate([centre - half, centre + half], axis=1)
    return Found(boxes, scores.max(axis=1), scores.argmax(axis=1))


def suppress(found: Found, overlap: float) -> Found:
    """Leave one box of those of one class that overlap: the surest; surest first."""
    found = found[np.argsort(-found.scores, kind="stable")[:CANDIDATES]]
    left = np.arange(len(found.scores))
    chosen = []
    while len(left):
        best, left = left[0], left[1:]
        chosen.append(best)
        same = found.classes[left] == found.classes[best]
        left = left[~(same & (_shared(found.boxes[best], found.boxes[left]) > overlap))]
    return found[np.array(chosen, np.int64)]


def _shared(box: Floats, others: Floats) -> Floats:
    """How much of the union of two boxes both have: 0 to 1, for each of the others."""
    low, high = np.maximum(box[:2], others[:, :2]), np.minimum(box[2:], others[:, 2:])
    both = np.prod(np.clip(high - low, 0, None), axis=1)
    union = np.prod(box[2:] - box[:2]) + np.prod(others[:, 2:] - others[:, :2], axis=1) - both
    return cast("Floats", both / np.maximum(union, 1e-9))


def _names(metadata: Mapping[str, str]) -> tuple[str, ...]:
    """The names that exporters write into a model: ``{0: 'person', 1: 'bicycle'}``."""
    try:
        names = ast.literal_eval(metadata.get("names", "{}"))
    except (ValueError, SyntaxError):
        return ()
    if not isinstance(names, dict) or set(names) != set(range(len(names))):
        return ()
    return tuple(str(names[number]) for number in range(len(names)))
