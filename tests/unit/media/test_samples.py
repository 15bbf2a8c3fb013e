"""The line of sound, in simulated time."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from icey.media.samples import SampleLine
from icey.media.timebase import SECOND_NS

MS = 1_000_000


def ones(count, value=1):
    return np.full((count, 2), value, np.int16)


def drain(line):
    blocks = []
    while line.ready:
        blocks.append(line.take())
    return blocks


def test_blocks_are_20_ms():
    """A run of 50 ms gives two blocks and keeps 10 ms."""
    line = SampleLine(48_000, 2)
    line.put(0, ones(2400))
    blocks = drain(line)
    assert [due for due, _ in blocks] == [0, 20 * MS]
    assert all(samples.shape == (960, 2) for _, samples in blocks)
    assert line.level_ns == 10 * MS


def test_gap_becomes_silence():
    """A hole of 100 ms is filled, so that what follows keeps its time."""
    line = SampleLine(48_000, 2)
    line.put(0, ones(4800))
    line.put(200 * MS, ones(4800, 2))
    samples = np.concatenate([s for _, s in drain(line)])
    assert (samples[4800:9600] == 0).all()
    assert (samples[9600:14400] == 2).all()


def test_overlap_is_cut():
    """What came twice is played once."""
    line = SampleLine(48_000, 2)
    line.put(0, ones(9600))
    line.put(100 * MS, ones(9600, 2))
    assert line.end_ns == 300 * MS
    samples = np.concatenate([s for _, s in drain(line)])
    assert (samples[:9600] == 1).all()
    assert (samples[9600:] == 2).all()


def test_rounded_times_do_not_tear():
    """Times that are off by a few ms neither insert nor drop a sample."""
    line = SampleLine(48_000, 2, limit_ns=20 * SECOND_NS)
    for n in range(200):
        line.put(n * 1024 * SECOND_NS // 48_000 + (n % 5 - 2) * 3 * MS, ones(1024))
    samples = np.concatenate([s for _, s in drain(line)])
    assert (samples == 1).all()
    assert line.end_ns == 200 * 1024 * SECOND_NS // 48_000


def test_first_run_sets_the_start():
    """Sound that begins late begins late, without silence before it."""
    line = SampleLine(48_000, 2)
    line.put(500 * MS, ones(960))
    assert line.take()[0] == 500 * MS


def test_silence_goes_on_only_after_sound():
    """`fill` continues a line, and does nothing to one that never began."""
    line = SampleLine(48_000, 2)
    line.fill(SECOND_NS)
    assert not line.ready
    line.put(0, ones(960))
    line.fill(60 * MS)
    assert [s.max() for _, s in drain(line)] == [1, 0, 0]


def test_cut_at_the_seam_of_a_loop():
    """Sound beyond the end of the round is dropped, to the sample."""
    line = SampleLine(48_000, 2)
    line.put(0, ones(4800))
    line.put(100 * MS, ones(4800, 2))
    line.cut(150 * MS)
    assert line.end_ns == 150 * MS
    line.cut(90 * MS)
    assert line.end_ns == 90 * MS
    line.put(90 * MS, ones(480, 3))
    samples = np.concatenate([s for _, s in drain(line)])
    assert samples[4319, 0] == 1
    assert samples[4320, 0] == 3


def test_overflow_drops_the_oldest():
    """No more than the limit waits."""
    line = SampleLine(48_000, 2, limit_ns=SECOND_NS)
    line.put(0, ones(48_000))
    line.put(SECOND_NS, ones(24_000, 2))
    assert line.level_ns == SECOND_NS
    assert line.head_ns == SECOND_NS // 2


def test_skip_forgets_the_past():
    """What is due before a time is dropped, and the future stays."""
    line = SampleLine(48_000, 2)
    line.put(0, ones(9600))
    line.skip(100 * MS)
    assert line.head_ns == 100 * MS
    line.skip(50 * MS)
    assert line.head_ns == 100 * MS


@pytest.mark.parametrize("rate", [8_000, 16_000, 48_000])
@given(runs=st.lists(st.tuples(st.integers(-100, 300), st.integers(0, 3000)), max_size=30))
def test_line_has_no_holes(rate, runs):
    """Whatever is put, blocks are whole and follow each other without a gap."""
    line = SampleLine(rate, 2, limit_ns=60 * SECOND_NS)
    at = 0
    for shift, count in runs:
        at = max(0, at + shift * MS)
        line.put(at, ones(count))
        at += count * SECOND_NS // rate
    blocks = drain(line)
    assert all(samples.shape == (rate // 50, 2) for _, samples in blocks)
    heads = [round(due * 50 / SECOND_NS * 1000) for due, _ in blocks]
    assert all(b - a == 1000 for a, b in pairwise(heads))
