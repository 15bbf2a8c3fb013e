"""A person with a browser tab: opens the page, clicks, and looks at the picture."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from playwright.async_api import expect

from e2e.waiting import until

if TYPE_CHECKING:
    from playwright.async_api import BrowserContext, Page


class Viewer:
    """One tab on the real page of the real server."""

    script = Path(__file__).with_name("watching.js")

    def __init__(self, page: Page) -> None:
        self.page = page
        self.errors: list[str] = []
        page.on(
            "console",
            lambda line: self.errors.append(line.text) if line.type == "error" else None,
        )
        page.on("pageerror", lambda error: self.errors.append(str(error)))

    @classmethod
    async def open(cls, context: BrowserContext, url: str) -> Viewer:
        """Open the page and wait until it has found the server."""
        page = await context.new_page()
        await page.add_init_script(path=cls.script)
        viewer = cls(page)
        await page.goto(url)
        await viewer.ready()
        return viewer

    async def ready(self) -> None:
        """Wait until Watch can be clicked."""
        await expect(self.page.locator("#watch")).to_be_enabled(timeout=10_000)

    async def watch(self) -> None:
        """Click Watch and wait until the picture moves."""
        await self.page.locator("#watch").click()
        await self.playing()

    async def playing(self, *, deadline_s: float = 15) -> None:
        """Wait until the page says that it plays and pictures really are decoded."""
        status = self.page.locator("#status")
        await expect(status).to_have_text("Playing.", timeout=deadline_s * 1000)
        await self.moves(deadline_s=deadline_s)

    async def moves(self, *, pictures: int = 5, deadline_s: float = 15) -> None:
        """Wait until this many more pictures are decoded than now."""
        first = (await self.stats())["framesDecoded"]

        async def moved() -> bool:
            return bool((await self.stats())["framesDecoded"] >= first + pictures)

        await until(moved, f"{pictures} more pictures after {first}", deadline_s=deadline_s)

    async def hang_up(self) -> None:
        """Click Hang up."""
        await self.page.locator("#hangup").click()
        await expect(self.page.locator("#watch")).to_be_visible()

    async def stats(self) -> dict[str, float]:
        """Counters of the call; see watching.js."""
        found: dict[str, float] = await self.page.evaluate("watching.stats()")
        return found

    async def pixels(self, points: list[tuple[float, float]]) -> list[tuple[int, int, int]]:
        """Colours at points given in fractions of the picture."""
        found: Any = await self.page.evaluate("points => watching.pixels(points)", points)
        return [tuple(pixel) for pixel in found]

    async def frame_rate(self, seconds: float) -> float:
        """Pictures decoded a second, over the next `seconds`."""
        before = await self.stats()
        await self.page.wait_for_timeout(seconds * 1000)
        after = await self.stats()
        pictures = after["framesDecoded"] - before["framesDecoded"]
        return pictures / (after["at"] - before["at"]) * 1000
