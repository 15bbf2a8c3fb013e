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
    """The user name begins with the expiry and the suffix, and the credential has its life."""
    credential = CredentialMint(b"s", ttl_seconds=3600, suffix=suffix).mint(1_700_000_000.9)
    before, _, random = credential.username.rpartition(":")
    assert before == name
    assert len(random) >= 16
    assert credential.password == sign(b"s", credential.username)
    assert credential.ttl_seconds == 3600


def test_names_of_their_own():
    """Credentials of one second have different names and the whole life, as many as are asked."""
    mint = CredentialMint(b"s", ttl_seconds=3600)
    many = [mint.mint(1_700_000_000) for _ in range(10_000)]
    assert len({one.username for one in many}) == 10_000
    assert {one.ttl_seconds for one in many} == {3600}


def test_shorter_life():
    """A mint makes credentials of a shorter life on request."""
    mint = CredentialMint(b"s", ttl_seconds=3600)
    assert mint.mint(1000, ttl_seconds=60).username.startswith("1060:")
