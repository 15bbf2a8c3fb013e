"""Finding detectors in modules, files and installed packages, and refusing what is none."""

import sys

import numpy as np
import pytest

from icey.config.intelligence import IntelligenceSettings
from icey.errors import ConfigError
from icey.intelligence.detector import FrameContext
from icey.intelligence.plugins import find_plugins
from integration.intelligence.example_package import install

DETECTOR = """
class Mine:
    def __init__(self, limit: float = 0.5, *, label: str = "x") -> None:
        self.limit = limit
    def process(self, frame, context):
        return []

class Ears(Mine):
    takes = "sound"

class Inside:
    class Deep(Mine):
        pass

def make(**options):
    return Mine(**options)

class Nothing:
    pass

class Confused(Mine):
    takes = "smell"

number = 5
"""


def settings(*entries):
    return IntelligenceSettings.model_validate({"detectors": list(entries)})


def find(*entries):
    return find_plugins(settings(*entries)).plugins


@pytest.fixture
def module(tmp_path, monkeypatch):
    """A module that can be imported, and its file."""
    path = tmp_path / "folder" / "my_detectors.py"
    path.parent.mkdir()
    path.write_text(DETECTOR)
    monkeypatch.syspath_prepend(str(path.parent))
    yield path
    sys.modules.pop("my_detectors", None)


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    """A folder into which the example was installed, as pip installs any package."""
    return install(tmp_path_factory.mktemp("installed"), tmp_path_factory.mktemp("source"))


@pytest.fixture
def installed(package, monkeypatch):
    monkeypatch.syspath_prepend(str(package))
    yield package
    sys.modules.pop("icey_colour_blob", None)


def offer(folder, **points):
    """Lay out a package that offers these entry points."""
    info = folder / "offered-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: offered\nVersion: 1.0\n")
    lines = [f"{name} = {value}" for name, value in points.items()]
    (info / "entry_points.txt").write_text("\n".join(["[icey.detectors]", *lines, ""]))


def test_nothing_asked_for_and_nothing_installed():
    """Without an entry and without a package there is no detector."""
    assert find_plugins(IntelligenceSettings()).plugins == ()


def test_module_and_class(module):
    """``module:Class`` is imported; its name is the class's, its options are handed over."""
    (plugin,) = find({"use": "my_detectors:Mine", "options": {"limit": 0.25}, "everyNthFrame": 2})
    assert (plugin.name, plugin.takes) == ("Mine", "pictures")
    assert (plugin.every_nth_frame, plugin.min_interval_usec) == (2, None)
    assert plugin.make().limit == 0.25


def test_file_and_class(module, monkeypatch):
    """``file.py:Class`` needs no folder on Python's path; two entries share one module."""
    first, second = find(
        {"use": f"{module}:Mine", "name": "first"}, {"use": f"{module}:Ears", "name": "second"}
    )
    assert (first.name, second.name) == ("first", "second")
    assert (first.takes, second.takes) == ("pictures", "sound")
    assert sys.modules[first.target.__module__] is sys.modules[second.target.__module__]


@pytest.mark.parametrize(("attribute", "name"), [("Inside.Deep", "Deep"), ("make", "make")])
def test_other_makers(module, attribute, name):
    """A class inside another one, or a function that makes a detector, does as well."""
    (plugin,) = find({"use": f"my_detectors:{attribute}"})
    assert plugin.name == name
    assert plugin.make().limit == 0.5


def test_disabled_entry(module):
    """What is turned off is not even imported."""
    assert find({"use": "no_such_module:X", "enabled": False}) == ()


@pytest.mark.parametrize(
    ("use", "reason"),
    [
        ("no_such_module:X", "No module named 'no_such_module'"),
        ("my_detectors:Missing", "it has no 'Missing'"),
        ("my_detectors:number", "it is a int, and makes no detector"),
        ("my_detectors:Nothing", "the class Nothing has no method 'process'"),
        ("my_detectors:Confused", "its 'takes' is 'smell'"),
        ("/no/such/detector.py:X", "no such file"),
        ("colour-blop", "no such detector is installed"),
    ],
)
def test_bad_use(module, use, reason):
    """What cannot be had is refused: which entry, why, and what is allowed; but no folder."""
    with pytest.raises(ConfigError) as caught:
        find({"use": "my_detectors:Mine"}, {"use": use})
    error = caught.value
    assert error.key == "media.intelligence.detectors[1].use"
    assert f"'{error.key}' is " in str(error)
    assert reason in str(error)
    assert "module:Class that Python can import" in error.allowed
    assert "/no/such" not in str(error)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("def :", "SyntaxError"),
        ("raise ValueError('broken at /home/alice/models/x.bin')", "ValueError: broken at x.bin"),
        ("import sys; sys.exit(3)", "SystemExit: 3"),
        ("from os import nothing_of_that", "ImportError: cannot import name"),
    ],
)
def test_file_that_breaks(tmp_path, text, reason):
    """A module that raises, is refused and says why; the next try reads it anew."""
    path = tmp_path / "broken.py"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        find({"use": f"{path}:X"})
    assert reason in str(caught.value)
    assert str(tmp_path) not in str(caught.value)
    assert "/home/alice" not in str(caught.value)
    path.write_text(DETECTOR)
    assert find({"use": f"{path}:Mine"})


@pytest.mark.parametrize("options", [{"limits": 1}, {"limit": 1, "wrong": 2}])
def test_wrong_options(module, options):
    """Options that the class does not know are refused, with those that it does."""
    with pytest.raises(ConfigError) as caught:
        find({"use": "my_detectors:Mine", "options": options})
    assert caught.value.key == "media.intelligence.detectors[0].options"
    assert caught.value.allowed == "keyword arguments of my_detectors:Mine: limit, label"


def test_maker_of_something_else(tmp_path):
    """A function that makes no detector is found out when the detector is made."""
    path = tmp_path / "maker.py"
    path.write_text("def make():\n    return 5\n")
    (plugin,) = find({"use": f"{path}:make"})
    with pytest.raises(TypeError, match="which has no 'process'"):
        plugin.make()


def test_installed_package_is_found(installed):
    """A package with the entry point runs without any configuration."""
    (plugin,) = find()
    assert (plugin.name, plugin.takes) == ("colour-blob", "pictures")


def test_installed_package_with_options(installed):
    """An entry that names the installed detector gives it options, and does not run it twice."""
    (plugin,) = find({"use": "colour-blob", "options": {"colour": [0, 200, 0]}, "name": "green"})
    frame = np.zeros((90, 160, 3), np.uint8)
    frame[30:60, 40:80] = (10, 190, 5)
    (found,) = plugin.make().process(frame, FrameContext("demo:", 0, 0, 0, 160, 90))
    assert plugin.name == "green"
    assert found.label == "colour"
    assert found.region.x == pytest.approx(0.25, abs=0.03)
    assert found.region.y == pytest.approx(1 / 3, abs=0.05)
    assert found.region.width == pytest.approx(0.25, abs=0.03)
    assert found.region.height == pytest.approx(1 / 3, abs=0.05)


def test_installed_package_turned_off(installed):
    """An entry turns an installed detector off."""
    assert find({"use": "colour-blob", "enabled": False}) == ()


def test_broken_installed_package(tmp_path, monkeypatch, module):
    """An installed package that does not load stops nothing; the warning says what to do."""
    offer(tmp_path, broken="no_such_module:X", fine="my_detectors:Mine")
    monkeypatch.syspath_prepend(str(tmp_path))
    found = find_plugins(IntelligenceSettings())
    assert [plugin.name for plugin in found.plugins] == ["fine"]
    (warning,) = found.warnings
    assert "'broken' cannot be loaded" in warning
    assert '"enabled": false' in warning


def test_unknown_name_tells_the_known_ones(tmp_path, monkeypatch, module):
    """A misspelt name is refused with the names of what is installed."""
    offer(tmp_path, fine="my_detectors:Mine")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ConfigError, match=r"an installed one \(fine\)"):
        find({"use": "fin"})
