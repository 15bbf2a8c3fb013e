"""What others may do without a token, in a sentence."""

import pytest

from icey.config.exposure import access_warnings, exposure
from icey.config.model import Settings


def settings(host="0.0.0.0", token="", mode="stream"):
    return Settings.model_validate(
        {"http": {"host": host}, "auth": {"token": token}, "media": {"mode": mode}}
    )


@pytest.mark.parametrize(
    ("mode", "may"),
    [("stream", "may watch,"), ("record", "may publish,"), ("relay", "may publish and watch,")],
)
def test_an_open_server_says_what_others_may_do(mode, may):
    """The sentence names the mode's rights and both ways to end them."""
    said = exposure(settings(mode=mode))
    assert may in said
    assert "auth.token (ICEY_AUTH_TOKEN), or http.host to 127.0.0.1" in said


@pytest.mark.parametrize(
    "closed",
    [
        settings(token="0123456789abcdef"),
        settings(host="127.0.0.1"),
        settings(host="::1"),
        settings(host="localhost"),
    ],
)
def test_a_closed_one_says_nothing(closed):
    """A token, or an address that only this machine reaches, is enough."""
    assert exposure(closed) == ""


def test_a_name_may_be_reachable():
    """What a host name stands for is not known, so it is told."""
    assert "whoever reaches cam.example port 4500" in exposure(settings(host="cam.example"))


def test_a_short_token_can_be_guessed():
    """A token of fewer than 16 characters draws a warning, also for this machine alone."""
    (told,) = access_warnings(settings(host="127.0.0.1", token="a" * 15))
    assert "16 characters" in told
    assert "a" * 15 not in told
    assert access_warnings(settings(token="a" * 16)) == []
