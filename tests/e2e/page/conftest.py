"""A browser tab with the page in it, and the scripted server behind it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest_asyncio

from e2e.chromium import AUTOPLAY, open_chromium
from e2e.page.fake_server import FakeServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest_asyncio.fixture
async def server() -> AsyncIterator[FakeServer]:
    """The scripted server, with an empty tab at `server.page`."""
    async with open_chromium(AUTOPLAY) as browser:
        yield FakeServer(await browser.new_page())
