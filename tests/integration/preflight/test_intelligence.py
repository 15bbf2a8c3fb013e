"""The check of the detectors."""

import pytest

from icey.config.intelligence import (
    DetectorSettings,
    IntelligenceSettings,
    NormalizeSettings,
    SpeechSettings,
    VisionSettings,
)
from icey.config.model import MediaSettings, Settings
from icey.preflight.finding import render
from icey.preflight.intelligence import check_intelligence


@pytest.mark.parametrize(
    ("mode", "enabled", "result"),
    [
        ("stream", False, "pass"),
        ("stream", True, "pass"),
        ("record", False, "pass"),
        ("record", True, "warn"),
        ("relay", True, "warn"),
    ],
)
def test_intelligence(mode, enabled, result):
    """Intelligence that is on outside stream mode stays inactive, and that is a warning."""
    intelligence = IntelligenceSettings(speech=SpeechSettings(enabled=enabled))
    settings = Settings(media=MediaSettings(mode=mode, intelligence=intelligence))
    finding = check_intelligence(settings)
    assert finding.result == result
    if result == "warn":
        assert "speech" in render(finding.detail, public=True)


def settings(mode="stream", **entry):
    """Settings with one detector of the user's own."""
    intelligence = IntelligenceSettings(detectors=(DetectorSettings(**entry),))
    return Settings(media=MediaSettings(mode=mode, intelligence=intelligence))


def test_configured_detector(tmp_path):
    """A detector that can be imported is named."""
    file = tmp_path / "mine.py"
    file.write_text("class Mine:\n    def process(self, frame, context):\n        return []\n")
    finding = check_intelligence(settings(use=f"{file}:Mine"))
    assert finding.result == "pass"
    assert "detector Mine on" in render(finding.detail, public=True)


def test_detector_that_is_not_there():
    """One that cannot be imported fails the check, naming its place in the configuration."""
    finding = check_intelligence(settings(use="no_such_module:Mine"))
    assert finding.result == "fail"
    assert "media.intelligence.detectors[0].use" in render(finding.detail, public=True)


def test_detector_in_another_mode():
    """Outside stream mode a detector is not even imported, and that is a warning."""
    finding = check_intelligence(settings(mode="relay", use="no_such_module:Mine"))
    assert finding.result == "warn"
    assert "inactive in relay mode" in render(finding.detail, public=True)


def test_webhook_in_another_mode():
    """Outside stream mode there are no events for a webhook, and that is a warning."""
    media = {"mode": "record", "intelligence": {"webhook": "https://example.org/secret"}}
    finding = check_intelligence(Settings.model_validate({"media": media}))
    detail = render(finding.detail, public=True)
    assert finding.result == "warn"
    assert "the webhook turned on, but inactive in record mode" in detail
    assert "secret" not in detail


def test_detector_turned_off():
    """A detector that is turned off is not looked for."""
    finding = check_intelligence(settings(use="no_such_module:Mine", enabled=False))
    assert finding.result == "pass"


@pytest.mark.parametrize(
    ("name", "result"), [("", "pass"), ("gray", "pass"), ("nonsense", "fail"), ("cuda", "fail")]
)
def test_pixel_format(name, result):
    """A pixel format that FFmpeg does not know, or cannot make, fails the check by its key."""
    vision = VisionSettings(enabled=True, normalize=NormalizeSettings(pixel_fmt=name))
    intelligence = IntelligenceSettings(vision=vision)
    finding = check_intelligence(Settings(media=MediaSettings(intelligence=intelligence)))
    assert finding.result == result
    if result == "fail":
        assert "vision.normalize.pixelFmt" in render(finding.detail, public=True)
