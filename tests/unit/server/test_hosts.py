"""The names that a server goes by."""

import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from icey.config.model import Settings
from icey.server.hosts import HostNames, host_names_blocking


@pytest.mark.parametrize(
    ("host", "admitted"),
    [
        ("127.0.0.1:4500", True),
        ("192.0.2.1", True),
        ("[2001:db8::1]:4500", True),
        ("[fe80::1%eth0]", True),
        ("localhost:80", True),
        ("LOCALHOST", True),
        ("icey.localhost", True),
        ("cam.example.org", True),
        ("Cam.Example.org.:443", True),
        ("a.wild.example", True),
        ("wild.example", False),
        ("a.b.wild.example", False),
        ("evil.example", False),
        ("evil.example:4500", False),
        ("cam.example.org.evil.example", False),
        ("127.0.0.1.evil.example", False),
        ("localhost.evil.example", False),
        ("user@127.0.0.1", False),
        ("127.0.0.1/x", False),
        ("2130706433", False),
        ("127.1", False),
        ("", False),
    ],
)
def test_admits(host, admitted):
    """Addresses, localhost and the server's own names pass, nothing that only looks like them."""
    assert HostNames(["cam.example.org", "*.wild.example"]).admits(host) is admitted


@given(st.text())
def test_any_host_gets_a_verdict(host):
    """Garbage raises nothing."""
    assert HostNames().admits(host) in (True, False)


def test_whence_the_names_come():
    """The machine, http.host, http.hosts and the allowed origins name the server."""
    names = host_names_blocking(
        Settings.model_validate(
            {
                "http": {"host": "bound.example", "hosts": ["Set.Example"]},
                "auth": {"allowedOrigins": ["https://friend.example:8443"]},
            }
        )
    )
    machine = socket.gethostname()
    for name in ("bound.example", "set.example", "friend.example", machine):
        assert names.admits(f"{name}:4500"), name
    assert names.admits(f"{machine.partition('.')[0]}.local")
    assert not names.admits("evil.example")
