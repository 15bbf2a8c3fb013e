"""The token bucket, and limits that fit together."""

import re
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from icey.server import websocket
from icey.signalling import calls
from icey.signalling.limits import Limits, TokenBucket


def test_allows_its_capacity_at_once_and_no_more():
    """A hundred messages pass in one instant, the next one does not."""
    bucket = TokenBucket(100, 10.0, now=0.0)
    assert [bucket.take(0.0) for _ in range(101)] == [True] * 100 + [False]


def test_refills_with_time():
    """Ten messages a second come back, up to the capacity."""
    bucket = TokenBucket(100, 10.0, now=0.0)
    for _ in range(100):
        bucket.take(0.0)
    assert [bucket.take(0.5) for _ in range(6)] == [True] * 5 + [False]
    assert sum(bucket.take(1000.0) for _ in range(200)) == 100


def test_a_clock_that_stands_still_or_goes_back_gives_nothing():
    """Time that does not pass refills nothing."""
    bucket = TokenBucket(1, 1.0, now=5.0)
    assert bucket.take(5.0)
    assert not bucket.take(4.0)
    assert not bucket.take(5.0)
    assert bucket.take(6.0)


@given(st.lists(st.floats(min_value=0, max_value=5), max_size=400))
def test_never_more_than_capacity_and_rate_allow(pauses):
    """However the messages are spread, no span of time lets through more than its share."""
    bucket = TokenBucket(10, 1.0, now=0.0)
    now, passed = 0.0, 0
    for pause in pauses:
        now += pause
        passed += bucket.take(now)
    assert passed <= 10 + 10 * now + 1e-6


def test_snapshot_of_a_full_room_fits_into_a_queue():
    """500 peers with the largest extras do not get a newcomer dropped as a slow reader."""
    limits = Limits()
    envelope = 6 * (2 * limits.name_characters + 2 * limits.display_characters) + 300
    typical = limits.extras_bytes + 300
    assert 500 * typical < limits.queue_bytes
    assert envelope + limits.extras_bytes < limits.message_bytes


def test_the_documented_limits_are_the_real_ones():
    """The table in docs/protocol.md says what the code does."""
    text = (Path(__file__).parents[3] / "docs" / "protocol.md").read_text()
    table = dict(
        re.findall(r"^\| ([^|]+?) \| (\d+)[^|]*\|", text.partition("## Limits")[2], re.MULTILINE)
    )
    limits = Limits()
    assert {name: int(value) for name, value in table.items()} == {
        "size of a message": limits.message_bytes,
        "fragments of a message": websocket.MAX_FRAGMENTS,
        "messages of a peer": limits.messages,
        "time until `auth`": limits.auth_timeout_s,
        "broken messages": limits.broken_messages,
        "bytes queued to a slow reader": limits.queue_bytes,
        "bytes of others to one receiver": limits.receiver_bytes,
        "bytes of one sender at all receivers": limits.sender_bytes,
        "peers in a room": limits.room_peers,
        "probes passed to a peer": limits.probes,
        "probes into rooms of a peer": 1,
        "presences of a peer": 1 / limits.presence_interval_s,
        "time without its socket": calls.ABSENCE_S,
        "sockets at a time": limits.sockets,
        "rooms of a peer": limits.rooms,
        "user, room": limits.name_characters,
        "name, peerType": limits.display_characters,
        "extras of a presence": limits.extras_bytes,
        "nesting": limits.depth,
        "early candidates of a call": calls.EARLY_CANDIDATES,
        "a candidate": calls.CANDIDATE_CHARACTERS,
        "a caller's reason": calls.REASON_CHARACTERS,
    }
