"""The object detector, with small models that are made here: a model that is told its answer."""

import sys

import numpy as np
import onnx
import pytest
from icey_objects import Found, ObjectDetector, decode, letterbox, suppress
from onnx import TensorProto, helper, numpy_helper

from icey.config.intelligence import IntelligenceSettings
from icey.errors import ConfigError
from icey.intelligence.detector import FrameContext
from icey.intelligence.plugins import find_plugins
from integration.intelligence.example_package import install

SIDE = 64
BOXES = np.array([[8, 8, 24, 24], [32, 32, 56, 44], [9, 9, 25, 25]], np.float32)
"""Corners in the pixels of the model; the first and the third are one thing, seen twice."""
CLASSES = [0, 2, 0]
NAMES = "{0: 'person', 1: 'bicycle', 2: 'car'}"


def model(path, layout, *, names=NAMES, kind=TensorProto.FLOAT, shape=(1, 3, SIDE, SIDE)):
    """Write a model that sees what is bright: a box is as sure as its middle is bright.

    Layouts: ``ends`` (1, n, 6), ``columns`` (1, 4 + classes, n), ``rows`` (1, n, 5 + classes).
    """
    count = 3 if layout == "ends" else 16
    boxes = np.zeros((count, 4), np.float32)
    boxes[:3] = BOXES
    classes = np.zeros((count, 3), np.float32)
    for index, number in enumerate(CLASSES):
        classes[index, number] = 1
    middles = ((boxes[:, :2] + boxes[:, 2:]) / 2).astype(np.int64)
    at = np.stack(
        [np.zeros_like(middles[:, 0]), np.zeros_like(middles[:, 0]), middles[:, 1], middles[:, 0]],
        1,
    )
    nodes = [
        helper.make_node("Cast", ["images"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("GatherND", ["pixels", "at"], ["bright"]),  # one value for each box
        helper.make_node("Reshape", ["bright", "column"], ["sure"]),
    ]
    constants: dict[str, np.ndarray] = {"at": at, "column": np.array([count, 1], np.int64)}
    if layout == "ends":
        constants |= {"boxes": boxes, "number": classes.argmax(1)[:, None].astype(np.float32)}
        nodes.append(helper.make_node("Concat", ["boxes", "sure", "number"], ["table"], axis=1))
    else:
        centred = np.concatenate(
            [(boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]], 1
        )
        constants |= {"boxes": centred, "classes": classes}
        if layout == "columns":
            nodes.append(helper.make_node("Mul", ["sure", "classes"], ["scores"]))
            nodes.append(helper.make_node("Concat", ["boxes", "scores"], ["flat"], axis=1))
            nodes.append(helper.make_node("Transpose", ["flat"], ["table"]))
        else:
            nodes.append(
                helper.make_node("Concat", ["boxes", "sure", "classes"], ["table"], axis=1)
            )
    nodes.append(helper.make_node("Unsqueeze", ["table", "zero"], ["output"]))
    constants["zero"] = np.array([0], np.int64)
    graph = helper.make_graph(
        nodes,
        "boxes",
        [helper.make_tensor_value_info("images", kind, shape)],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, (1, "boxes", "numbers"))],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    if names:
        helper.set_model_props(made, {"names": names})
    onnx.checker.check_model(made)
    path.write_bytes(made.SerializeToString())
    return str(path)


def look(detector, frame):
    height, width = frame.shape[:2]
    return detector.process(frame, FrameContext("demo:", 0, 0, 0, width, height))


def scene(width=SIDE, height=SIDE, *, bright=1.0):
    """White where the boxes are: the picture is scaled into the model's square."""
    scale = min(SIDE / width, SIDE / height)
    left, top = (SIDE - width * scale) / 2, (SIDE - height * scale) / 2
    frame = np.zeros((height, width, 3), np.uint8)
    for box in BOXES:
        x1, y1, x2, y2 = ((box - [left, top, left, top]) / scale).round().astype(int).clip(0)
        frame[y1:y2, x1:x2] = round(255 * bright)
    return frame


@pytest.mark.parametrize("layout", ["ends", "columns", "rows"])
@pytest.mark.parametrize("kind", [TensorProto.FLOAT, TensorProto.FLOAT16])
def test_finds_objects(tmp_path, layout, kind):
    """In each layout: class, certainty and place; what is seen twice is told once."""
    detector = ObjectDetector(model=model(tmp_path / "m.onnx", layout, kind=kind))
    found = sorted(look(detector, scene()), key=lambda one: one.label)
    assert [one.label for one in found] == ["car", "person"]
    car = found[0]
    assert car.confidence == pytest.approx(1, abs=0.01)
    assert car.region.x == pytest.approx(32 / 64)
    assert car.region.y == pytest.approx(32 / 64)
    assert car.region.width == pytest.approx(24 / 64)
    assert car.region.height == pytest.approx(12 / 64)
    assert car.data == {"class": 2}


@pytest.mark.parametrize("size", [(1280, 720), (360, 640), (65, 63)])
def test_places_are_those_of_the_picture(tmp_path, size):
    """Whatever the shape of the picture, regions are fractions of it, not of the model's square."""
    width, height = size
    detector = ObjectDetector(model=model(tmp_path / "m.onnx", "columns"), only=["car"])
    (car,) = look(detector, scene(width, height))
    scale = min(SIDE / width, SIDE / height)
    left, top = (SIDE - width * scale) / 2, (SIDE - height * scale) / 2
    assert car.region.x == pytest.approx((32 - left) / scale / width, abs=0.03)
    assert car.region.y == pytest.approx((32 - top) / scale / height, abs=0.03)


def test_confidence(tmp_path):
    """What is less sure than asked for is not told."""
    path = model(tmp_path / "m.onnx", "columns")
    assert len(look(ObjectDetector(model=path, confidence=0.5), scene(bright=0.6))) == 2
    assert look(ObjectDetector(model=path, confidence=0.7), scene(bright=0.6)) == []


@pytest.mark.parametrize("names", ["", "no Python", "{1: 'a'}", "[]", "{0: 'a'}"])
def test_names(tmp_path, names):
    """Labels of the options come first; without any, and in a broken model, classes are numbers."""
    path = model(tmp_path / "m.onnx", "ends", names=names)
    assert {one.label for one in look(ObjectDetector(model=path), scene())} in (
        {"0", "2"},
        {"a", "2"},
    )
    named = ObjectDetector(model=path, labels=["x", "y", "z"])
    assert {one.label for one in look(named, scene())} == {"x", "z"}


def test_any_size(tmp_path):
    """A model that takes any size gets 640 x 640."""
    path = model(tmp_path / "m.onnx", "ends", shape=(1, 3, "height", "width"))
    look(ObjectDetector(model=path), scene())


@pytest.mark.parametrize(
    ("shape", "kind"), [((1, 1, 64, 64), TensorProto.FLOAT), ((1, 3, 64, 64), TensorProto.INT8)]
)
def test_model_for_something_else(tmp_path, shape, kind):
    """A model that wants no coloured picture is refused with what it wants."""
    path = model(tmp_path / "m.onnx", "ends", shape=shape, kind=kind)
    with pytest.raises(ValueError, match="the model wants"):
        ObjectDetector(model=path)


@pytest.mark.parametrize("shape", [(10,), (2, 10, 6), (1, 5, 5), (1, 3, 2), (1, 1000), (1, 4, 10)])
def test_output_that_is_no_list_of_boxes(shape):
    """An output in no known layout is an error that tells its shape."""
    with pytest.raises(ValueError, match="no list of boxes"):
        decode(np.zeros(shape, np.float32))


def test_suppress():
    """Boxes of one class that overlap become one, of another class they stay; surest first."""
    boxes = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [1, 0, 11, 10], [50, 50, 60, 60]], np.float32)
    found = Found(boxes, np.array([0.7, 0.9, 0.6, 0.5], np.float32), np.array([0, 0, 1, 0]))
    kept = suppress(found, 0.5)
    assert kept.scores.tolist() == pytest.approx([0.9, 0.6, 0.5])
    assert kept.classes.tolist() == [0, 1, 0]


def test_letterbox():
    """The picture keeps its shape, in the middle of grey."""
    frame = np.full((100, 200, 3), 255, np.uint8)
    picture, scale, place = letterbox(frame, 64, 64)
    assert (scale, place) == (0.32, (0, 16))
    assert picture.shape == (64, 64, 3)
    assert set(np.unique(picture[:16])) == {114}
    assert set(np.unique(picture[16:48])) == {255}


def configured(use, **options):
    entry = {"use": use, "options": options}
    return find_plugins(IntelligenceSettings.model_validate({"detectors": [entry]})).plugins


@pytest.mark.parametrize(
    "use", ["icey_objects:ObjectDetector", "icey.intelligence.objects:ObjectDetector"]
)
def test_by_the_configuration(tmp_path, use):
    """It is configured like any detector; a model that is not there is found out at the start."""
    path = model(tmp_path / "m.onnx", "ends")
    (plugin,) = configured(use, model=path, only=["car"])
    assert [one.label for one in look(plugin.make(), scene())] == ["car"]
    with pytest.raises(ConfigError, match=r"there is no model n\.onnx in that place") as caught:
        configured(use, model=str(tmp_path / "n.onnx"))
    assert caught.value.key == "media.intelligence.detectors[0].options"


def test_the_installed_package(tmp_path, monkeypatch):
    """Installed by pip, the package is what the configuration finds; by itself it runs nothing."""
    folder = install(tmp_path / "installed", tmp_path, "icey-objects")
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, "icey_objects")
    (plugin,) = configured("icey_objects:ObjectDetector", model=model(tmp_path / "m.onnx", "ends"))
    assert sys.modules["icey_objects"].__file__.startswith(str(folder))
    assert plugin.target.__module__ == "icey_objects"
    assert find_plugins(IntelligenceSettings()).plugins == ()


def test_without_the_package(tmp_path, monkeypatch):
    """The older name says what to install where the package is missing."""
    monkeypatch.setitem(sys.modules, "icey_objects", None)
    monkeypatch.delitem(sys.modules, "icey.intelligence.objects", raising=False)
    with pytest.raises(ConfigError, match="pip install examples/icey-objects"):
        configured("icey.intelligence.objects:ObjectDetector", model="m.onnx")
