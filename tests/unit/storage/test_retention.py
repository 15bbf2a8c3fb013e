"""The choice of recordings to remove."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from icey.storage.retention import Kept, to_remove

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


def kept(name, age_s, size=100):
    return Kept(name, NOW - timedelta(seconds=age_s), size)


def test_by_age():
    """Recordings older than the limit go, the rest stays; 0 keeps all."""
    recordings = [kept("new", 5), kept("edge", 60), kept("old", 61), kept("older", 99)]
    assert to_remove(recordings, max_age_seconds=60, max_total_bytes=0, now=NOW) == ["older", "old"]
    assert to_remove(recordings, max_age_seconds=0, max_total_bytes=0, now=NOW) == []


def test_by_size():
    """The oldest go until the rest fits; the newest stays, however large it is."""
    recordings = [kept("a", 1), kept("b", 2), kept("c", 3)]
    assert to_remove(recordings, max_age_seconds=0, max_total_bytes=250, now=NOW) == ["c"]
    assert to_remove(recordings, max_age_seconds=0, max_total_bytes=10, now=NOW) == ["c", "b"]


@given(
    st.lists(st.tuples(st.integers(0, 1000), st.integers(0, 1000)), max_size=30),
    st.integers(0, 500),
    st.integers(0, 5000),
)
def test_what_stays_keeps_both_limits(entries, age, total):
    """Of the recordings that stay, none is too old, and all but the newest fit."""
    recordings = [kept(str(i), a, s) for i, (a, s) in enumerate(entries)]
    gone = to_remove(recordings, max_age_seconds=age, max_total_bytes=total, now=NOW)
    assert len(set(gone)) == len(gone)
    stay = [r for r in recordings if r.name not in gone]
    if age:
        assert all(NOW - r.start <= timedelta(seconds=age) for r in stay)
    if total and len(stay) > 1:
        assert sum(r.size_bytes for r in stay) <= total
    if not age and not total:
        assert gone == []


def owned(name, age_s, size, owner):
    return Kept(name, NOW - timedelta(seconds=age_s), size, owner)


def gone_of(recordings, most):
    return to_remove(recordings, max_age_seconds=0, max_total_bytes=most, now=NOW)


def test_junk_costs_its_own_owner():
    """Who fills the folder loses its own recordings; the older one of somebody else stays."""
    mine = [owned("mine-old", 9000, 100, "me"), owned("mine-new", 8000, 100, "me")]
    junk = [owned(f"junk{n}", 100 - n, 50, "x") for n in range(20)]
    assert gone_of([*mine, *junk], 500) == [f"junk{n}" for n in range(14)]


def test_owners_who_have_as_much():
    """Where none has more than the others, the oldest goes first, in turns."""
    recordings = [owned(f"{who}{n}", 100 - n, 100, who) for n in range(3) for who in "ab"]
    assert gone_of(recordings, 400) == ["a0", "b0"]


def test_one_huge_recording_does_not_empty_the_folder():
    """The newest goes before all others' where it alone has more than half; else it stays."""
    others = [owned("a", 50, 100, "a"), owned("b", 40, 100, "b")]
    assert gone_of([*others, owned("huge", 1, 900, "x")], 1000) == ["huge"]
    assert gone_of([*others, owned("large", 1, 150, "x")], 300) == ["a"]
    assert gone_of([owned("huge", 1, 9000, "x")], 1000) == []
