"""What waits for one WebSocket."""

import json
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from icey.server.outbox import Outbox, wire_of
from icey.signalling.actions import Change, Rank
from icey.signalling.limits import Limits
from icey.signalling.messages import Frame

LIMITS = Limits(queue_bytes=4000, receiver_bytes=100, receiver_window_s=10.0)
FREE = Limits(receiver_bytes=0)


def presence(peer, **data):
    return (peer, Frame({"type": "presence", "from": peer, **data}))


def said(pieces):
    return [json.loads(piece[2:] if piece[1] < 126 else piece[4:]) for piece in pieces]


def test_a_frame_is_made_once():
    """The bytes for all receivers are the same object, with the header of RFC 6455."""
    frame = Frame({"a": 1})
    assert wire_of(frame) is wire_of(frame)
    assert wire_of(frame) == b'\x81\x07{"a":1}'


def test_only_the_newest_presence_of_a_peer_waits():
    """A newer presence takes the place of an older one."""
    outbox = Outbox(FREE, 0.0)
    for n in range(5):
        outbox.show([presence("a", n=n), presence("b", n=n)], "changed")
    assert [(m["from"], m["n"]) for m in said(outbox.take(10_000, 0.0))] == [("a", 4), ("b", 4)]
    assert not outbox.waits


@pytest.mark.parametrize(
    ("changes", "sent"),
    [
        (["new", "changed"], ["changed"]),
        (["new", "gone"], []),
        (["new", "changed", "gone"], []),
        (["changed", "gone"], ["gone"]),
        (["gone", "new"], ["new"]),
        (["gone", "new", "gone"], ["gone"]),
    ],
)
def test_who_came_and_went_unseen_is_not_sent(changes, sent):
    """A farewell is sent to those alone who had been told of the peer."""
    outbox = Outbox(FREE, 0.0)
    for change in changes:
        outbox.show([presence("a", change=change)], change)
    assert [m["change"] for m in said(outbox.take(10_000, 0.0))] == sent


@given(st.lists(st.tuples(st.integers(0, 3), st.booleans()), max_size=60), st.integers(1, 300))
def test_a_receiver_knows_in_the_end_who_is_there(script, most):
    """However presence waits and is merged, what arrives ends with who is in sight."""
    outbox, there, known = Outbox(FREE, 0.0), set(), set()

    def read():
        for message in said(outbox.take(most, 0.0)):
            (known.add if message["online"] else known.discard)(message["from"])

    for number, reads in script:
        peer = f"p{number}"
        change: Change = "gone" if peer in there else "new"
        there ^= {peer}
        outbox.show([presence(peer, online=change == "new")], change)
        if reads:
            read()
    while outbox.waits:
        read()
    assert known == there


def test_messages_to_rooms_leave_room_for_direct_ones():
    """Each kind takes a quarter of the queue at most; what exceeds it is dropped."""
    outbox = Outbox(LIMITS, 0.0)
    wire = b"x" * 300
    assert [outbox.add(wire, Rank.ROOM, "a") for _ in range(4)] == [True] * 3 + [False]
    assert [outbox.add(wire, Rank.DIRECT, "a") for _ in range(4)] == [True] * 3 + [False]
    outbox.take(1, 0.0)
    assert outbox.add(wire, Rank.DIRECT, "a")


def test_direct_messages_come_first_and_presence_in_turn():
    """Neither presence nor messages to rooms can keep the other waiting."""
    outbox, numbers = Outbox(FREE, 0.0), count()
    for _ in range(3):
        outbox.add(wire_of(Frame({"kind": "room", "n": next(numbers)})), Rank.ROOM, "x")
    outbox.show([presence(f"p{n}", kind="presence") for n in range(3)], "new")
    outbox.add(wire_of(Frame({"kind": "direct"})), Rank.DIRECT, "x")
    kinds = [message["kind"] for message in said(outbox.take(10_000, 0.0))]
    assert kinds[0] == "direct"
    assert sorted(kinds[1:3]) == sorted(kinds[3:5]) == sorted(kinds[5:]) == ["presence", "room"]


def test_a_peer_is_known_before_it_is_heard():
    """The presence of a sender goes out before its message, however much presence waits."""
    outbox = Outbox(FREE, 0.0)
    outbox.show([presence(f"p{n}") for n in range(9)], "new")
    outbox.add(wire_of(Frame({"from": "p8", "type": "event"})), Rank.DIRECT, "p8")
    first, second = said(outbox.take(10_000, 0.0))[:2]
    assert (first["from"], first["type"]) == ("p8", "presence")
    assert second["type"] == "event"


def test_what_others_send_is_paced():
    """No more than the rate and its window goes out, in whole messages."""
    outbox = Outbox(LIMITS, 0.0)
    wire = b"x" * 400
    for _ in range(2):
        outbox.add(wire, Rank.ROOM, "a")
        outbox.add(wire, Rank.DIRECT, "a")
    assert sum(map(len, outbox.take(10_000, 0.0))) == 800
    assert outbox.take(10_000, 0.0) == []
    assert outbox.take(10_000, 1.9) == []
    assert outbox.take(10_000, 2.1) == [wire]
    assert outbox.waits
    assert outbox.take(10_000, 6.2) == [wire]
    assert not outbox.waits


def test_a_message_larger_than_the_window_goes_out_alone():
    """What is larger than all that may pass at once waits until nothing is owed."""
    outbox = Outbox(Limits(receiver_bytes=100, receiver_window_s=1.0), 0.0)
    outbox.add(b"a" * 50, Rank.ROOM, "a")
    outbox.add(b"b" * 500, Rank.ROOM, "a")
    assert outbox.take(10_000, 0.0) == [b"a" * 50]
    assert outbox.take(10_000, 0.4) == []
    assert outbox.take(10_000, 0.6) == [b"b" * 500]
    assert not outbox.waits


def test_the_servers_own_is_counted():
    """The server's own messages keep their order, and their bytes are known."""
    outbox = Outbox(LIMITS, 0.0)
    for wire in (b"a", b"bc"):
        outbox.add_own(wire)
    assert outbox.own_bytes == 3
    assert not outbox.waits
    assert outbox.take_own() == [b"a", b"bc"]
    assert outbox.own_bytes == 0
