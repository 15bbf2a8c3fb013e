"""Time-limited credentials."""

import base64
import hashlib

import pytest

from icey.turn.credentials import CredentialMint, sign


def test_signature():
    """The password is base64 of HMAC-SHA1 over the whole user name, by any implementation."""
    key = b"north".ljust(64, b"\0")
    inner = hashlib.sha1(bytes(b ^ 0x36 for b in key) + b"1700000000:alice").digest()
    outer = hashlib.sha1(bytes(b ^ 0x5C for b in key) + inner).digest()
    assert sign(b"north", "1700000000:alice") == base64.b64encode(outer).decode()


@pytest.mark.parametrize(("suffix", "name"), [("", "1700003600"), ("cam", "1700003600:cam")])
def test_name_and_life(suffix, name):
    """The user name is the expiry and the suffix, and the credential has its life in seconds."""
    credential = CredentialMint(b"s", ttl_seconds=3600, suffix=suffix).mint(1_700_000_000.9)
    assert credential.username == name
    assert credential.password == sign(b"s", name)
    assert credential.ttl_seconds == 3600


def test_names_of_their_own():
    """Credentials of one second have different names, and at least 3/4 of the life."""
    mint = CredentialMint(b"s", ttl_seconds=3600)
    many = [mint.mint(1_700_000_000 + n / 1000) for n in range(900)]
    assert len({one.username for one in many}) == 900
    assert all(2700 <= one.ttl_seconds <= 3600 for one in many)
    assert all(one.username == str(1_700_000_000 + one.ttl_seconds) for one in many)
    assert mint.mint(1_700_000_001).username == "1700003601"


def test_however_many_ask():
    """More credentials than names share some of them, and each is good for long enough."""
    mint = CredentialMint(b"s", ttl_seconds=4)
    assert {mint.mint(1000).ttl_seconds for _ in range(100)} == {3, 4}
    shortest = CredentialMint(b"s", ttl_seconds=1)
    assert {shortest.mint(1000).ttl_seconds for _ in range(100)} == {1}


def test_shorter_life():
    """A mint makes credentials of a shorter life on request."""
    assert CredentialMint(b"s", ttl_seconds=3600).mint(1000, ttl_seconds=60).username == "1060"
