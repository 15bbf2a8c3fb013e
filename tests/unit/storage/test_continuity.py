"""Opus packets that are made a run: silence put in, packets left out."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from icey.storage.continuity import SILENCE, TOLERANCE_NS, Continuity, opus_samples

SECOND = 1_000_000_000
MS = 1_000_000


def written(continuity, packets):
    """What is written: (start, samples, silent?) of each packet."""
    out = []
    for at_ns, samples in packets:
        silent, wanted = continuity.place(at_ns, samples)
        end = continuity.next - (samples if wanted else 0)
        out += [(end - 960 * n, 960, True) for n in range(silent, 0, -1)]
        if wanted:
            out.append((end, samples, False))
    return out


@given(
    st.lists(
        st.tuples(st.integers(-50, 400), st.sampled_from([120, 480, 960, 1920, 2880])), max_size=80
    )
)
def test_sound_has_no_holes_and_no_overlaps(steps):
    """Each packet begins where the one before ends, near where it belongs."""
    continuity, at, packets = Continuity(), 0, []
    for step_ms, samples in steps:
        at += step_ms * MS
        packets.append((at, samples))
    run = written(continuity, packets)
    ends = 0
    for start, samples, _ in run:
        assert start == ends
        ends = start + samples
    assert continuity.next == ends


def test_steady_sound_is_untouched():
    """Jitter of placing within the tolerance adds and drops nothing."""
    continuity, chance = Continuity(), random.Random(1)
    run = written(
        continuity, [(n * 20 * MS + chance.randint(-25, 25) * MS, 960) for n in range(500)]
    )
    assert len(run) == 500
    assert not any(silent for _, _, silent in run)


def test_drift_is_mended_by_whole_packets():
    """A drift of a second in ten minutes is corrected by whole packets, within the tolerance."""
    for rate in (1 + 1 / 600, 1 - 1 / 600):
        continuity, mended = Continuity(), 0
        for n in range(30_000):
            at = round(n * 20 * MS * rate)
            silent, wanted = continuity.place(at, 960)
            mended += silent + (not wanted)
            assert abs(continuity.next * SECOND // 48_000 - at) <= TOLERANCE_NS + 20 * MS
        assert mended in range(45, 56)


def test_silence_is_filled_up_to_a_time():
    """Silence is filled in by whole packets, and not beyond the time."""
    continuity = Continuity()
    assert continuity.fill(SECOND) == 50
    assert continuity.fill(SECOND) == 0
    assert continuity.fill(SECOND + 19 * MS) == 0
    assert continuity.place(SECOND, 960) == (0, True)


@pytest.mark.parametrize(
    ("packet", "samples"),
    [
        (SILENCE, 960),
        (b"\x78\x00", 960),
        (b"\x08\x00", 960),
        (b"\x00\x00", 480),
        (b"\xe0", 120),
        (b"\xfb\x03" + b"\0" * 9, 2880),
        (b"\xfb\x3f", 960),
        (b"", 960),
    ],
)
def test_the_length_of_a_packet(packet, samples):
    """Configuration and count of frames (RFC 6716 §3.1); what is too long counts as 20 ms."""
    assert opus_samples(packet) == samples


@given(st.binary(max_size=20))
def test_the_length_of_any_packet(packet):
    """Any packet is taken to last between 2.5 and 120 ms."""
    assert 120 <= opus_samples(packet) <= 5760
