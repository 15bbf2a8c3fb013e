"""Recordings over HTTP, as browsers and strangers ask for them."""

import os
from datetime import UTC, datetime
from fractions import Fraction

import av
import httpx
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from icey.server.artifacts import _find

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
    os.mkfifo(folder / "fifo.mp4")
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
    """Finished recordings, newest first, with what is in them; nothing else of the folder."""
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


async def test_a_folder_that_is_not_there_is_an_empty_list(make_server, http, tmp_path):
    """Nothing was recorded yet; that is no error."""
    async with make_server({"media": {"recordDir": tmp_path / "none"}}) as server:
        answer = await http.get(f"{server.url}/api/recordings")
        assert answer.json() == {"status": "ok", "recordings": [], "warnings": []}
        assert (await http.get(f"{server.url}/artifacts/{NAME}")).status_code == 404


async def test_a_file_that_is_broken_hides_no_other(server, http, folder):
    """What FFmpeg cannot read is left out of the list."""
    (folder / "carol-20261124T101112.345Z.mp4").write_bytes(b"not an mp4")
    body = (await http.get(f"{server.url}/api/recordings")).json()
    assert len(body["recordings"]) == 2


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
    changed = {"Range": "bytes=0-9", "If-Range": '"another"'}
    assert (await http.get(url, headers=changed)).content == whole
    answer = await http.head(url)
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-length"] == str(size)


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
        "fifo.mp4",
        "a%00.mp4",
        "x" * 300 + ".mp4",
    ],
)
async def test_what_is_not_served(server, path):
    """404 for whatever is not a finished file in the folder."""
    raw = httpx.URL(server.url).copy_with(raw_path=f"/artifacts/{path}".encode())
    async with httpx.AsyncClient(timeout=5) as client:
        answer = await client.send(httpx.Request("GET", raw))
    assert answer.status_code == 404
    assert b"outside" not in answer.content


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
    """Whatever the path: what is found lies in the folder."""
    found = _find(folder, "/".join(parts) + ending)
    assert found is None or found.path.is_relative_to(folder.resolve())


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
    """The list tells times in UTC that any program can read."""
    body = (await http.get(f"{server.url}/api/recordings")).json()
    starts = [datetime.fromisoformat(r["start"]) for r in body["recordings"]]
    assert starts[1] == datetime(2026, 11, 24, 10, 11, 12, 345_000, tzinfo=UTC)
