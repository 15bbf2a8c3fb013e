"""Names of recordings."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from icey.storage.paths import (
    ENDING,
    PART,
    SNAPSHOT,
    name_recording,
    parse_name,
    part_of,
    recovered_of,
    safe_peer,
)

MOMENTS = st.datetimes(datetime(1970, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - hypothesis' way
START = datetime(2026, 11, 24, 10, 11, 12, 345_678, tzinfo=UTC)


def test_the_form_of_a_name():
    """Peer, UTC to the millisecond, ending; another zone is turned into UTC."""
    assert name_recording("alice", START) == "alice-20261124T101112.345Z.mp4"
    berlin = START.astimezone(timezone(timedelta(hours=1)))
    assert name_recording("alice", berlin) == "alice-20261124T101112.345Z.mp4"
    assert name_recording("alice", START, again=1) == "alice-20261124T101112.345Z-2.mp4"


def test_what_a_name_is_called_before():
    """An open one ends in .mp4.part, what a crash left in .recovered.mp4."""
    part = part_of("alice-20261124T101112.345Z.mp4")
    assert part == "alice-20261124T101112.345Z.mp4.part"
    assert recovered_of(part) == "alice-20261124T101112.345Z.recovered.mp4"
    assert recovered_of(part, again=1) == "alice-20261124T101112.345Z-2.recovered.mp4"


@pytest.mark.parametrize(
    ("peer", "safe"),
    [
        ("alice", "alice"),
        ("../../etc/passwd", "_etc_passwd"),
        (".hidden", "_hidden"),
        ("a b\0c/d\\e", "a_b_c_d_e"),
        ("Ünïcode", "_n_code"),
        ("", "peer"),
        ("x" * 500, "x" * 64),
        ("-rf", "rf"),
    ],
)
def test_safe_characters(peer, safe):
    """Nothing in a peer's name leads out of the folder."""
    assert safe_peer(peer) == safe


@given(peer=st.text(), start=MOMENTS, again=st.integers(0, 99))
def test_every_name_is_read_back(peer, start, again):
    """A name is parsed again; it is one file name, not hidden, of bounded length."""
    name = name_recording(peer, start, again=again)
    assert "/" not in name
    assert not name.startswith(".")
    assert len(name.encode()) < 128
    parsed = parse_name(name)
    assert parsed is not None
    assert parsed.peer == safe_peer(peer)
    assert abs(parsed.start - start) < timedelta(milliseconds=1)
    assert not parsed.recovered
    recovered = parse_name(recovered_of(part_of(name)))
    assert recovered is not None
    assert recovered.recovered
    assert parse_name(part_of(name)) is None


@pytest.mark.parametrize(
    "name",
    [
        "alice.mp4",
        "alice-20261324T101112.345Z.mp4",
        f"alice-20261124T101112.345Z{PART}",
        "alice-20261124T101112.345Z.mp4.part.tmp",
        "holiday.mov",
        ".alice-20261124T101112.345Z.mp4",
        "alice-20261124T101112.345Z.mp4\n",
        "",
    ],
)
def test_other_files_are_not_ours(name):
    """A file of another name is never listed, and never removed."""
    assert parse_name(name) is None


def test_snapshots():
    """A snapshot has the same name with another ending, and is no recording; nor the other way."""
    name = name_recording("motion", START, ending=SNAPSHOT)
    assert name == "motion-20261124T101112.345Z.jpg"
    assert parse_name(name) is None
    parsed = parse_name(name, SNAPSHOT)
    assert parsed is not None
    assert parsed.start == START.replace(microsecond=345_000)
    assert parse_name(name_recording("motion", START, ending=ENDING), SNAPSHOT) is None
