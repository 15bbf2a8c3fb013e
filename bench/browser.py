"""What a person at a browser notices: how long after the click, how old the picture."""

from __future__ import annotations

import shutil
import statistics
from pathlib import Path
from typing import TYPE_CHECKING

from playwright.sync_api import sync_playwright

from bench import Row
from bench.server import Server

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Page

CLICKS = 20
PICTURES = 150
PATIENCE_MS = 20_000
WATCHING = Path(__file__).parents[1] / "tests" / "e2e" / "watching.js"

# From the click to the first picture on screen, ms; the page forbids eval, so this is a function.
CLICK_TO_PICTURE = """() => new Promise(resolve => {
  const video = document.querySelector("#video");
  let clicked = 0;
  video.requestVideoFrameCallback(() => resolve(performance.now() - clicked));
  clicked = performance.now();
  document.querySelector("#watch").click();
})"""


def rows() -> Iterator[Row]:
    """Click Watch on the demo picture, again and again, then read its clock from the screen."""
    with Server({"source": "demo:"}) as server, sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium") or shutil.which("google-chrome"),
            args=[
                "--no-sandbox",
                "--disable-gpu",
                "--disable-background-networking",
                "--autoplay-policy=no-user-gesture-required",
            ],
        )
        page = browser.new_page()
        page.add_init_script(path=WATCHING)
        page.goto(server.url)
        first_picture = [_click(page) for _ in range(CLICKS)]
        page.click("#watch")
        page.wait_for_timeout(3000)  # the browser's jitter buffer finds its size
        glass = page.evaluate("count => watching.glass(count)", PICTURES)
        browser.close()
    yield Row(
        f"click to first picture, median of {CLICKS}",
        "150 ms",
        f"{statistics.median(first_picture):.0f} ms"
        f" ({min(first_picture):.0f}–{max(first_picture):.0f})",
    )
    yield Row(
        "capture to glass, median",
        "100 ms",
        f"{statistics.median(glass):.0f} ms"
        f" ({min(glass):.0f}–{max(glass):.0f}; {len(glass)} pictures)",
    )


def _click(page: Page) -> float:
    page.wait_for_selector("#watch:not([disabled])", timeout=PATIENCE_MS)
    took = float(page.evaluate(CLICK_TO_PICTURE))
    page.wait_for_timeout(300)
    page.click("#hangup")
    return took
