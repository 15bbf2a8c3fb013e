"""A person who broadcasts: opens the page of a relay, clicks Broadcast, is seen and heard."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from playwright.async_api import expect

from e2e.publisher import Publisher

if TYPE_CHECKING:
    from playwright.async_api import BrowserContext, Page

LIVE = "You are live."

LAYERS = """async () => {
    const layers = {};
    (await icey.peerConnection.getStats()).forEach((report) => {
        if (report.type !== "outbound-rtp" || report.kind !== "video") return;
        layers[report.rid ?? ""] = {
            at: report.timestamp / 1000,
            width: report.frameWidth ?? 0,
            frames: report.framesSent ?? 0,
            asked: (report.pliCount ?? 0) + (report.firCount ?? 0),
        };
    });
    return layers;
}"""


@dataclass(frozen=True)
class Layer:
    """What was sent of one size until `at` (s): its pictures, and the keyframes asked for."""

    at: float
    width: int
    frames: int
    asked: int


class Broadcaster:
    """One tab on the real page of the real server, in relay mode."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.errors: list[str] = []
        page.on(
            "console",
            lambda line: self.errors.append(line.text) if line.type == "error" else None,
        )
        page.on("pageerror", lambda error: self.errors.append(str(error)))

    @classmethod
    async def open(cls, context: BrowserContext, url: str) -> Broadcaster:
        """Open the page and wait until it has found the server."""
        page = await context.new_page()
        await page.add_init_script(path=Publisher.script)
        broadcaster = cls(page)
        await page.goto(url)
        await expect(page.locator("#broadcast")).to_be_enabled(timeout=10_000)
        return broadcaster

    async def go_live(self) -> None:
        """Click Broadcast and wait until the page says that it is live."""
        await self.page.locator("#broadcast").click()
        await expect(self.page.locator("#status")).to_have_text(LIVE, timeout=15_000)

    async def layers(self) -> dict[str, Layer]:
        """What was sent so far, by the name of the size; "" where there is one only."""
        found: dict[str, Any] = await self.page.evaluate(LAYERS)
        return {rid: Layer(**layer) for rid, layer in found.items()}

    async def frames(self) -> int:
        """How many pictures the camera gave that were sent, in whichever sizes."""
        return max((layer.frames for layer in (await self.layers()).values()), default=0)

    async def asked(self) -> tuple[float, int]:
        """The time (s), and how many keyframes of all sizes together were asked for until then."""
        layers = (await self.layers()).values()
        return max(layer.at for layer in layers), sum(layer.asked for layer in layers)

    async def glimpse(self, width: int, height: int) -> list[int]:
        """What the camera sees now, as so many grey values."""
        found: list[int] = await self.page.evaluate(
            "([w, h]) => publishing.glimpse(w, h)", [width, height]
        )
        return found
