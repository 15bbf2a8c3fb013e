"""Starts Debian's Chromium for a test, as a person's browser would be: with codecs and sound."""

from __future__ import annotations

import shutil
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import psutil
from playwright.async_api import async_playwright

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from playwright.async_api import Browser

# Playwright's own Chromium build has no H.264; Debian's and Google's have.
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    # No desktop bus here: without this, every start waits for one.
    "--disable-features=DBus",
)
AUTOPLAY = "--autoplay-policy=no-user-gesture-required"
FAKE_CAMERA = (
    # A green picture with a pacman and a running time, and a beep each second.
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
)


def find_chromium() -> str:
    """Return the path of a Chromium with H.264, or say how to get one."""
    for name in NAMES:
        path = shutil.which(name)
        if path:
            return path
    message = f"no Chromium found (looked for {', '.join(NAMES)}): apt-get install chromium"
    raise FileNotFoundError(message)


@asynccontextmanager
async def open_chromium(
    *flags: str, drop: Sequence[str] = (), program: Path | None = None
) -> AsyncIterator[Browser]:
    """Run a headless Chromium.

    `drop` names flags of Playwright's own that shall be left out; `program` runs it otherwise.
    """
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=program or find_chromium(),
            args=[*FLAGS, *flags],
            ignore_default_args=list(drop) or None,
        )
        try:
            yield browser
        finally:
            await browser.close()


async def processes_of(browser: Browser, kind: str = "") -> list[psutil.Process]:
    """The processes of a browser that `open_chromium` started, those of one kind or all."""
    session = await browser.new_browser_cdp_session()
    found = (await session.send("SystemInfo.getProcessInfo"))["processInfo"]
    await session.detach()
    return [psutil.Process(one["id"]) for one in found if kind in ("", one["type"])]
