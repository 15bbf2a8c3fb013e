"""The web UI's files."""

import httpx
import pytest
from starlette.responses import FileResponse

from icey.server.page import SMALL_BYTES, Page


@pytest.fixture
async def site(make_server, tmp_path):
    """A server with a small web root that has secrets in and around it."""
    root = tmp_path / "web"
    (root / "js").mkdir(parents=True)
    (root / ".git").mkdir()
    (root / "index.html").write_text("<!doctype html>hello")
    (root / "js" / "main.js").write_text("export {}")
    (root / "style.css").write_text("p{}")
    (root / ".env").write_text("SECRET")
    (root / ".git" / "config").write_text("SECRET")
    (tmp_path / "outside.txt").write_text("SECRET")
    (root / "link.txt").symlink_to(tmp_path / "outside.txt")
    async with (
        make_server(root=root) as server,
        httpx.AsyncClient(base_url=server.url) as http,
    ):
        yield http


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/", "text/html"),
        ("/index.html", "text/html"),
        ("/js/main.js", "javascript"),
        ("/style.css", "text/css"),
    ],
)
async def test_files_with_their_types(site, path, kind):
    """Modules run only as JavaScript, since sniffing is off."""
    answer = await site.get(path)
    assert answer.status_code == 200
    assert kind in answer.headers["content-type"]


async def test_an_update_is_seen_at_once_and_cheaply(site):
    """Browsers revalidate at each load, and get 304 where nothing changed."""
    answer = await site.get("/js/main.js")
    assert answer.headers["cache-control"] == "no-cache"
    again = await site.get("/js/main.js", headers={"If-None-Match": answer.headers["etag"]})
    assert again.status_code == 304


@pytest.mark.parametrize(
    "path",
    [
        "/.env",
        "/.git/config",
        "/../outside.txt",
        "/%2e%2e/outside.txt",
        "/js/..%2f..%2foutside.txt",
        "//etc/passwd",
        "/%2fetc%2fpasswd",
        "/link.txt",
        "/js",
        "/js/",
        "/missing",
        "/index.html%00",
        "/" + "x" * 3000,
    ],
)
async def test_nothing_else_is_served(site, path):
    """Dot files, files outside and listings are not served."""
    answer = await site.get(path)
    assert answer.status_code == 404
    assert "SECRET" not in answer.text


async def test_head_and_range(site):
    """HEAD and Range work as for any static file."""
    head = await site.head("/")
    assert (head.status_code, head.content) == (200, b"")
    part = await site.get("/", headers={"Range": "bytes=0-1"})
    assert (part.status_code, part.content) == (206, b"<!")


async def test_other_methods(site):
    """Other methods than GET and HEAD get 405."""
    assert (await site.post("/index.html")).status_code == 405


async def test_slow_readers_hold_no_file(site, tmp_path):
    """Small files are sent from memory with all their headers, large ones from the disk."""
    (tmp_path / "web" / "large.bin").write_bytes(bytes(SMALL_BYTES + 1))
    for path, size in (("/style.css", 3), ("/large.bin", SMALL_BYTES + 1)):
        for _ in range(2):
            answer = await site.get(path)
            assert (answer.status_code, len(answer.content)) == (200, size)
            assert {"etag", "last-modified", "content-length"} <= answer.headers.keys()
    folder = tmp_path / "web"
    page, scope = Page(folder), {"type": "http", "method": "GET", "headers": []}
    assert not isinstance(await page.get_response("style.css", scope), FileResponse)
    assert isinstance(await page.get_response("large.bin", scope), FileResponse)
