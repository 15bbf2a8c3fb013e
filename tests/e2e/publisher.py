"""A person who is recorded: opens the page, clicks Call, is seen and heard, hangs up."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from playwright.async_api import expect

from e2e.waiting import until

if TYPE_CHECKING:
    from playwright.async_api import BrowserContext, Page


@dataclass(frozen=True)
class DrawnCamera:
    """A camera that draws: the time strip and the flashing square of `icey.media.demo`."""

    width: int = 640
    height: int = 360
    fps: int = 15
    colour: str = "#204060"


@dataclass(frozen=True)
class Sent:
    """What a tab sent. Clocks are in ms since 1970; `drawn_ms` is that of the last picture."""

    first_ms: float
    last_ms: float
    frames: int
    size: tuple[int, int]
    limitation: str
    codec: str
    audio_packets: int
    wall_ms: float
    drawn_ms: float
    slack_ms: float

    @property
    def seconds(self) -> float:
        """From the first frame sent to the end of the last: that one is seen for a while, too."""
        between = (self.last_ms - self.first_ms) / 1000
        return between + between / max(1, self.frames - 1)

    @property
    def slack(self) -> float:
        """By how many seconds `first_ms` and `last_ms` may be late, each.

        The tab looks at its counters each 50 ms, and less often on a busy machine.
        """
        return self.slack_ms / 1000


class Publisher:
    """One tab on the real page of the real server, in record mode."""

    script = Path(__file__).with_name("publishing.js")

    def __init__(self, page: Page) -> None:
        self.page = page
        self.errors: list[str] = []
        page.on(
            "console",
            lambda line: self.errors.append(line.text) if line.type == "error" else None,
        )
        page.on("pageerror", lambda error: self.errors.append(str(error)))

    @classmethod
    async def open(
        cls,
        context: BrowserContext,
        url: str,
        camera: DrawnCamera | None = None,
        microphone: Literal["fake", "none", "late"] = "fake",
        token: str = "",
    ) -> Publisher:
        """Open the page and wait until it has found the server.

        Args:
            context: the profile.
            url: the server's.
            camera: what the page gets for a camera, with a microphone that beeps while the square
                flashes; None is Chromium's own fake.
            microphone: whether the drawn camera has one. `late`: it has, but it sends nothing
                before `unhold`.
            token: what the page asks for, where the server has one.
        """
        page = await context.new_page()
        studio = {"camera": vars(camera) if camera else None, "microphone": microphone}
        await page.add_init_script(f"window.studio = {json.dumps(studio)};")
        await page.add_init_script(path=cls.script)
        publisher = cls(page)
        await page.goto(url)
        if token:
            await page.get_by_label("Token", exact=True).fill(token)
            await page.keyboard.press("Enter")
        await expect(page.locator("#call")).to_be_enabled(timeout=10_000)
        return publisher

    async def call(self, *, deadline_s: float = 20) -> None:
        """Click Call and wait until the server writes."""
        await self.page.locator("#call").click()
        status = self.page.locator("#status")
        await expect(status).to_have_text("Recording.", timeout=deadline_s * 1000)

    async def sent(self) -> Sent:
        """What was sent so far."""
        return _sent(await self.page.evaluate("publishing.poll()"))

    async def hang_up(self) -> tuple[Sent, str]:
        """Click Hang up; what was sent until then, and the name of the last file."""
        result = _sent(await self.page.evaluate("publishing.hangUp()"))
        return result, await self.saved()

    async def saved(self, *, deadline_s: float = 20) -> str:
        """Wait until the page says which file there is."""
        status = self.page.locator("#status")

        async def name() -> str | None:
            found = re.fullmatch(r"Saved (.+\.mp4), [\d:]+\.", await status.inner_text())
            return found[1] if found else None

        file: str = await until(name, "the page tells what was saved", deadline_s=deadline_s)
        return file

    async def switch(self, device: Literal["microphone", "camera"]) -> None:
        """Click the button of a device."""
        await self.page.locator(f"#{device}").click()


def _sent(found: dict[str, Any]) -> Sent:
    return Sent(
        first_ms=found["firstMs"],
        last_ms=found["lastMs"],
        frames=found["frames"],
        size=(found["width"], found["height"]),
        limitation=found["limitation"],
        codec=found["codec"],
        audio_packets=found["audioPackets"],
        wall_ms=found["wallMs"],
        drawn_ms=found["drawnMs"],
        slack_ms=found["slackMs"],
    )
