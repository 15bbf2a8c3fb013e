"""Counters of branches, summed up."""

from icey.intelligence.branch import BranchStatus
from icey.intelligence.tally import Tally, TallyGroup


def test_counts_add_up():
    """The counters of a group are the sums over its detectors, and each detector's are there."""
    group = TallyGroup()
    group.add(BranchStatus("motion", seen=60, sampled=10, dropped=1, processed=9, emitted=2))
    group.add(BranchStatus("mine", seen=60, sampled=5, failed=5, off="switched off"))
    group.last_score, group.last_latency_usec = 0.12345, 2100
    shown = group.to_json()
    assert (shown["seen"], shown["sampled"], shown["dropped"], shown["emitted"]) == (120, 15, 1, 2)
    assert (shown["lastScore"], shown["lastLatencyUsec"]) == (0.1235, 2100)
    assert [d["name"] for d in shown["detectors"]] == ["motion", "mine"]
    assert (
        shown["detectors"][1] | {"seen": 60, "failed": 5, "off": "switched off"}
        == (shown["detectors"][1])
    )


def test_streams_add_up():
    """Counters of streams that are over stay in the sum; the newest last values count."""
    total, first, second = Tally(), Tally(), Tally()
    for tally, score in ((first, 0.5), (second, None)):
        tally.vision.add(BranchStatus("motion", seen=3, emitted=1))
        tally.vision.last_score = score
        tally.undecoded = 2
        total.merge(tally)
    assert total.vision.to_json()["seen"] == 6
    assert total.vision.detectors["motion"]["emitted"] == 2
    assert total.vision.last_score == 0.5
    assert total.undecoded == 4


def test_a_copy_goes_its_own_way():
    """What is added to a copy does not reach the original."""
    tally = Tally()
    tally.copy().speech.add(BranchStatus("energy", seen=9))
    assert tally.speech.to_json()["seen"] == 0
    assert tally.speech.detectors == {}
