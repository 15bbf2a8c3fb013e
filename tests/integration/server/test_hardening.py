"""Security headers and the access log."""

import logging

import httpx
import pytest

from icey.server.hardening import content_security_policy


@pytest.mark.parametrize("path", ["/", "/api/health", "/api/nope", "/ws", "/missing.js"])
async def test_every_answer_is_hardened(server, path):
    """Every answer has the security headers, errors too."""
    async with httpx.AsyncClient() as http:
        headers = (await http.get(f"{server.url}{path}")).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["x-frame-options"] == "SAMEORIGIN"
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self'" in policy
    assert (
        f"connect-src 'self' ws://127.0.0.1:{server.port} wss://127.0.0.1:{server.port};" in policy
    )
    assert "frame-ancestors 'self'" in policy
    assert "unsafe" not in policy
    assert "server" not in headers


@pytest.mark.parametrize("host", ["", "a b", "x; script-src *", "x\r\nSet-Cookie: a", "*", "ä"])
def test_a_strange_host_stays_out_of_the_policy(host):
    """What a client writes into Host cannot widen the policy."""
    assert "connect-src 'self';" in content_security_policy(host)


@pytest.mark.parametrize("host", ["cam", "cam.example:4500", "192.0.2.1", "[2001:db8::1]:4500"])
def test_the_own_websocket_is_named(host):
    """The policy names the own WebSocket, for browsers that do not count it among 'self'."""
    assert f"ws://{host} wss://{host};" in content_security_policy(host)


async def test_the_log_has_no_query(server, caplog):
    """A token in a link does not reach the log, at any level."""
    caplog.set_level(logging.DEBUG)
    logging.getLogger("uvicorn").setLevel(logging.DEBUG)
    async with httpx.AsyncClient() as http:
        await http.get(f"{server.url}/api/status?token=s3cret-t0ken")
        await http.get(f"{server.url}/a%0Ab?token=s3cret-t0ken")
    ours = "\n".join(r.getMessage() for r in caplog.records if not r.name.startswith("http"))
    assert "GET '/api/status' 200" in ours
    assert "GET '/a\\nb' 404" in ours
    assert "s3cret-t0ken" not in ours


async def test_a_token_in_a_frame_is_not_logged(server, wire, caplog):
    """A token in a WebSocket frame does not reach the log, which the library would write it to."""
    caplog.set_level(logging.DEBUG)
    logging.getLogger("websockets.client").setLevel(logging.WARNING)
    await (await server.enter("alice", token="s3cret-t0ken")).close()
    await wire.eventually(lambda: server.hub.sessions == 0)
    assert "s3cret-t0ken" not in caplog.text
