"""Voice activity on speech that a machine spoke, with noise at several levels."""

import pytest

from icey.config.intelligence import SpeechSettings
from icey.intelligence.speech import SpeechDetector
from integration.intelligence.spoken import RATE, SENTENCES, SPOKEN_AT, scene

BLOCK = RATE // 50
TOLERANCE_S = 0.3


def found_in(samples, **settings):
    """The seconds of starts and of ends."""
    detector = SpeechDetector(SpeechSettings(**settings))
    starts, ends = [], []
    for number in range(len(samples) // BLOCK):
        block = samples[number * BLOCK : (number + 1) * BLOCK]
        activity = detector.process(block, number * 20_000, 20_000)
        if activity is not None and activity.phase != "update":
            (starts if activity.phase != "end" else ends).append(number / 50)
    return starts, ends


@pytest.mark.parametrize("sentence", SENTENCES)
@pytest.mark.parametrize("noise", [0, 0.003, 0.01, 0.018])
def test_a_sentence_in_noise(sentence, noise):
    """Start and end are within 300 ms of the truth in any noise below the stop threshold."""
    samples, end = scene(sentence, noise)
    starts, ends = found_in(samples)
    assert len(starts) == len(ends) == 1
    assert starts[0] == pytest.approx(SPOKEN_AT, abs=TOLERANCE_S)
    assert ends[0] == pytest.approx(end, abs=TOLERANCE_S)


@pytest.mark.parametrize("sentence", SENTENCES)
def test_louder_noise_wants_other_thresholds(sentence):
    """Noise above the stop threshold holds speech up; with thresholds above it both are found."""
    samples, end = scene(sentence, 0.03)
    assert found_in(samples)[1] == []
    starts, ends = found_in(samples, start_threshold=0.08, stop_threshold=0.042)
    assert len(starts) == len(ends) == 1
    assert starts[0] == pytest.approx(SPOKEN_AT, abs=TOLERANCE_S)
    assert ends[0] == pytest.approx(end, abs=TOLERANCE_S)


def test_noise_alone_is_no_speech():
    """Noise below the start threshold never starts it, also above the stop threshold."""
    samples, _ = scene(SENTENCES[0], 0.03)
    starts, _ = found_in(samples[: round(SPOKEN_AT * RATE)])
    assert starts == []
