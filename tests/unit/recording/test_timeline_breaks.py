"""The timeline under pauses, stalls, restarted senders and wrong reports."""

from __future__ import annotations

import random
from dataclasses import dataclass
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from icey.recording.timeline import Timeline
from icey.storage.continuity import Continuity

SECOND = 1_000_000_000
MS = 1_000_000
FRAME_MS = {"video": 33, "audio": 20}
RATE = {"video": 90_000, "audio": 48_000}
REPORT_MS = {"video": 1000, "audio": 5000}


@dataclass
class Heard:
    """One packet of sound: when it was spoken, when it came, and where it was put, ms."""

    spoken: float
    arrived: float
    placed: float | None


class Call:
    """A call in steps of 1 ms, whose senders can be paused and whose network can stall.

    Args:
        muted: from when to when no sound is sent, ms.
        counts: whether the sender counts on while it is muted.
        reports_muted: whether it sends reports of the sound meanwhile.
        stalled: from when to when nothing arrives; then all comes at once.
        wall: what the sender's wall clock is wrong by, ms, at a time.
        counter: what the sound's timestamps are off by, ms, at a time.
        first_late: how much later than all others the first picture comes, ms.
    """

    def __init__(
        self,
        *,
        muted=(0, 0),
        counts=False,
        reports_muted=True,
        stalled=(0, 0),
        wall=lambda _: 0,
        counter=lambda _: 0,
        first_late=0,
        seed=1,
    ):
        self.muted, self.counts, self.reports_muted = muted, counts, reports_muted
        self.stalled, self.wall, self.counter = stalled, wall, counter
        self.first_late = first_late
        self.random = random.Random(seed)

    def media(self, kind, t):
        """The media time that a sender stamps at a time, ms."""
        if kind == "video":
            return t + 10_000
        gone = 0 if self.counts or t < self.muted[1] else self.muted[1] - self.muted[0]
        return t + 77_000 - gone + self.counter(t)

    def packets(self, seconds):
        """All that arrives, in order: arrival, kind, time of recording, timestamp, report."""
        arriving = []
        for kind, step in FRAME_MS.items():
            reports = [
                (at, (round((1_700_000_000_000 + at + self.wall(at)) * MS), self.stamp(kind, at)))
                for at in range(REPORT_MS[kind] // 2, seconds * 1000, REPORT_MS[kind])
                if self.reports_muted or not self.is_muted(kind, at)
            ]
            for t in range(0, seconds * 1000, step):
                if self.is_muted(kind, t):
                    continue
                arrives = t + 5 + self.random.uniform(0, 30)
                if self.stalled[0] <= t < self.stalled[1]:
                    arrives = self.stalled[1] + 5 + (t - self.stalled[0]) / 20
                if kind == "video" and t == 0:
                    arrives += self.first_late
                newest = next((r for at, r in reversed(reports) if at + 5 <= arrives), None)
                arriving.append((arrives, kind, t, self.stamp(kind, t), newest))
        # Each stream is put in order before it gets here.
        latest = {"video": 0.0, "audio": 0.0}
        ordered = []
        least = {"video": 20 if self.first_late else 0, "audio": 0}  # ms between two of them
        for arrives, kind, t, stamp, report in sorted(arriving, key=lambda p: (p[1], p[2])):
            latest[kind] = max(latest[kind] + least[kind], arrives)
            ordered.append((latest[kind], kind, t, stamp, report))
        return sorted(ordered)

    def is_muted(self, kind, t):
        return kind == "audio" and self.muted[0] <= t < self.muted[1]

    def stamp(self, kind, t):
        # While it is muted, what a report says is reckoned on from the last packet.
        return round(self.media(kind, t) * RATE[kind] / 1000)

    def play(self, seconds=40):
        """Place all sound as a recorder does; what became of each packet."""
        timeline = Timeline(has_video=True)
        zero = None
        held, heard = [], []

        def put(entry, at):
            entry.placed = None if at is None else (at - zero) / MS
            heard.append(entry)

        def put_held():
            while held:
                earlier, earlier_stamp = held.pop(0)
                put(earlier, timeline.place(earlier_stamp))

        for arrives, kind, t, stamp, report in self.packets(seconds):
            arrived = round(arrives * MS) + 3 * SECOND
            if kind == "video":
                at = timeline.video(stamp, arrived, report)
                zero = at - t * MS if zero is None else zero
                assert abs((at - zero) / MS - t) < 1, "a picture moved"
                if timeline.is_settled:
                    put_held()
                continue
            at = timeline.audio(stamp, arrived, report)
            entry = Heard(t, arrives, None)
            if at is None:
                held.append((entry, stamp))
                continue
            put_held()
            put(entry, at)
        assert not held
        return sorted(heard, key=lambda one: one.spoken)


def wrong(heard, limit_ms=60):
    """The packets that are further than so much from their place."""
    return [one for one in heard if one.placed is None or abs(one.placed - one.spoken) > limit_ms]


@pytest.mark.parametrize("length", [600, 1500, 4000, 9000, 25_000])
@pytest.mark.parametrize("counts", [True, False], ids=["counting", "not counting"])
@pytest.mark.parametrize("reports", [True, False], ids=["reporting", "not reporting"])
def test_sound_is_in_its_place_after_a_mute(length, counts, reports):
    """Whether a sender counts on or not while it is muted, no packet is misplaced afterwards."""
    call = Call(muted=(10_300, 10_300 + length), counts=counts, reports_muted=reports)
    assert not wrong(call.play(seconds=45))


@pytest.mark.parametrize("start", range(7000, 12_500, 500))
def test_a_mute_at_any_time_between_two_reports(start):
    """After a mute, sound is in its place whatever moment the newest report was of."""
    assert not wrong(Call(muted=(start, start + 3000)).play(seconds=30))


@pytest.mark.parametrize("start", [200, 1000, 2200])
def test_a_mute_before_the_first_report(start):
    """The first report of the sound is of the mute, and nothing else is known yet."""
    assert not wrong(Call(muted=(start, start + 3000)).play(seconds=20))


@pytest.mark.parametrize("drift", [-1e-4, 1e-4])
def test_a_sender_without_reports_drifts_no_further(drift):
    """A sound card that is 100 ppm wrong for half an hour, and nobody reports it."""
    timeline, chance = Timeline(has_video=True), random.Random(1)
    off = []
    for n in range(30 * 60 * 10):
        at = n * 100 * MS
        late = [round(chance.uniform(5, 35) * MS) for _ in "va"]
        video = timeline.video(n * 9000, at + late[0], None)
        audio = timeline.audio(round(n * 4800 * (1 + drift)), at + late[1], None)
        off.append(0 if audio is None else abs(audio - video))
    assert max(off) < 60 * MS


@pytest.mark.parametrize("length", [700, 2000, 5000])
def test_a_network_that_stalls_moves_nothing(length):
    """What waited on its way belongs to the time when it was spoken, not when it came."""
    assert not wrong(Call(stalled=(10_300, 10_300 + length)).play(seconds=30))


@pytest.mark.parametrize("step", [-3_600_000, -4000, -700, 300, 5000, 86_400_000])
@pytest.mark.parametrize("at", [9_000, 11_000, 12_600])
def test_a_wall_clock_that_is_set_moves_nothing(step, at):
    """A wall clock may be set between the reports of picture and sound, or at any time."""
    call = Call(wall=lambda t: step if t >= at else 0)
    assert not wrong(call.play(seconds=40))


@pytest.mark.parametrize("jump", [-40_000_000, -20_000, 20_000, 40_000_000])
def test_sound_that_is_counted_anew(jump):
    """Timestamps that jump by more than ten seconds go on in their place."""
    heard = Call(counter=lambda t: jump if t >= 15_000 else 0).play(seconds=30)
    assert not wrong(heard)


def test_a_first_picture_that_is_late_misplaces_nothing():
    """A keyframe takes long on a slow path; sound waits until the next pictures show how long."""
    heard = Call(first_late=700).play(seconds=5)
    assert not wrong(heard)
    assert Call(first_late=700).play(seconds=5)[0].placed is not None


def test_reports_that_contradict_for_good_are_believed():
    """Reports that contradict arrival for more than twelve seconds are believed."""
    timeline = Timeline(has_video=True)
    moved = []
    for n in range(60 * 50):
        t = n * 20
        shift = 0 if t < 20_000 else 400 * MS
        wall = 1_700_000_000 * SECOND + t // 1000 * SECOND
        arrived = 9 * SECOND + t * MS
        video = timeline.video(t * 90, arrived, (wall, t // 1000 * 90_000))
        audio = timeline.audio(t * 48, arrived, (wall + shift, t // 1000 * 48_000))
        moved.append(None if audio is None else (audio - video) // MS)
    assert moved[19 * 50] == 0
    assert moved[25 * 50] == 0
    assert moved[-1] == 400


def test_reports_that_share_no_clock_are_not_believed():
    """Two streams whose wall clocks are hours apart are put together by arrival."""
    timeline = Timeline(has_video=True)
    for n in range(20 * 50):
        t = n * 20
        wall = 1_700_000_000 * SECOND + t // 1000 * SECOND
        video = timeline.video(t * 90, t * MS, (wall, t // 1000 * 90_000))
        report = (wall + 7200 * SECOND, t // 1000 * 48_000)
        audio = timeline.audio(t * 48, t * MS, report)
        assert audio is None or abs(audio - video) < 5 * MS


@pytest.mark.parametrize("step", [9 * 48_000, 11 * 48_000, -9 * 48_000, 2**50])
def test_timestamps_that_run_wild_do_not_run_away(step):
    """Each packet nine seconds after the one before: the recording is no longer for that."""
    timeline, continuity = Timeline(has_video=True), Continuity()
    for n in range(50 * 60):
        timeline.video(n * 1800, n * 20 * MS, None)
        at = timeline.audio(n * step, n * 20 * MS, None)
        if at is not None:
            continuity.place(at, 960)
    assert continuity.next / 48_000 < 60 + 25


@pytest.mark.parametrize("step", [9 * 90_000, 2**50])
def test_pictures_that_run_wild_do_not_run_away(step):
    """Pictures that come nine seconds apart make the recording no longer either."""
    timeline = Timeline(has_video=True)
    times = [timeline.video(n * step, n * 33 * MS, None) for n in range(1800)]
    assert max(times) - times[0] < (60 + 25) * SECOND


FIELDS = st.tuples(
    st.booleans(),
    st.integers(-(2**50), 2**50),
    st.integers(0, 2**40),
    st.none() | st.tuples(st.integers(0, 2**63), st.integers(-(2**50), 2**50)),
)


@given(st.lists(FIELDS, max_size=40))
@settings(max_examples=200)
def test_whatever_comes_has_a_time(packets):
    """No combination of timestamps, arrivals and reports is an error."""
    timeline, continuity = Timeline(has_video=True), Continuity()
    arrived = 0
    for is_video, timestamp, later, report in packets:
        arrived += later
        if is_video:
            assert isinstance(timeline.video(timestamp, arrived, report), int)
            continue
        at = timeline.audio(timestamp, arrived, report)
        if at is not None:
            before = continuity.next
            silent, wanted = continuity.place(at, 960)
            assert silent >= 0
            assert continuity.next == before + (silent + wanted) * 960


def test_a_wall_clock_that_runs_wrong_for_hours_is_no_jump():
    """Clocks that drift by 0.5 ‰ for eight hours part by fourteen seconds, never by one at once."""
    timeline = Timeline(has_video=True)
    times = [timeline.video(round(n * 90_000 * 1.0005), n * SECOND, None) for n in range(8 * 3600)]
    assert all(0.9 * SECOND < b - a < 1.1 * SECOND for a, b in pairwise(times))
