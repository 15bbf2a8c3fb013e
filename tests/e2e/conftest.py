"""A server on the demo, and a browser with sound."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest_asyncio

from e2e.chromium import AUTOPLAY, open_chromium
from e2e.server_process import ServerProcess, running_server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from playwright.async_api import Browser, BrowserContext


@pytest_asyncio.fixture
async def chromium() -> AsyncIterator[Browser]:
    """A Chromium of this test's own."""
    async with open_chromium(AUTOPLAY) as browser:
        yield browser


@pytest_asyncio.fixture
async def context(chromium: Browser) -> BrowserContext:
    """A fresh profile in it."""
    return await chromium.new_context()


@pytest_asyncio.fixture
async def demo(tmp_path: Path) -> AsyncIterator[ServerProcess]:
    """A server that streams `demo:`."""
    async with running_server(tmp_path, "--source", "demo:") as server:
        yield server
