"""docs/security.md names every bound, and the counter of each refusal."""

import re
from pathlib import Path

from icey.config.keys import keys

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "security.md").read_text()
COUNTED = re.compile(r'(?:refusals\.count|Refused|\brefuse)\(\s*"(\w+)"|\bbound="(\w+)"')


def test_every_bound_is_documented():
    """Each setting of ``limits`` stands in a table with what it refuses."""
    bounds = [key.name for key in keys().values() if key.path[0] == "limits"]
    assert bounds
    assert [name for name in bounds if f"`{name}`" not in TEXT] == []


def test_every_counter_is_documented():
    """Each name that the source counts a refusal under stands there, or its setting does."""
    names = {
        a or b
        for path in (ROOT / "src" / "icey").rglob("*.py")
        for a, b in COUNTED.findall(path.read_text())
    }
    assert len(names) > 10
    assert {n for n in names if f"`{n}`" not in TEXT and f"limits.{n}`" not in TEXT} == set()
