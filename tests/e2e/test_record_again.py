"""Calls that break and go on, servers that come back, and the access token, while recording."""

from __future__ import annotations

import time
from typing import Any

import pytest
from bench.server import write_config
from playwright.async_api import expect

from e2e.chromium import AUTOPLAY, open_chromium
from e2e.publisher import DrawnCamera, Publisher
from e2e.recording_file import read_recording
from e2e.server_process import READY_WITHIN_S, running_server, start
from e2e.waiting import until

pytestmark = pytest.mark.alone

TOKEN = "correct-horse-battery"
RESTART_ICE = """async () => {
    const pc = window.before = icey.peerConnection;
    const ufrag = () => /a=ice-ufrag:(.*)/.exec(pc.remoteDescription.sdp)[1];
    const first = ufrag();
    Object.defineProperty(pc, "connectionState", { value: "failed", configurable: true });
    pc.onconnectionstatechange();
    delete pc.connectionState;
    while (ufrag() === first) await new Promise((done) => setTimeout(done, 20));
}"""


async def test_a_recording_outlives_its_path_and_its_server(tmp_path):
    """An ICE restart stays in one file; after a crash the camera goes on into another by itself.

    All of it with a token, which is in no link, no address and no line of the log.
    """
    folder = tmp_path / "recordings"
    settings: dict[str, Any] = {
        "auth": {"token": TOKEN},
        "media": {"mode": "record", "recordDir": str(folder)},
    }
    config, port = write_config(tmp_path, settings)
    settings["http"] = {"port": port}
    async with open_chromium(AUTOPLAY) as browser:
        server = await start(tmp_path, config, port)
        await until(server.answers, "the server answers", deadline_s=READY_WITHIN_S)
        publisher = await Publisher.open(
            await browser.new_context(), server.url, DrawnCamera(), token=TOKEN
        )
        await publisher.call()
        page, status = publisher.page, publisher.page.locator("#status")
        began_ms = time.time() * 1000
        await page.evaluate(RESTART_ICE)
        await expect(status).to_have_text("Recording.")
        before = (await publisher.sent()).frames

        async def goes_on() -> bool:
            return (await publisher.sent()).frames > before + 30

        await until(goes_on, "pictures after the restart of ICE")
        assert await page.evaluate("before === icey.peerConnection")
        killed_ms = time.time() * 1000
        await server.kill()
        await expect(status).to_contain_text("Waiting for it to come back", timeout=10_000)

        async with running_server(tmp_path, settings=settings) as server:
            await expect(status).to_have_text("Recording.", timeout=20_000)
            # The counters of the driver are those of the first call.
            await page.wait_for_timeout(2000)
            await page.locator("#hangup").click()
            name = await publisher.saved()
            await expect(page.locator("#recordings li")).to_have_count(2)
            recovered = next(folder.glob("*.recovered.mp4"))
            await expect(page.locator("#recordings .tag")).to_have_text("recovered")
            for file in (recovered.name, name):
                await page.locator(f'#recordings li[data-name="{file}"] button.play').click()
                await until(lambda: page.evaluate("playback.currentTime > 0.5"), "it plays")
                assert "signature=" in await page.evaluate("playback.currentSrc")
                assert TOKEN not in await page.content()
        assert TOKEN not in server.output
    first, second = read_recording(recovered), read_recording(folder / name)
    print(f"the kill cost {killed_ms - first.clocks[-1]:.0f} ms")  # noqa: T201
    assert killed_ms - first.clocks[-1] < 1500
    assert first.duration == pytest.approx((killed_ms - began_ms) / 1000, abs=2)
    assert second.duration > 1.5
    assert second.clocks[0] > killed_ms
