"""Details of findings."""

from pathlib import Path

import pytest

from icey.preflight.finding import failed, passed, render, warned


@pytest.mark.parametrize(("public", "text"), [(True, "in b!"), (False, "in /a/b!")])
def test_paths(public, text):
    """A path is shown whole to the operator, by its name in public."""
    assert render(("in ", Path("/a/b"), "!"), public=public) == text


def test_root():
    """The root folder, which has no name, is shown as it is."""
    assert render((Path("/"),), public=True) == "/"


def test_results():
    """Each function makes a finding with its result."""
    assert [make("x").result for make in (passed, warned, failed)] == ["pass", "warn", "fail"]
