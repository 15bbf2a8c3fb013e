"""Voice activity: hysteresis, silence, updates."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from icey.config.intelligence import SpeechSettings
from icey.intelligence.speech import SpeechDetector

BLOCK = 20_000  # µs


def told(levels, **settings):
    """What is told of blocks of 20 ms of these levels: (phase, ms at which its block begins)."""
    detector = SpeechDetector(SpeechSettings(**settings))
    found = []
    for number, level in enumerate(levels):
        samples = np.full((960, 2), round(level * 32768), np.int16)
        samples[::2] *= -1
        activity = detector.process(samples, number * BLOCK, BLOCK)
        if activity is not None:
            found.append((activity.phase, number * 20))
            assert activity.level == pytest.approx(level, abs=1e-4)
            assert activity.peak == pytest.approx(level, abs=1e-4)
    return found


QUIET, MIDDLE, LOUD = 0.01, 0.03, 0.1


def test_start_update_end():
    """Speech starts at its first loud block, is updated, and ends 250 ms after its last one."""
    assert told([QUIET] * 10 + [LOUD] * 30 + [QUIET] * 20) == [
        ("start", 200),
        ("update", 460),
        ("update", 720),
        ("update", 980),  # still within the silence that would end it
        ("end", 1040),  # 13 blocks of 20 ms of silence end here
    ]


def test_thresholds_are_apart():
    """What is between the thresholds neither starts speech nor ends it."""
    assert told([MIDDLE] * 50) == []
    found = told([LOUD] * 5 + [MIDDLE] * 100)
    assert [phase for phase, _ in found] == ["start"] + ["update"] * 8


def test_start_threshold_is_reached_exactly():
    """A level that equals the threshold starts speech."""
    assert told([0.25], start_threshold=0.25)
    assert told([0.25], start_threshold=0.2501) == []


@pytest.mark.parametrize("pause", [5, 11, 12])
def test_short_pauses_belong_to_speech(pause):
    """A pause below the silence does not end it, and the next one counts anew."""
    found = told(([LOUD] * 3 + [QUIET] * pause) * 4, update_interval_usec=60_000_000)
    assert found == [("start", 0)]


def test_no_silence_ends_at_once():
    """With minSilenceUsec 0 the first quiet block ends it."""
    assert told([LOUD, QUIET, QUIET, LOUD], min_silence_usec=0) == [
        ("start", 0),
        ("end", 20),
        ("start", 60),
    ]


def test_an_update_for_every_block():
    """With updateIntervalUsec 0 each block between start and end is told."""
    found = told([LOUD] * 5, update_interval_usec=0)
    assert found == [("start", 0)] + [("update", ms) for ms in (20, 40, 60, 80)]


def test_samples_that_were_dropped_count_as_time():
    """Silence is measured in media time, also where blocks between were dropped."""
    detector = SpeechDetector(SpeechSettings())
    quiet = np.zeros((960, 1), np.int16)
    assert detector.process(np.full((960, 1), 9000, np.int16), 0, BLOCK).phase == "start"
    assert detector.process(quiet, BLOCK, BLOCK) is None
    assert detector.process(quiet, 300_000, BLOCK).phase == "end"


def test_the_loudest_sample():
    """The lowest sample there is counts as 1, not as more or less."""
    detector = SpeechDetector(SpeechSettings())
    activity = detector.process(np.full((960, 2), -32768, np.int16), 0, BLOCK)
    assert (activity.level, activity.peak) == (1.0, 1.0)


@given(st.lists(st.sampled_from([0.0, QUIET, MIDDLE, LOUD]), max_size=120))
def test_phases_alternate(levels):
    """Whatever is heard: starts and ends alternate, and updates are between them."""
    phases = [phase for phase, _ in told(levels)]
    active = False
    for phase in phases:
        assert active == (phase != "start")
        active = phase != "end"
