"""What others may do without a token, in a sentence."""

import pytest

from icey.config.exposure import exposure
from icey.config.model import Settings


def settings(host="0.0.0.0", token="", mode="stream"):
    return Settings.model_validate(
        {"http": {"host": host}, "auth": {"token": token}, "media": {"mode": mode}}
    )


@pytest.mark.parametrize(
    ("mode", "may"), [("stream", "may watch"), ("record", "may publish"), ("relay", "and watch")]
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
    assert "everybody who reaches cam.example" in exposure(settings(host="cam.example"))
