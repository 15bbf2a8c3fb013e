"""The timeline maps RTP timestamps to the time of a recording."""

import random
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from icey.recording.timeline import Timeline

SECOND = 1_000_000_000
MS = 1_000_000


class Sender:
    """A browser: two clocks, a network, reports; plays a call and places what arrives.

    Args:
        drift: by what share the sound card counts too fast.
        report_at: seconds at which the sound's reports begin (Chrome: 2.5 to 5 s).
        jitter_ms: by how much a packet may be late.
        report_error_ms: by how much a report's wall clock may be wrong.
        audio_delay_ms: how much longer sound takes than pictures, all the time.
    """

    def __init__(
        self,
        *,
        drift=0.0,
        report_at=2.5,
        jitter_ms=30,
        report_error_ms=0.0,
        audio_delay_ms=0,
        seed=1,
    ):
        self.random = random.Random(seed)
        self.drift, self.report_at, self.jitter = drift, report_at, jitter_ms
        self.report_error, self.audio_delay = report_error_ms, audio_delay_ms
        self.reports: dict[str, Any] = {"video": None, "audio": None}
        self.timeline = Timeline(has_video=True)
        self.step = 0.0

    def ntp(self, t):
        error = self.random.uniform(-self.report_error, self.report_error) * MS
        return round((1_700_000_000 + t + self.step) * SECOND + error)

    def video(self, t):
        timestamp = 4_000_000 + round(t * 90_000)
        if self.reports["video"] is None or t - self.reports["video"][2] >= 1:
            self.reports["video"] = (self.ntp(t), timestamp, t)
        late = self.random.uniform(5, 5 + self.jitter) * MS
        arrived = 77 * SECOND + round(t * SECOND + late)
        return self.timeline.video(timestamp, arrived, self.reports["video"][:2])

    def audio(self, t):
        timestamp = 900_000 + round(t * 48_000 * (1 + self.drift))
        last = self.reports["audio"]
        if t >= self.report_at and (last is None or t - last[2] >= 5):
            self.reports["audio"] = (self.ntp(t), timestamp, t)
        self.sampled = timestamp
        late = self.random.uniform(5, 5 + self.jitter) * MS
        arrived = 77 * SECOND + round(t * SECOND + late) + self.audio_delay * MS
        report = self.reports["audio"]
        return self.timeline.audio(timestamp, arrived, report and report[:2])

    def offset_at(self, t):
        """How far sound of a moment is placed from the picture of that moment, in ns."""
        video, audio = self.video(t), self.audio(t)
        if audio is None:
            audio = self.timeline.place(self.sampled)
        return audio - video


@pytest.mark.parametrize("drift", [-1e-4, 0.0, 1e-4])
def test_together_after_ten_minutes(drift):
    """Sound cards that count 100 ppm wrong, late reports, wrong reports: within 60 ms, always."""
    sender = Sender(drift=drift, report_error_ms=10)
    offsets = [sender.offset_at(n / 10) for n in range(6000)]
    settled = offsets[100:]
    assert max(abs(offset) for offset in settled) <= 60 * MS
    assert max(abs(offset) for offset in offsets[10:]) <= 60 * MS


def test_before_reports_arrival_decides():
    """Within the first seconds the least delayed packets show what belongs together."""
    sender = Sender(report_at=1e9, jitter_ms=40)
    offsets = [sender.offset_at(n / 50) for n in range(150)]
    assert abs(offsets[-1]) < 5 * MS


def test_reports_beat_arrival():
    """Sound that takes 200 ms longer all the time is put right by the reports."""
    sender = Sender(audio_delay_ms=200)
    offsets = [sender.offset_at(n / 10) for n in range(100)]
    assert abs(offsets[5] - 200 * MS) < 40 * MS
    assert abs(offsets[-1]) < 5 * MS


def test_a_clock_that_is_set_is_outvoted():
    """The sender's wall clock jumps by an hour between two reports: sound and picture stay."""
    sender = Sender()
    for n in range(300):
        sender.offset_at(n / 10)
    sender.step = 3600.0
    offsets = [sender.offset_at(30 + n / 10) for n in range(300)]
    assert max(abs(offset) for offset in offsets) < 60 * MS


def test_a_sender_that_counts_anew():
    """Timestamps that jump by hours go on where time stands."""
    timeline = Timeline(has_video=True)
    times = []
    for n in range(60):
        timestamp = n * 3000 if n < 30 else 5_000_000_000 + n * 3000
        times.append(timeline.video(timestamp, n * SECOND // 30, None))
    steps = [after - before for before, after in pairwise(times)]
    assert all(20 * MS < step < 50 * MS for step in steps)


def test_a_gap_stays_a_gap():
    """Eight seconds without a picture are eight seconds in the recording."""
    timeline = Timeline(has_video=True)
    before = timeline.video(0, 0, None)
    after = timeline.video(8 * 90_000, 8 * SECOND + 100 * MS, None)
    assert after - before == 8 * SECOND


def test_sound_alone_has_its_own_clock():
    """Without pictures, nothing has to be waited for."""
    timeline = Timeline(has_video=False)
    first = timeline.audio(48_000, 5, None)
    assert timeline.audio(96_000, 5 + SECOND, None) - first == SECOND


def test_sound_before_the_first_picture_has_no_place():
    """Sound has no place before the first picture."""
    assert Timeline(has_video=True).audio(0, 0, None) is None


@given(
    st.lists(
        st.tuples(
            st.booleans(),
            st.integers(-(2**40), 2**40),
            st.integers(0, 2**62),
            st.none() | st.tuples(st.integers(0, 2**64), st.integers(-(2**40), 2**40)),
        ),
        max_size=40,
    )
)
def test_whatever_a_sender_says(frames):
    """No timestamp and no report raises an error."""
    timeline = Timeline(has_video=True)
    for is_video, timestamp, arrived, report in frames:
        (timeline.video if is_video else timeline.audio)(timestamp, arrived, report)
