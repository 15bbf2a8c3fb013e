"""What the operator is told of an open server."""

import pytest

from icey.config.model import Settings
from icey.preflight.access import access_warnings


@pytest.mark.parametrize(
    ("mode", "words"),
    [("stream", "may watch,"), ("record", "may publish,"), ("relay", "may publish and watch,")],
)
def test_an_open_server_says_so(mode, words):
    """A server that others reach says what they may do without a token, and what to set."""
    (told,) = access_warnings(Settings.model_validate({"media": {"mode": mode}}))
    assert words in told
    assert "auth.token" in told


@pytest.mark.parametrize(
    "settings",
    [
        {"auth": {"token": "a" * 16}},
        {"http": {"host": "127.0.0.1"}},
        {"http": {"host": "::1"}},
        {"http": {"host": "localhost"}},
    ],
)
def test_a_closed_server_says_nothing(settings):
    """With a token, or for this machine alone, there is nothing to say."""
    assert access_warnings(Settings.model_validate(settings)) == []


def test_a_short_token_can_be_guessed():
    """A token of fewer than 16 characters draws a warning, also for this machine alone."""
    settings = {"auth": {"token": "a" * 15}, "http": {"host": "127.0.0.1"}}
    (told,) = access_warnings(Settings.model_validate(settings))
    assert "16 characters" in told
    assert "a" * 15 not in told
