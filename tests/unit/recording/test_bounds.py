"""What one recorded call may take."""

import pytest

from icey.config.limits import LimitsSettings
from icey.recording.bounds import CallBounds

NONE = {"recordingBytes": 0, "recordingSeconds": 0, "recordingBitrate": 0}


def bounds(**limits):
    return CallBounds(LimitsSettings.model_validate(NONE | limits))


@pytest.mark.parametrize(
    ("limits", "written", "seconds", "bound"),
    [
        ({"recordingBytes": 1000}, 1000, 1, "recordingBytes"),
        ({"recordingSeconds": 60}, 0, 60, "recordingSeconds"),
    ],
)
def test_bytes_and_time(limits, written, seconds, bound):
    """A call at its bound is told which; below it, and without bounds, it goes on."""
    full = bounds(**limits).check(written=written, received=0, seconds=seconds, now=0)
    assert full is not None
    assert full.bound == bound
    assert f"limits.{bound}" in full.reason
    less = bounds(**limits).check(
        written=max(0, written - 1), received=0, seconds=seconds - 1, now=0
    )
    assert less is None
    assert bounds().check(written=10**12, received=0, seconds=10**6, now=0) is None


def test_bitrate_over_ten_seconds():
    """A burst passes; who sends twice what is allowed for ten seconds is told."""
    found = []
    call = bounds(recordingBitrate=1_000_000)
    for second in range(12):
        received = 250_000 * second
        found.append(call.check(written=0, received=received, seconds=second, now=second))
    assert found[:10] == [None] * 10
    assert found[10] is not None
    assert found[10].bound == "recordingBitrate"
    burst = bounds(recordingBitrate=1_000_000)
    for second in range(30):
        received = 125_000 * second + (500_000 if second > 5 else 0)
        assert burst.check(written=0, received=received, seconds=second, now=second) is None
