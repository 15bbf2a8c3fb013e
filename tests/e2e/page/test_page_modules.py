"""Pure functions of the page's modules, called in the browser."""

from __future__ import annotations

from playwright.async_api import expect


async def test_backoff_doubles_up_to_a_ceiling(server):
    """Waits grow from 0.4 s to 10 s, spread by a quarter to either side."""
    await server.open_page()
    script = """async random => {
        const { backoff } = await import("/js/symple.js");
        return [1, 2, 3, 10, 500].map(attempt => backoff(attempt, random));
    }"""
    assert await server.page.evaluate(script, 0.5) == [400, 800, 1600, 10_000, 10_000]
    assert await server.page.evaluate(script, 0) == [300, 600, 1200, 7_500, 7_500]


async def test_quality_line(server):
    """Two samples a second apart give frames and megabits a second."""
    await server.open_page()
    line = await server.page.evaluate("""async () => {
        const { describe } = await import("/js/stats.js");
        const size = { width: 1280, height: 720 };
        const first = { at: 1000, bytes: 0, frames: 10, ...size };
        return describe(first, { at: 2000, bytes: 250000, frames: 40, ...size });
    }""")
    assert line == "1280 × 720 · 30 fps · 2.0 Mb/s"


async def test_odd_frames_are_survived(server):
    """Whatever comes over the socket, the page stays up and connected."""
    await server.open_page()
    await expect(server.page.locator("#watch")).to_be_enabled()
    assert server.socket is not None
    for text in ("", "{", "null", "[]", "7", '"x"', '{"type":1}', '{"type":"presence"}',
                 '{"type":"presence","data":{"id":1}}', '{"type":"message","subtype":7}',
                 '{"type":"error"}', '{"type":"welcome"}', '{"type":"unheard of"}'):  # fmt: skip
        server.socket.send(text)
    await server.page.locator("#watch").click()
    await server.sent("call:init")
    assert not [line for line in server.console if line.startswith("error")]
