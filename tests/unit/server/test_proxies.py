"""Whom a proxy speaks for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from icey.server.proxies import TrustedProxies, is_loopback

PROXIES = TrustedProxies(["127.0.0.1", "10.0.0.0/8", "fd00::/8"])


@pytest.mark.parametrize(
    ("peer", "headers", "client"),
    [
        ("127.0.0.1", [], "127.0.0.1"),
        ("127.0.0.1", ["192.0.2.7"], "192.0.2.7"),
        ("127.0.0.1", ["203.0.113.9, 192.0.2.7"], "192.0.2.7"),
        ("127.0.0.1", ["203.0.113.9", "192.0.2.7, 10.1.2.3"], "192.0.2.7"),
        ("127.0.0.1", ["10.1.1.1, 10.2.2.2"], "10.1.1.1"),
        ("127.0.0.1", ["192.0.2.7:4711"], "192.0.2.7"),
        ("127.0.0.1", ["[2001:db8::7]:4711"], "2001:db8::7"),
        ("fd00::1", ["2001:db8::7"], "2001:db8::7"),
        ("::ffff:127.0.0.1", ["192.0.2.7"], "192.0.2.7"),
        ("127.0.0.1", ["203.0.113.9, unknown"], "127.0.0.1"),
        ("127.0.0.1", [""], "127.0.0.1"),
        ("192.0.2.1", ["203.0.113.9"], "192.0.2.1"),
    ],
)
def test_client(peer, headers, client):
    """The client is the last address that is no trusted proxy's; a stranger's header is ignored."""
    assert PROXIES.client(peer, headers) == client


@given(st.text(), st.lists(st.text()))
def test_any_header_gives_a_client(peer, headers):
    """Garbage raises nothing."""
    assert isinstance(PROXIES.client(peer, headers), str)
    assert isinstance(PROXIES.client("127.0.0.1", headers), str)


def test_nobody_is_trusted_by_default():
    """Without the setting no header is believed."""
    assert TrustedProxies().client("127.0.0.1", ["192.0.2.7"]) == "127.0.0.1"


def test_loopback():
    """Addresses of this machine alone are known."""
    assert is_loopback("127.0.0.9")
    assert is_loopback("::1")
    assert not is_loopback("192.0.2.1")
    assert not is_loopback("x")
