"""The HTTP API, as clients see it."""

import asyncio
import json
from pathlib import Path

import httpx
import pytest

from icey.turn.credentials import Credential

TOKEN = "s3cret-t0ken"
PROTECTED = [
    "/api/ready",
    "/api/status",
    "/api/config",
    "/api/recordings",
    "/api/unknown",
    "/api/",
    "/api/health/x",
    "/artifacts/",
    "/artifacts/x.mp4",
    "/metrics",
]


@pytest.fixture
async def guarded(make_server):
    """A server with a token."""
    async with make_server({"auth": {"token": TOKEN}}) as server:
        yield server


@pytest.fixture
async def http():
    """A client that keeps no connection open between tests."""
    async with httpx.AsyncClient(timeout=5) as client:
        yield client


async def test_health(guarded, http):
    """The health needs no token."""
    answer = await http.get(f"{guarded.url}/api/health")
    assert answer.status_code == 200
    body = answer.json()
    assert body.pop("version")
    assert body == {"status": "ok", "product": "icey", "service": "icey-server"}
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("path", PROTECTED)
async def test_everything_else_needs_the_token(guarded, http, path):
    """Without the token, or with a wrong one, every other path gets 401 with its length."""
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"X-Icey-Token": ""}):
        answer = await http.get(f"{guarded.url}{path}", headers=headers)
        assert answer.status_code == 401
        assert answer.json() == {"status": "error", "error": "unauthorized"}
        assert int(answer.headers["content-length"]) == len(answer.content)
        assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(
    "how",
    [
        {"headers": {"Authorization": f"Bearer {TOKEN}"}},
        {"headers": {"X-Icey-Token": TOKEN}},
        {"params": {"token": TOKEN}},
        {"headers": {"Authorization": f"Bearer {TOKEN}"}, "params": {"token": TOKEN}},
    ],
    ids=["bearer", "header", "query", "twice the same"],
)
async def test_three_ways_to_show_the_token(guarded, http, how):
    """The token is taken as bearer, in its own header, and from the query."""
    assert (await http.get(f"{guarded.url}/api/status", **how)).status_code == 200


async def test_the_page_needs_no_token(make_server, http, tmp_path):
    """The static files need no token, so that the page can ask for it."""
    (tmp_path / "index.html").write_text("<!doctype html>")
    async with make_server({"auth": {"token": TOKEN}}, root=tmp_path) as server:
        assert (await http.get(f"{server.url}/")).status_code == 200


async def test_status(server, http):
    """The status has every field of the specification."""
    body = (await http.get(f"{server.url}/api/status")).json()
    assert body.pop("version")
    assert body.pop("uptimeSec") >= 0
    assert body == {
        "status": "ok",
        "ready": True,
        "product": "icey",
        "service": "icey-server",
        "mode": "stream",
        "peer": {"id": "server", "name": "icey", "type": "server"},
        "runtime": {"state": "running"},
        "sessions": {"active": 1, "total": 7},
        "http": {
            "host": "127.0.0.1",
            "port": server.port,
            "scheme": "http",
            "tls": False,
            "connections": 1,
            "idle": 0,
            "idleCut": 0,
        },
        "signalling": {
            "sockets": 0,
            "peers": 0,
            "received": 0,
            "delivered": 0,
            "unroutable": 0,
            "broken": 0,
            "overRate": 0,
            "overBudget": 0,
            "presencesMerged": 0,
            "probesAnswered": 0,
            "refused": 0,
            "slowReaders": 0,
            "droppedBroadcasts": 0,
            "droppedDirect": 0,
            "candidatesDropped": 0,
        },
        "engine": {},
        "stream": {"source": "demo:", "sourceKind": "demo", "loop": True},
        "record": {"dir": "recordings"},
        "relay": {},
        "turn": {"enabled": False, "port": 3478, "externalIp": ""},
        "intelligence": {
            "vision": {"enabled": False, "active": False},
            "speech": {"enabled": False, "active": False},
            "events": {"readers": 0, "published": 0, "slowReaders": 0},
        },
        "load": {},
        "refused": {},
        "checks": [{"name": "config", "result": "pass", "detail": ""}],
        "warnings": ["from a check", "from a session"],
    }


async def test_status_counts_the_signalling(server, http):
    """The status and the metrics count sockets, peers and messages."""
    client = await server.enter("alice")
    await client.send("no message")
    await client.recv()
    told = (await http.get(f"{server.url}/api/status")).json()["signalling"]
    assert (told["sockets"], told["peers"]) == (1, 1)
    assert (told["received"], told["broken"]) == (3, 1)
    samples = (await http.get(f"{server.url}/metrics")).text
    assert "icey_signalling_broken_total 1.0" in samples
    await client.close()


async def test_status_follows_the_state(server, http):
    """A source in trouble makes the status degraded, a failed check makes it an error."""
    server.sessions.status = lambda: {"sessions": {}, "state": "degraded", "warnings": []}
    assert (await http.get(f"{server.url}/api/status")).json()["status"] == "degraded"
    server.report.ready = False
    body = (await http.get(f"{server.url}/api/status")).json()
    assert (body["status"], body["ready"]) == ("error", False)


async def test_status_tells_of_recordings(server, http):
    """The status has the recordings of record mode beside the folder."""
    told = {"active": [{"file": "a.mp4", "seconds": 1.5}], "finished": 3, "failed": 1}
    server.sessions.status = lambda: {
        "sessions": {},
        "state": "running",
        "warnings": [],
        "record": told,
    }
    body = (await http.get(f"{server.url}/api/status")).json()
    assert body["record"] == {"dir": "recordings", **told}


async def test_config(server, http):
    """The configuration for browsers has the host by which they reached the server."""
    body = (await http.get(f"http://localhost:{server.port}/api/config")).json()
    assert body.pop("version")
    assert body == {
        "status": "ok",
        "mode": "stream",
        "product": "icey",
        "service": "icey-server",
        "peer": {"id": "server", "name": "icey", "type": "server"},
        "source": {"value": "demo:", "kind": "demo", "remote": False},
        "http": {"host": "localhost", "scheme": "http", "tls": False},
        "turn": {
            "enabled": False,
            "host": "localhost",
            "port": 3478,
            "username": "",
            "credential": "",
        },
        "stun": {"urls": []},
        "exposure": "",
    }


TURN_COUNTERS = {
    "allocations": {"active": 2, "total": 9},
    "connections": {"active": 1, "total": 4, "refused": 0, "dropped": 1},
    "toPeers": {"packets": 7, "bytes": 700},
    "fromPeers": {"packets": 8, "bytes": 8000},
    "packetsDropped": 0,
    "refusals": {"expired": 1},
}


class PlayedTurn:
    """A TURN server whose counters and credentials the test knows."""

    port, tls_port = 3479, 5349

    def __init__(self):
        self.minted = 0

    def status(self):
        return TURN_COUNTERS

    def credential(self):
        self.minted += 1
        return Credential(f"170000000{self.minted}", f"signature {self.minted}", 3600)


async def test_status_of_turn(server, http):
    """The status has the ports of the TURN server and its counters."""
    server.sessions.turn = PlayedTurn()
    body = (await http.get(f"{server.url}/api/status")).json()
    assert body["turn"] == {
        "enabled": True,
        "port": 3479,
        "tlsPort": 5349,
        "externalIp": "",
        **TURN_COUNTERS,
    }


async def test_credentials_for_browsers(server, http):
    """Each answer has a fresh credential, with its life in seconds."""
    server.sessions.turn = PlayedTurn()
    first, second = [
        (await http.get(f"http://localhost:{server.port}/api/config")).json()["turn"]
        for _ in range(2)
    ]
    assert first == {
        "enabled": True,
        "host": "localhost",
        "port": 3479,
        "tlsPort": 5349,
        "username": "1700000001",
        "credential": "signature 1",
        "ttlSec": 3600,
    }
    assert (second["username"], second["credential"]) == ("1700000002", "signature 2")


async def test_external_address_for_browsers(make_server, http):
    """Browsers get the external address of the TURN server, where one is set."""
    async with make_server({"turn": {"externalIp": "192.0.2.1"}}) as server:
        server.sessions.turn = PlayedTurn()
        body = (await http.get(f"{server.url}/api/config")).json()
        assert body["turn"]["host"] == "192.0.2.1"


@pytest.mark.parametrize(("ready", "code"), [(True, 200), (False, 503)])
async def test_ready(server, http, ready, code):
    """The preflight report comes with three fields more, and with 503 where it is not ready."""
    server.report.ready = ready
    answer = await http.get(f"{server.url}/api/ready")
    assert answer.status_code == code
    body = answer.json()
    assert body["ready"] is ready
    assert body["peer"] == {"id": "server", "name": "icey", "type": "server"}
    assert body["sessions"] == {"active": 1, "total": 7}
    assert body["version"]
    assert body["checks"]


async def test_ready_is_no_way_to_load_the_server(server, http):
    """However many requests come, the checks run once in some seconds."""
    answers = await asyncio.gather(*(http.get(f"{server.url}/api/ready") for _ in range(50)))
    assert {answer.status_code for answer in answers} == {200}
    assert len(server.checks) == 1


async def test_unknown_paths(server, http):
    """An unknown path below /api gets 404 as JSON."""
    for path in ("/api", "/api/", "/api/nope", "/api/health/", "/api/../api/x"):
        answer = await http.get(f"{server.url}{path}")
        assert answer.status_code == 404, path
        assert answer.json() == {"status": "error", "error": "not_found"}


async def test_there_is_no_description_of_the_api_to_browse(server, http):
    """There is no /docs, no /redoc and no /openapi.json."""
    for path in ("/docs", "/redoc", "/openapi.json"):
        assert (await http.get(f"{server.url}{path}")).status_code == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
async def test_other_methods(server, http, method):
    """Other methods get 405 as JSON, with the allowed ones."""
    answer = await http.request(method, f"{server.url}/api/status", content=b"x" * 1000)
    assert answer.status_code == 405
    assert answer.json() == {"status": "error", "error": "method_not_allowed"}
    assert set(answer.headers["allow"].split(", ")) == {"GET", "HEAD"}


@pytest.mark.parametrize(
    "path",
    ["/api/health", "/api/status", "/api/config", "/api/ready", "/api/recordings", "/api/x"],
)
async def test_head(server, http, path):
    """HEAD is GET without the body."""
    head, get = (await http.head(f"{server.url}{path}")), (await http.get(f"{server.url}{path}"))
    assert (head.status_code, head.content) == (get.status_code, b"")
    assert int(head.headers["content-length"]) > 0


async def test_the_websocket_path_without_an_upgrade(server, http):
    """/ws without an upgrade gets 426."""
    answer = await http.get(f"{server.url}/ws")
    assert answer.status_code == 426
    assert answer.headers["upgrade"] == "websocket"


async def test_no_answer_tells_a_secret_or_a_path(make_server, http, tmp_path):
    """No answer has the token, the TURN secret or a folder of this machine."""
    settings = {
        "auth": {"token": TOKEN},
        "turn": {"secret": "turn-s3cret", "externalIp": "192.0.2.1"},
        "media": {"source": "demo:", "recordDir": tmp_path / "takes"},
    }
    async with make_server(settings) as server:
        for path in ["/api/health", *PROTECTED]:
            answer = await http.get(f"{server.url}{path}", headers={"X-Icey-Token": TOKEN})
            text = answer.text + json.dumps(dict(answer.headers))
            assert TOKEN not in text
            assert "turn-s3cret" not in text
            assert str(tmp_path) not in text
        body = await http.get(f"{server.url}/api/status", params={"token": TOKEN})
        assert body.json()["record"] == {"dir": "takes"}


async def test_every_field_is_documented(server, http):
    """docs/http-api.md names each field of each answer."""
    server.sessions.turn = PlayedTurn()
    text = (Path(__file__).parents[3] / "docs" / "http-api.md").read_text()
    for path in ("health", "ready", "status", "config"):
        section = text.partition(f"## GET /api/{path}\n")[2].partition("\n## ")[0]
        body = (await http.get(f"{server.url}/api/{path}")).json()
        inner = {name for value in body.values() if isinstance(value, dict) for name in value}
        # "As above" in a later section stands for what an object holds.
        missing = {name for name in body if name not in section}
        assert not missing, path
        assert not {name for name in inner if name not in text}, path


async def test_metrics(server, http):
    """/metrics has the format of Prometheus, and takes GET and HEAD alone."""
    answer = await http.get(f"{server.url}/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=")
    assert "\nicey_sessions_total 7.0\n" in answer.text
    assert (await http.post(f"{server.url}/metrics")).status_code == 405
