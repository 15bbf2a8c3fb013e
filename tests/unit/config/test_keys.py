"""The settings as a flat table."""

import pytest

from icey.config.keys import keys, nearest, sections


def key(name):
    return keys()[tuple(name.split("."))]


@pytest.mark.parametrize(
    ("name", "allowed", "kind"),
    [
        ("http.port", "an integer from 0 to 65535", "integer"),
        ("media.loop", "true or false", "boolean"),
        ("media.mode", "one of stream, record, relay", "text"),
        ("media.video.codec", "h264", "text"),
        ("media.passthroughVideo", "true, false or auto", "boolean"),
        ("media.video.width", "an even integer from 32 to 3840", "integer"),
        ("media.intelligence.vision.motion.threshold", "a number from 0 to 1", "number"),
        ("tls.cert", "a path, or empty", "path"),
        ("media.recordDir", "a path", "path"),
        ("media.source", None, "source"),
        ("auth.allowedOrigins", None, "list"),
    ],
)
def test_facts_of_a_setting(name, allowed, kind):
    """What a setting allows, and how its text is read, follow from its type."""
    assert key(name).kind == kind
    if allowed:
        assert key(name).allowed == allowed


def test_secrets():
    """The three secrets are marked as such."""
    secrets = {"auth.token", "turn.secret", "media.intelligence.webhook"}
    assert {k.name for k in keys().values() if k.secret} == secrets


def test_sections():
    """Sections are the groups of settings, not the settings."""
    assert {(), ("http",), ("media", "video")} <= sections()
    assert ("http", "port") not in sections()


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("http.prot", "http.port"),
        ("media.intelligence.vision.motion.treshold", "media.intelligence.vision.motion.threshold"),
        ("port", "http.port"),
        ("media.video.framerate", None),
        ("qqqqqq", None),
    ],
)
def test_nearest(name, meant):
    """A misspelt name finds the one that was meant; a word of its own finds none."""
    assert nearest(
        name, ["http.port", "http.host", "media.intelligence.vision.motion.threshold"]
    ) == (meant)


def test_nearest_of_none():
    """Without known names there is no nearest one."""
    assert nearest("a", []) is None
