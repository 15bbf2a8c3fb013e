"""Which tests run side by side, and which alone, where pytest-xdist runs several at once.

Three groups, each on one worker and in order; what is in none of them goes to any worker:

============  ======================================================================================
``page``      the page alone, against a scripted server: one Chromium for all of them
``browser``   the installed command and a browser, or clients: one at a time, beside the others
``alone``     the marker `alone`: what measures rates, delays or use of memory, or makes networks.
              Last of all, when no other worker has anything to do
============  ======================================================================================
"""

from __future__ import annotations

import fcntl
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator

HERE = Path(__file__).parent
GROUPS = ("page", "browser", "", "alone")
"""In the order in which they begin."""


def _group(item: pytest.Item) -> str:
    if item.get_closest_marker("alone"):
        return "alone"
    if item.path.is_relative_to(HERE / "e2e" / "page"):
        return "page"
    return "browser" if item.path.is_relative_to(HERE / "e2e") else ""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put each test into its group, the longest first."""
    if not hasattr(config, "workerinput"):
        return
    for item in items:
        if group := _group(item):
            item.add_marker(pytest.mark.xdist_group(group))
    items.sort(key=lambda item: GROUPS.index(_group(item)))


# Around that of pytest-timeout: what is waited for here is no test's time.
@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Hold a test that is to run alone until all others have ended."""
    if not hasattr(item.config, "workerinput"):
        return (yield)
    shared = item.config._tmp_path_factory.getbasetemp().parent
    with (shared / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX if _group(item) == "alone" else fcntl.LOCK_SH)
        return (yield)
