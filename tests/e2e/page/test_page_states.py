"""What the page says and shows: servers, refusals, loss and return, the access token, sound."""

from __future__ import annotations

import asyncio
import re

import pytest
from playwright.async_api import expect

from e2e.page.fake_server import WEB
from e2e.page.test_page_call import PLAYING, watch


async def test_lists_the_server(server):
    """The server is listed with its mode and what it can do."""
    await server.open_page()
    row = server.page.locator("#servers li")
    await expect(row).to_have_count(1)
    await expect(row).to_contain_text("icey")
    await expect(row).to_contain_text("stream")
    await expect(row).to_contain_text("view")
    await expect(server.page.locator("#status")).to_have_text("Ready.")


async def test_names_are_text(server):
    """A name that looks like markup is shown, not run."""
    server.server_peer["name"] = "<img src=x onerror=alert(1)>"
    await server.open_page()
    await expect(server.page.locator("#servers strong")).to_contain_text("<img src=x")
    assert await server.page.locator("#servers img").count() == 0


async def test_nothing_to_watch(server):
    """A server without the capability to be watched cannot be called from here."""
    server.server_peer.update(mode="record", capabilities=["publish"])
    await server.open_page()
    await expect(server.page.locator("#servers li")).to_have_count(1)
    await expect(server.page.locator("#watch")).to_be_disabled()
    await expect(server.page.locator("#watch")).to_have_attribute("title", re.compile("nothing"))


@pytest.mark.parametrize(
    ("reason", "advice"),
    [
        ("codec: browser offers no H.264", "Use a browser with H.264"),
        ("source unavailable: film.mp4: No such file or directory", "Check media.source"),
        ("the moon is in the wrong phase", "wrong phase"),
    ],
)
async def test_refusal_is_shown(server, reason, advice):
    """A refused call shows the server's reason word for word, and what helps if known."""

    async def reject(frame):
        server.call("call:reject", reason=reason)

    server.answers["call:init"] = reject
    await server.open_page()
    await server.page.locator("#watch").click()
    problem = server.page.locator("#problem")
    await expect(problem).to_contain_text(reason)
    await expect(problem).to_contain_text(advice)
    await expect(server.page.locator("#watch")).to_be_enabled()


async def test_source_ended_is_no_problem(server):
    """The end of a file that does not loop is a state, not an error."""
    await watch(server)
    server.call("call:hangup", reason="source ended")
    await expect(server.page.locator("#status")).to_have_text("The stream has ended: source ended.")
    await expect(server.page.locator("#problem")).to_be_hidden()
    await expect(server.page.locator("#watch")).to_be_visible()


@pytest.mark.parametrize("reason", ["", "server is shutting down"])
async def test_survives_a_restart(server, reason):
    """While the server is away the page says so; when it is back, what was watched plays on."""
    await watch(server)
    await server.stop(reason=reason)
    await expect(server.page.locator("#connection")).to_have_text("Reconnecting")
    await expect(server.page.locator("#status")).to_contain_text("Waiting for it to come back")
    server.start()
    await expect(server.page.locator("#status")).to_have_text(PLAYING, timeout=15_000)
    assert await server.page.evaluate("video.muted") is False


async def test_hung_up_stays_hung_up(server):
    """After a hang-up a restart of the server brings the list back, not the call."""
    await watch(server)
    await server.page.locator("#hangup").click()
    await server.stop()
    await expect(server.page.locator("#status")).to_contain_text("cannot be reached")
    server.start()
    await expect(server.page.locator("#servers li")).to_have_count(1, timeout=15_000)
    await expect(server.page.locator("#status")).to_have_text("Ready.")
    assert len([frame for frame in server.frames if frame.get("subtype") == "call:init"]) == 1


async def test_blocked_socket_is_explained(server):
    """HTTP that works beside a WebSocket that does not has its causes named."""
    await server.install()
    await server.page.route_web_socket(
        re.compile(r"/ws$"), lambda socket: asyncio.ensure_future(socket.close(code=1011))
    )
    await server.page.goto("http://localhost/")
    problem = server.page.locator("#problem")
    await expect(problem).to_contain_text("auth.allowedOrigins", timeout=15_000)


async def test_token_is_asked_for_and_kept(server):
    """401 asks for the token, a wrong one again; it stays for the tab and is in no URL."""
    server.token = "open sesame/+?"
    await server.open_page()
    dialog = server.page.locator("#token-dialog")
    field = server.page.get_by_label("Token", exact=True)
    await expect(dialog).to_be_visible()
    await field.fill("wrong")
    await field.press("Enter")
    await expect(dialog).to_contain_text("did not accept")
    await field.fill(server.token)
    await field.press("Enter")
    await expect(server.page.locator("#servers li")).to_have_count(1)
    await expect(dialog).to_be_hidden()
    await server.page.reload()
    await expect(server.page.locator("#servers li")).to_have_count(1)
    await expect(dialog).to_be_hidden()
    assert {frame["token"] for frame in server.frames if frame["type"] == "auth"} == {server.token}
    assert not [request.url for request in server.requests if "sesame" in request.url]
    assert "sesame" not in server.page.url
    assert await server.page.evaluate("Object.values(localStorage)") == []


async def test_revoked_token_is_asked_for_again(server):
    """A token that the server no longer takes after its restart is asked for again."""
    await server.open_page()
    await expect(server.page.locator("#servers li")).to_have_count(1)
    await server.stop()
    server.token = "new"
    server.start()
    await expect(server.page.locator("#token-dialog")).to_be_visible(timeout=15_000)
    await server.page.get_by_label("Token", exact=True).fill("new")
    await server.page.keyboard.press("Enter")
    await expect(server.page.locator("#servers li")).to_have_count(1)


async def test_refused_sound_plays_muted(server):
    """Where the browser refuses sound, the picture plays muted beside a button that unmutes."""
    await server.page.add_init_script("""
        const play = HTMLMediaElement.prototype.play;
        HTMLMediaElement.prototype.play = function () {
            if (this.muted || window.clicked) return play.call(this);
            return Promise.reject(new DOMException("no gesture", "NotAllowedError"));
        };
    """)
    await watch(server)
    assert await server.page.evaluate("video.muted") is True
    await server.page.evaluate("window.clicked = true")
    await server.page.get_by_role("button", name="Unmute").click()
    await expect(server.page.locator("#unmute")).to_be_hidden()
    assert await server.page.evaluate("video.muted") is False
    await server.page.keyboard.press("m")
    assert await server.page.evaluate("video.muted") is True


async def test_stopped_pictures_are_noticed(server):
    """A connection that stays up without pictures is not called playing."""
    await watch(server)
    await server.page.evaluate("callee.pause(true)")
    await expect(server.page.locator("#status")).to_contain_text("No pictures", timeout=10_000)
    await server.page.evaluate("callee.pause(false)")
    await expect(server.page.locator("#status")).to_have_text(PLAYING, timeout=10_000)


async def test_strict_policy_and_clean_console(server):
    """The page breaks no rule of its Content-Security-Policy, loads all it names, and only that."""
    await watch(server)
    await server.page.locator("#hangup").click()
    assert [line for line in server.console if not line.startswith("verbose")] == []
    assert all(request.url.startswith("http://localhost/") for request in server.requests)
    html = (WEB / "index.html").read_text()
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=", html)


async def test_everything_has_a_name(server):
    """Each control has an accessible name, the status is announced, focus stays on the buttons."""
    await watch(server)
    names = await server.page.evaluate(
        "[...document.querySelectorAll('button')].map(button => button.textContent.trim())"
    )
    assert all(names)
    await expect(server.page.get_by_role("status")).to_have_attribute("aria-live", "polite")
    await expect(server.page.locator("#hangup")).to_be_focused()
    await server.page.keyboard.press("Enter")
    await expect(server.page.locator("#watch")).to_be_focused()


@pytest.mark.parametrize("width", [320, 390, 768, 1280])
async def test_fits_any_width(server, width):
    """Nothing sticks out to the side, from a small phone to a desktop."""
    await server.page.set_viewport_size({"width": width, "height": 720})
    await watch(server)
    assert await server.page.evaluate("document.documentElement.scrollWidth") <= width
