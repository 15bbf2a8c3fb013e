"""The page's list of what the server's detectors find."""

from __future__ import annotations

import pytest_asyncio
from playwright.async_api import expect

from e2e.page.fake_server import FakeServer


@pytest_asyncio.fixture(loop_scope="session")
async def server(chromium):
    """A scripted server, and a tab that watches it."""
    server = FakeServer(await chromium.new_page())
    await server.open_page()
    await server.page.locator("#watch").click()
    await server.sent("call:offer")
    return server


def motion(server, label="motion", detector="motion", **data):
    """Send an event of a picture."""
    found = [{"label": label, "confidence": 0.5, "trackId": "", "data": {}}]
    server.call("icey:vision", type="detect", detector=detector, detections=found, data=data)


def speech(server, phase):
    """Send an event of sound."""
    server.call("icey:speech", type=f"speech:{phase}", detector="energy", active=phase != "end")


async def test_hidden_until_something_is_found(server):
    """Without detectors there is no list; the first event shows it."""
    section = server.page.locator("#detections-section")
    await expect(section).to_be_hidden()
    motion(server)
    await expect(section).to_be_visible()
    await expect(server.page.locator("#detections li")).to_have_count(1)
    assert [line for line in server.console if not line.startswith("verbose")] == []


async def test_what_goes_on_is_one_line(server):
    """Events of one detector that follow each other are one line; another label is another."""
    for _ in range(3):
        motion(server)
    motion(server, label="cat", detector="objects")
    motion(server, label="dog", detector="objects")
    lines = server.page.locator("#detections li")
    await expect(lines).to_have_count(3)
    await expect(lines.nth(0)).to_contain_text("dog")
    await expect(lines.nth(1)).to_contain_text("cat")
    await expect(lines.nth(2)).to_contain_text("motion")


async def test_speech_until_its_end_is_one_line(server):
    """Start, updates and end are one line; the next start is another."""
    for phase in ("start", "update", "end", "start"):
        speech(server, phase)
    await expect(server.page.locator("#detections li")).to_have_count(2)


async def test_links_lead_to_this_server_only(server):
    """A snapshot is linked; a link to elsewhere, or a script, is not."""
    links = server.page.locator("#detections a")
    motion(server, snapshot={"path": "s.jpg", "url": "/artifacts/snapshots/s.jpg"})
    await expect(links).to_have_count(1)
    assert await links.first.get_attribute("href") == "http://localhost/artifacts/snapshots/s.jpg"
    await expect(links.first).to_have_text("Picture")
    motion(server, label="b", snapshot={"url": "https://elsewhere.example/s.jpg"})
    motion(server, label="c", clip={"url": "javascript:alert(1)"})
    motion(server, label="d", clip={"url": "/artifacts/clips/c.mp4"})
    await expect(server.page.locator("#detections li")).to_have_count(4)
    await expect(links).to_have_count(2)
    await expect(links.first).to_have_text("Clip")


async def test_text_stays_text(server):
    """What a detector calls things is shown, never run, and strange events do no harm."""
    motion(server, label="<img src=x onerror=alert(1)>")
    server.call("icey:vision", detections="no list", detector=7)
    server.call("icey:speech")
    await expect(server.page.locator("#detections li")).to_have_count(3)
    await expect(server.page.locator("#detections li").last).to_contain_text("<img src=x")
    assert await server.page.locator("#detections img").count() == 0
    assert [line for line in server.console if not line.startswith("verbose")] == []


async def test_a_new_call_begins_with_an_empty_list(server):
    """Watching again clears what the last stream showed, and twenty lines are the most."""
    for number in range(25):
        motion(server, label=f"thing {number}")
    await expect(server.page.locator("#detections li")).to_have_count(20)
    await server.page.locator("#hangup").click()
    await expect(server.page.locator("#detections li")).to_have_count(20)
    await server.page.locator("#watch").click()
    await expect(server.page.locator("#detections-section")).to_be_hidden()


async def test_others_cannot_write_into_the_list(server):
    """An event that is not from a server in sight is ignored."""
    server.send(
        {
            "type": "message",
            "subtype": "icey:vision",
            "from": "mallory|1",
            "to": "me",
            "data": {"detector": "motion", "detections": []},
        }
    )
    speech(server, "start")
    await expect(server.page.locator("#detections li")).to_have_count(1)
    await expect(server.page.locator("#detections li")).to_contain_text("speech")
