"""Recordings over HTTP."""

import asyncio
import os
import re
import threading
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path

import av
import httpx
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.routing import Route

from icey.recording.library import Library
from icey.server.artifacts import _File, _find

TOKEN = "s3cret-t0ken"
NAME = "alice-20261124T101112.345Z.mp4"


@pytest.fixture
async def http():
    """A client that keeps no connection open between tests."""
    async with httpx.AsyncClient(timeout=5) as client:
        yield client


@pytest.fixture
def folder(tmp_path):
    """A folder of recordings with two in it, and with what is nobody's business."""
    folder = tmp_path / "takes"
    folder.mkdir()
    write_mp4(folder / NAME)
    write_mp4(folder / "bob-20261124T121314.000Z.recovered.mp4")
    (folder / "alice-20261125T101112.345Z.mp4.part").write_bytes(b"open")
    (folder / ".hidden.mp4").write_bytes(b"hidden")
    (folder / "notes.txt").write_text("private")
    (tmp_path / "outside.mp4").write_bytes(b"outside")
    (folder / "link.mp4").symlink_to(tmp_path / "outside.mp4")
    (folder / "alias.mp4").symlink_to(folder / ".hidden.mp4")
    (folder / "alias-of-part.mp4").symlink_to(folder / "alice-20261125T101112.345Z.mp4.part")
    (folder / "loop-20261124T101112.345Z.mp4").symlink_to("loop-20261124T101112.345Z.mp4")
    (folder / "link-20261124T101112.345Z.mp4").symlink_to(tmp_path / "outside.mp4")
    (folder / "folder.mp4").mkdir()
    os.mkfifo(folder / "fifo.mp4")
    os.mkfifo(folder / "fifo-20261124T101112.345Z.mp4")
    (folder / "clips").mkdir()
    (folder / "clips" / "one.mp4").write_bytes(b"clip")
    return folder


def write_mp4(path):
    """A second of grey, 64x48."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for index in range(10):
            frame = av.VideoFrame.from_ndarray(np.full((72, 64), 128, np.uint8), "yuv420p")
            frame.pts, frame.time_base = index, Fraction(1, 10)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


@pytest.fixture
async def server(make_server, folder):
    """A server whose recordings these are."""
    async with make_server({"media": {"source": "demo:", "recordDir": folder}}) as server:
        yield server


@pytest.fixture
async def guarded(make_server, folder):
    """The same with a token."""
    configured = {
        "auth": {"token": TOKEN},
        "media": {"source": "demo:", "recordDir": folder},
    }
    async with make_server(configured) as server:
        yield server


async def test_the_list(server, http):
    """The list has the finished recordings, newest first, and nothing else of the folder."""
    answer = await http.get(f"{server.url}/api/recordings")
    assert answer.status_code == 200
    body = answer.json()
    assert body["status"] == "ok"
    assert body["warnings"] == []
    recovered, complete = body["recordings"]
    assert complete.pop("size") > 500
    assert complete == {
        "name": NAME,
        "start": "2026-11-24T10:11:12.345Z",
        "duration": 1.0,
        "codec": "h264",
        "video": "h264",
        "audio": None,
        "width": 64,
        "height": 48,
        "status": "complete",
        "url": f"/artifacts/{NAME}",
    }
    assert recovered["status"] == "recovered"


async def test_every_field_is_documented(server, http):
    """docs/http-api.md names each field of the list."""
    text = (Path(__file__).parents[3] / "docs" / "http-api.md").read_text()
    section = text.partition("## GET /api/recordings\n")[2].partition("\n## ")[0]
    body = (await http.get(f"{server.url}/api/recordings")).json()
    for name in (*body, *body["recordings"][0]):
        assert f"`{name}`" in section or f"`{name}[]`" in section, name


async def test_a_folder_that_is_not_there_is_an_empty_list(make_server, http, tmp_path):
    """A folder that is not there yet gives an empty list without a warning."""
    async with make_server({"media": {"recordDir": tmp_path / "none"}}) as server:
        answer = await http.get(f"{server.url}/api/recordings")
        assert answer.json() == {"status": "ok", "recordings": [], "warnings": []}
        assert (await http.get(f"{server.url}/artifacts/{NAME}")).status_code == 404


async def test_a_file_that_is_broken_hides_no_other(server, http, folder):
    """What FFmpeg cannot read is left out of the list."""
    (folder / "carol-20261124T101112.345Z.mp4").write_bytes(b"not an mp4")
    body = (await http.get(f"{server.url}/api/recordings")).json()
    assert len(body["recordings"]) == 2


async def test_a_folder_that_cannot_be_read_is_said(make_server, http, tmp_path):
    """A folder that cannot be read gives an empty list and a warning without the path."""
    async with make_server({"media": {"recordDir": tmp_path / ("x" * 300)}}) as server:
        answer = await http.get(f"{server.url}/api/recordings")
        assert answer.status_code == 200
        body = answer.json()
        assert body["recordings"] == []
        assert body["warnings"] == ["the folder of recordings cannot be read: File name too long"]
        assert (await http.get(f"{server.url}/artifacts/{NAME}")).status_code == 404


async def test_a_slow_disk_delays_nobody_else(server, http, monkeypatch):
    """However many ask for the list, one thread reads the folder, and the server answers others.

    Who asks while a list is made gets a newer one: a file may have been finished since it began.
    """
    disk, lists = threading.Event(), []
    list_recordings = Library.list_recordings

    def slowly(library):
        lists.append(1)
        assert disk.wait(10)
        return list_recordings(library)

    monkeypatch.setattr(Library, "list_recordings", slowly)
    first = asyncio.create_task(http.get(f"{server.url}/api/recordings"))
    async with asyncio.timeout(5):
        while not lists:
            await asyncio.sleep(0.01)
    others = [asyncio.create_task(http.get(f"{server.url}/api/recordings")) for _ in range(40)]
    for path in ("/api/health", "/api/status", f"/artifacts/{NAME}"):
        assert (await http.get(server.url + path)).status_code == 200
    others[0].cancel()  # takes the list from nobody else
    assert len(lists) == 1
    disk.set()
    answers = [await first, *await asyncio.gather(*others[1:])]
    assert {len(answer.json()["recordings"]) for answer in answers} == {2}
    assert len(lists) == 2


async def test_a_whole_file_and_parts_of_it(server, http, folder):
    """Range requests, as a browser that seeks makes them (RFC 9110 §14)."""
    url, whole = f"{server.url}/artifacts/{NAME}", (folder / NAME).read_bytes()
    answer = await http.get(url)
    assert (answer.status_code, answer.content) == (200, whole)
    assert answer.headers["content-type"] == "video/mp4"
    assert answer.headers["accept-ranges"] == "bytes"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-disposition"] == f'inline; filename="{NAME}"'
    size = len(whole)
    for asked, start, end in [
        ("bytes=0-99", 0, 100),
        ("bytes=100-", 100, size),
        ("bytes=-50", size - 50, size),
        (f"bytes=10-{size * 2}", 10, size),
    ]:
        answer = await http.get(url, headers={"Range": asked})
        assert answer.status_code == 206, asked
        assert answer.content == whole[start:end]
        assert answer.headers["content-range"] == f"bytes {start}-{end - 1}/{size}"
    answer = await http.get(url, headers={"Range": f"bytes={size}-"})
    assert answer.status_code == 416
    assert answer.headers["content-range"] == f"bytes */{size}"
    answer = await http.head(url)
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-length"] == str(size)


async def test_several_parts_at_once(server, http, folder):
    """A set of ranges is answered as multipart/byteranges (RFC 9110 §14.6)."""
    url, whole = f"{server.url}/artifacts/{NAME}", (folder / NAME).read_bytes()
    answer = await http.get(url, headers={"Range": "bytes=0-9, 100-109, -5"})
    assert answer.status_code == 206
    assert split_parts(answer) == [
        (0, whole[:10]),
        (100, whole[100:110]),
        (len(whole) - 5, whole[-5:]),
    ]


async def test_parts_of_the_same_file_only(server, http, folder):
    """If-Range gives the range of an unchanged file, else the whole file (RFC 9110 §13.1.5)."""
    url, whole = f"{server.url}/artifacts/{NAME}", (folder / NAME).read_bytes()
    known = (await http.head(url)).headers
    for validator, status in [
        (known["etag"], 206),
        (known["last-modified"], 206),
        ('"another"', 200),
        (f"W/{known['etag']}", 200),
        ("Mon, 01 Jan 2001 00:00:00 GMT", 200),
    ]:
        answer = await http.get(url, headers={"Range": "bytes=0-9", "If-Range": validator})
        assert answer.status_code == status, validator
        assert answer.content == (whole[:10] if status == 206 else whole)


async def test_a_range_that_counts_for_nothing(server, http, folder):
    """Broken ranges, those of other units and those of HEAD are ignored: the whole file comes."""
    url, size = f"{server.url}/artifacts/{NAME}", (folder / NAME).stat().st_size
    for asked in ("items=0-5", "bytes=x", "bytes=5-2", "bytes", "bytes=0-5,99999999-"):
        answer = await http.get(url, headers={"Range": asked})
        assert (answer.status_code, len(answer.content)) == (200, size), asked
    answer = await http.head(url, headers={"Range": "bytes=0-5"})
    assert (answer.status_code, answer.headers["content-length"]) == (200, str(size))


def split_parts(answer):
    """Offset and bytes of each part of a multipart/byteranges body."""
    boundary = answer.headers["content-type"].partition("boundary=")[2].encode()
    assert answer.headers["content-length"] == str(len(answer.content))
    parts = []
    for piece in answer.content.split(b"--" + boundary)[1:-1]:
        head, _, body = piece.partition(b"\r\n\r\n")
        start = re.search(rb"(?i)content-range: bytes (\d+)-", head)
        parts.append((int(start[1]), body.removesuffix(b"\r\n")))
    return parts


WHOLE = bytes(range(256)) * 4


@pytest.fixture(scope="module")
def ranges(tmp_path_factory):
    """What asks for a range of a file of known bytes."""
    path = tmp_path_factory.mktemp("ranges") / "a.mp4"
    path.write_bytes(WHOLE)

    def answer(_request):
        return _File(path, stat_result=path.stat(), media_type="video/mp4")

    app = httpx.ASGITransport(Starlette(routes=[Route("/a", answer)]))

    async def ask(asked):
        async with httpx.AsyncClient(transport=app, base_url="http://x") as client:
            return await client.get("/a", headers={"Range": asked})

    return lambda asked: asyncio.run(ask(asked))


@settings(deadline=None)
@given(
    asked=st.one_of(
        st.text(st.characters(max_codepoint=255, exclude_categories=["Cc"])),
        st.from_regex(
            r"bytes=([0-9]{0,4}-[0-9]{0,4}, ?){0,5}[0-9]{0,4}-[0-9]{0,4}", fullmatch=True
        ),
    )
)
def test_whatever_range_is_asked_for(ranges, asked):
    """Any range gives the whole file, the right parts of it, or 416."""
    answer = ranges(asked.encode("latin-1"))
    if answer.status_code == 200:
        assert answer.content == WHOLE
    elif answer.status_code == 416:
        assert answer.headers["content-range"] == f"bytes */{len(WHOLE)}"
    else:
        assert answer.status_code == 206
        if "content-range" in answer.headers:
            start = int(re.match(r"bytes (\d+)-", answer.headers["content-range"])[1])
            parts = [(start, answer.content)]
        else:
            parts = split_parts(answer)
        for start, part in parts:
            assert part
            assert WHOLE[start : start + len(part)] == part


@pytest.mark.parametrize(
    "path",
    [
        "",
        ".",
        "clips",
        "clips/",
        ".hidden.mp4",
        "notes.txt",
        "alice-20261125T101112.345Z.mp4.part",
        "../outside.mp4",
        "%2e%2e/outside.mp4",
        "..%2foutside.mp4",
        "clips/../../outside.mp4",
        "/etc/passwd",
        "%2Fetc%2Fpasswd",
        "..%5coutside.mp4",
        "link.mp4",
        "alias.mp4",
        "alias-of-part.mp4",
        "loop-20261124T101112.345Z.mp4",
        "folder.mp4",
        f"{NAME}/",
        f"{NAME}/x.mp4",
        f"./{NAME}",
        f"clips/../{NAME}",
        f"/{NAME}",
        "%252e%252e/outside.mp4",
        "%ff.mp4",
        ".mp4",
        "fifo.mp4",
        "a%00.mp4",
        "x" * 300 + ".mp4",
    ],
)
async def test_what_is_not_served(server, path):
    """Whatever is no finished file of the folder gets 404."""
    answer = await get_unchanged(server, f"/artifacts/{path}")
    assert answer.startswith(b"HTTP/1.1 404 ")
    assert b"outside" not in answer
    assert b"root:" not in answer


async def test_a_path_that_is_served_unchanged(server, folder):
    """The way in which the paths above are sent does reach a file."""
    answer = await get_unchanged(server, f"/artifacts/{NAME}")
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.endswith((folder / NAME).read_bytes())


async def get_unchanged(server, target):
    """Ask for a target as it stands: libraries take `..` out before they send it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(f"GET {target} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode())
    async with asyncio.timeout(5):
        answer = await reader.read(-1)
    writer.close()
    await writer.wait_closed()
    return answer


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
async def test_files_are_only_read(server, http, folder, method):
    """Every method but GET and HEAD gets 405, and the file stays."""
    before = (folder / NAME).read_bytes()
    answer = await http.request(method, f"{server.url}/artifacts/{NAME}", content=b"x")
    assert answer.status_code == 405
    assert set(answer.headers["allow"].split(", ")) == {"GET", "HEAD"}
    assert (folder / NAME).read_bytes() == before


async def test_a_picture_has_its_type(server, http, folder):
    """Snapshots are served as JPEG."""
    (folder / "still.jpg").write_bytes(b"\xff\xd8\xff")
    answer = await http.get(f"{server.url}/artifacts/still.jpg")
    assert answer.headers["content-type"] == "image/jpeg"
    assert answer.headers["content-disposition"] == 'inline; filename="still.jpg"'


async def test_a_name_with_other_letters_is_served(server, http, folder):
    """Names come as UTF-8, quoted in the path and in the answer (RFC 6266, RFC 8187)."""
    (folder / "Tür 1.mp4").write_bytes(b"door")
    answer = await http.get(f"{server.url}/artifacts/T%C3%BCr%201.mp4")
    assert answer.content == b"door"
    assert answer.headers["content-disposition"] == "inline; filename*=utf-8''T%C3%BCr%201.mp4"


async def test_a_folder_that_is_a_link_is_served(make_server, http, folder, tmp_path):
    """The folder of recordings may be a symbolic link."""
    (tmp_path / "elsewhere").symlink_to(folder)
    async with make_server({"media": {"recordDir": tmp_path / "elsewhere"}}) as server:
        assert (await http.get(f"{server.url}/artifacts/{NAME}")).status_code == 200
        body = (await http.get(f"{server.url}/api/recordings")).json()
        assert len(body["recordings"]) == 2


async def test_a_viewer_who_leaves_costs_nothing(server, http, folder):
    """A download that is broken off closes its file, and the server goes on."""
    big = folder / "big.mp4"
    with big.open("wb") as file:
        file.truncate(64 << 20)
    async with http.stream("GET", f"{server.url}/artifacts/big.mp4") as answer:
        await anext(answer.aiter_raw(1000))
        assert open_files(big) == 1
    async with asyncio.timeout(5):
        while open_files(big):
            await asyncio.sleep(0.01)
    assert (await http.get(f"{server.url}/artifacts/{NAME}")).status_code == 200


def open_files(path):
    """How often this process has a file open."""
    found = 0
    for descriptor in Path("/proc/self/fd").iterdir():
        try:
            found += descriptor.readlink() == path
        except FileNotFoundError:  # closed meanwhile
            continue
    return found


async def test_a_clip_in_a_folder_is_served(server, http):
    """Folders below that of recordings have clips and snapshots."""
    assert (await http.get(f"{server.url}/artifacts/clips/one.mp4")).content == b"clip"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    parts=st.lists(
        st.one_of(st.sampled_from(["..", ".", "", "link.mp4", "clips", "takes"]), st.text()),
        max_size=6,
    ),
    ending=st.sampled_from(["", ".mp4", "outside.mp4", "/outside.mp4"]),
)
def test_no_path_leads_outside(folder, parts, ending):
    """Whatever the path, a file that is found lies in the folder."""
    found = _find(folder, "/".join(parts) + ending)
    assert found is None or found[0].is_relative_to(folder.resolve())


async def test_a_link_of_the_list_opens_its_file_alone(guarded, http):
    """The token is in no link; a link opens one path, and not with a changed signature."""
    denied = await http.get(f"{guarded.url}/artifacts/{NAME}")
    assert denied.status_code == 401
    assert (await http.get(f"{guarded.url}/api/recordings")).status_code == 401
    answer = await http.get(f"{guarded.url}/api/recordings", headers={"X-Icey-Token": TOKEN})
    assert TOKEN not in answer.text
    newest, older = answer.json()["recordings"]
    opened = await http.get(guarded.url + older["url"])
    assert opened.status_code == 200
    query = older["url"].partition("?")[2]
    for url in (
        f"/artifacts/{newest['name']}?{query}",
        older["url"][:-1] + ("0" if older["url"][-1] != "0" else "1"),
        older["url"].replace("expires=1", "expires=2"),
        f"/artifacts/{NAME}?expires=99999999999&signature=",
        f"/artifacts/{NAME}?expires=x&signature=x",
    ):
        assert (await http.get(guarded.url + url)).status_code == 401, url
    by_token = await http.get(f"{guarded.url}/artifacts/{NAME}", params={"token": TOKEN})
    assert by_token.status_code == 200


async def test_the_start_is_that_of_the_name(server, http):
    """The start of a recording is that of its name, in UTC."""
    body = (await http.get(f"{server.url}/api/recordings")).json()
    starts = [datetime.fromisoformat(r["start"]) for r in body["recordings"]]
    assert starts[1] == datetime(2026, 11, 24, 10, 11, 12, 345_000, tzinfo=UTC)


async def test_folders_elsewhere(make_server, http, folder, tmp_path):
    """Snapshots and clips that lie elsewhere are served below their own names, and nothing more."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "one.jpg").write_bytes(b"picture")
    (elsewhere / ".hidden.jpg").write_bytes(b"hidden")
    (elsewhere / "link.mp4").symlink_to(folder / NAME)
    vision = {"snapshots": {"dir": elsewhere}}
    settings = {"media": {"recordDir": folder, "intelligence": {"vision": vision}}}
    async with make_server(settings) as server:

        async def status(path):
            return (await http.get(f"{server.url}/artifacts/{path}")).status_code

        answer = await http.get(f"{server.url}/artifacts/snapshots/one.jpg")
        assert answer.content == b"picture"
        assert await status("clips/one.mp4") == 200
        for path in ("snapshots", "snapshots/", "snapshots/.hidden.jpg", "snapshots/link.mp4"):
            assert await status(path) == 404
        assert await status("snapshots/..%2Ftakes%2Falice-20261124T101112.345Z.mp4") == 404
