"""A server on the demo, and a browser with sound.

A Chromium takes a second of two cores to start. So tests share those that they do not kill or
suspend, and with them a loop; the profiles are each test's own.
"""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from e2e.chromium import AUTOPLAY, FAKE_CAMERA, open_chromium
from e2e.server_process import ServerProcess, running_server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from playwright.async_api import Browser, BrowserContext

HERE = Path(__file__).parent


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run all tests of this folder on the loop of the browsers that they share."""
    for item in items:
        if item.path.is_relative_to(HERE) and pytest_asyncio.is_async_test(item):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


class Browsers:
    """The Chromiums that run, one for each choice of flags."""

    def __init__(self, stack: AsyncExitStack) -> None:
        self._stack = stack
        self._running: dict[tuple[str, ...], Browser] = {}

    async def get(self, *flags: str) -> Browser:
        """Return the one with these flags; it is started where it does not run (any more)."""
        browser = self._running.get(flags)
        if browser is None or not browser.is_connected():
            browser = await self._stack.enter_async_context(open_chromium(*flags))
            self._running[flags] = browser
        return browser


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browsers() -> AsyncIterator[Browsers]:
    """The browsers of this run of tests."""
    async with AsyncExitStack() as stack:
        yield Browsers(stack)


@pytest_asyncio.fixture(loop_scope="session")
async def chromium(browsers: Browsers) -> AsyncIterator[Browser]:
    """A Chromium; what the test opens in it is closed after the test."""
    browser = await browsers.get(AUTOPLAY)
    yield browser
    await close_profiles(browser)


@pytest_asyncio.fixture(loop_scope="session")
async def studio(browsers: Browsers) -> AsyncIterator[Browser]:
    """A Chromium with a camera and a microphone; what the test opens in it is closed after it."""
    browser = await browsers.get(AUTOPLAY, *FAKE_CAMERA)
    yield browser
    await close_profiles(browser)


async def close_profiles(browser: Browser) -> None:
    """Close all tabs, with the profiles that they are in."""
    for context in browser.contexts:
        await context.close()


@pytest_asyncio.fixture(loop_scope="session")
async def context(chromium: Browser) -> BrowserContext:
    """A fresh profile in it."""
    return await chromium.new_context()


@pytest_asyncio.fixture(loop_scope="session")
async def demo(tmp_path: Path) -> AsyncIterator[ServerProcess]:
    """A server that streams `demo:`."""
    async with running_server(tmp_path, "--source", "demo:") as server:
        yield server
