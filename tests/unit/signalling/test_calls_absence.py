"""Calls whose caller's socket is lost."""

import pytest

from icey.signalling.call_actions import Absent, Ended, Incoming, Offered, Returned
from icey.signalling.calls import ABSENCE_S, CallTable
from unit.signalling.test_calls import AGAIN, ALICE, OFFER, message, negotiate, offer, said


def lose(table, caller=ALICE, network="net"):
    """An active call whose socket is lost at 10 s."""
    (incoming,) = table.receive(caller, message("call:init"), 0.0, network)
    call = incoming.call_id
    table.accept(call, 0.0)
    table.receive(caller, offer(), 0.0, network)
    table.activate(call)
    assert table.caller_left(caller, 10.0, lost=True) == [Absent(call)]
    return call


def test_an_active_call_outlives_its_socket():
    """A lost socket leaves live media 30 s; then the call ends without a message."""
    table = CallTable()
    call = lose(table)
    assert table.is_absent(call)
    assert table.is_active(call)
    assert table.next_deadline() == 10.0 + ABSENCE_S
    assert table.expire(39.9) == []
    assert table.expire(40.0) == [Ended(call, "caller left 30 s ago")]
    assert not table.is_absent(call)


def test_a_call_without_media_ends_with_its_socket():
    """A call that is not active yet has nothing that could go on."""
    table = CallTable()
    call = negotiate(table)
    assert table.caller_left(ALICE, 1.0, lost=True) == [Ended(call, "caller left")]


def test_the_caller_comes_back_by_its_ice_password():
    """An offer from another socket with the call's ICE password takes the call up again."""
    table = CallTable()
    call = lose(table)
    again = offer()
    actions = table.receive(AGAIN, again, 12.0, "net")
    assert actions == [Returned(call, AGAIN), Offered(call, again["data"]["sdp"])]
    assert (table.caller(call), table.is_absent(call), table.total) == (AGAIN, False, 1)
    assert table.expire(1e9) == []
    assert [a.to for a in table.answer(call, "v=1")] == [AGAIN]
    assert table.receive(AGAIN, message("call:hangup", {"reason": "bye"}), 13.0) == [
        Ended(call, "bye")
    ]


@pytest.mark.parametrize(
    ("caller", "network", "password"),
    [(AGAIN, "net", "guess"), (AGAIN, "other", "secret"), ("eve|e1", "net", "secret")],
)
def test_nobody_else_takes_a_call_up(caller, network, password):
    """Another password, network or user is another call."""
    table = CallTable()
    call = lose(table)
    actions = table.receive(caller, offer(password), 12.0, network)
    assert isinstance(actions[-1], Incoming)
    assert table.caller(call) != caller


def test_a_call_without_ice_password_is_not_taken_up():
    """Two offers without a password do not match by that."""
    table = CallTable()
    call = negotiate(table)
    table.activate(call)
    table.caller_left(ALICE, 1.0, lost=True)
    actions = table.receive(AGAIN, message("call:offer", OFFER), 2.0)
    assert actions == [Ended(call, "replaced by a new call"), Incoming("call-2", AGAIN)]


def test_a_call_that_is_over_is_not_resumed():
    """Who means to resume is refused where there is nothing to resume, and gets no new call."""
    table = CallTable()
    assert said(table.receive(AGAIN, offer(resume=True), 0.0)) == [
        ("call:reject", {"reason": "the call to resume is over"})
    ]
    assert (table.total, table.active) == (0, 0)


def test_a_new_call_replaces_the_one_without_a_socket():
    """Who calls again from the same network has given its old call up; others keep theirs."""
    table = CallTable()
    call = lose(table)
    others = lose(table, "alice|a9", "other")
    actions = table.receive(AGAIN, message("call:init"), 12.0, "net")
    assert actions == [Ended(call, "replaced by a new call"), Incoming("call-3", AGAIN)]
    assert table.is_absent(others)
