"""docs/detectors.md is true: its detectors run, and its options are the real ones."""

import inspect
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
from icey_objects import ObjectDetector

from icey.config.load import load
from icey.intelligence.detector import Detection, FrameContext, SoundContext
from icey.intelligence.plugins import find_plugins

TEXT = (Path(__file__).parents[3] / "docs" / "detectors.md").read_text()
PYTHON = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
JSON = re.findall(r"```json\n(.*?)```", TEXT, re.DOTALL)


def test_the_ten_lines(tmp_path):
    """The detector of the first page is ten lines, and runs with the configuration below it."""
    code = PYTHON[0]
    assert len(code.splitlines()) <= 10
    (tmp_path / "dark.py").write_text(code)
    (tmp_path / "config.json").write_text(JSON[0])
    (tmp_path / "config.json").chmod(0o600)
    loaded = load({}, {}, tmp_path)
    assert loaded.warnings == []
    (plugin,) = find_plugins(loaded.settings.media.intelligence).plugins
    assert (plugin.name, plugin.min_interval_usec) == ("Dark", 1_000_000)
    detector = plugin.make()
    context: Any = FrameContext("demo:", 0, 0, 0, 64, 36)
    (found,) = detector.process(np.full((36, 64, 3), 10, np.uint8), context)
    assert found.label == "dark"
    assert detector.process(np.full((36, 64, 3), 35, np.uint8), context) == []


def test_the_detector_of_sound(tmp_path):
    """The document's detector of sound runs, and detects."""
    path = tmp_path / "loud.py"
    path.write_text(f"from icey.intelligence.detector import Detection\n{PYTHON[1]}")
    settings = {"media": {"intelligence": {"detectors": [{"use": "loud.py:Loud"}]}}}
    (tmp_path / "config.json").write_text(json.dumps(settings))
    loaded = load({}, {}, tmp_path).settings
    (plugin,) = find_plugins(loaded.media.intelligence).plugins
    assert plugin.takes == "sound"
    context: Any = SoundContext("demo:", 0, 0, 0, 48_000, 2)
    detector = plugin.make()
    assert isinstance(detector.process(np.full((960, 2), 0.3, np.float32), context)[0], Detection)
    assert detector.process(np.zeros((960, 2), np.float32), context) == []


def test_options_of_the_object_detector():
    """The table has each option with its default; the example uses no others."""
    rows = re.findall(r"^\| `(\w+)` \| (\S+) \|", TEXT.partition("## Objects")[2], re.MULTILINE)
    parameters = inspect.signature(ObjectDetector).parameters
    assert dict(rows) == {
        name: "–"
        if parameter.default is inspect.Parameter.empty
        else "`[]`"
        if parameter.default == ()
        else str(parameter.default)
        for name, parameter in parameters.items()
    }
    assert set(json.loads(JSON[1])["options"]) <= set(parameters)
