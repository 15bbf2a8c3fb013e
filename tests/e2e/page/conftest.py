"""A browser tab with the page in it, and the scripted server behind it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest_asyncio

from e2e.page.fake_server import FakeServer

if TYPE_CHECKING:
    from playwright.async_api import Browser


@pytest_asyncio.fixture(loop_scope="session")
async def server(chromium: Browser) -> FakeServer:
    """The scripted server, with an empty tab at `server.page`."""
    return FakeServer(await chromium.new_page())
