"""Calls are bounded in all and by network, and a caller may be known again."""

import pytest

from icey.quota import Quota
from icey.signalling.call_actions import Incoming, Refused, Send
from icey.signalling.calls import CallTable


def init(table, who, network, now=0.0):
    """Call, and return the reason of the refusal, None without one."""
    actions = table.receive(who, {"subtype": "call:init", "data": {}}, now, network)
    rejected = [a for a in actions if isinstance(a, Send) and a.message["subtype"] == "call:reject"]
    refused = [a for a in actions if isinstance(a, Refused)]
    assert len(rejected) == len(refused) <= 1
    assert not any(isinstance(a, Incoming) for a in actions) or not rejected
    return refused[0].what if refused else None


def connect(table, who):
    """Offer, and be connected."""
    [call] = [call for call in table.open_calls() if table.caller(call) == who]
    table.accept(call, 0.0)
    table.receive(who, {"subtype": "call:offer", "data": {"type": "offer", "sdp": "v=0"}}, 0.0)
    table.activate(call)
    return call


def test_unconnected_calls_are_bounded_by_network():
    """One network's unconnected calls are refused beyond their bound; connected ones are not."""
    table = CallTable(Quota(0, 0), Quota(3, 2))
    assert init(table, "a|1", "n") is None
    assert init(table, "b|2", "n") is None
    assert init(table, "c|3", "n") == "unconnectedCallsPerAddress"
    assert init(table, "d|4", "m") is None
    assert init(table, "e|5", "o") == "unconnectedCalls"
    connect(table, "a|1")
    assert table.unconnected == 2
    assert init(table, "c|3", "n") is None
    table.caller_left("a|1")
    assert table.unconnected == 3


def test_calls_are_bounded_and_given_back():
    """A call that has ended, in whichever state, makes room; one called anew counts once."""
    table = CallTable(Quota(2, 0), Quota(0, 0))
    assert init(table, "a|1", "n") is None
    assert init(table, "a|1", "n") is None
    assert init(table, "b|2", "m") is None
    assert init(table, "c|3", "o") == "calls"
    assert table.active == 2
    table.hangup(connect(table, "a|1"), "bye")
    assert init(table, "c|3", "o") is None
    table.caller_left("b|2")
    table.caller_left("c|3")
    assert (table.active, table.unconnected) == (0, 0)


def test_a_refused_offer_out_of_the_blue():
    """A caller who does not wait to be accepted is rejected all the same, and nothing is kept."""
    table = CallTable(Quota(1, 0), Quota(0, 0))
    init(table, "a|1", "n")
    offer = {"subtype": "call:offer", "data": {"type": "offer", "sdp": "v=0"}}
    [reject, refused] = table.receive("b|2", offer, 0.0, "n")
    assert "limits.calls)" in reject.message["data"]["reason"]
    assert refused == Refused("calls", "n", reject.message["data"]["reason"])
    assert table.active == 1


@pytest.mark.parametrize(
    ("data", "secret"),
    [
        ({"session": "s"}, "s"),
        ({}, ""),
        (None, ""),
        ({"session": 7}, ""),
        ({"session": "s" * 300}, ""),
    ],
)
def test_the_session_of_a_caller(data, secret):
    """What a caller is known again by is a text of bounded length, or nothing."""
    table = CallTable()
    table.receive("a|1", {"subtype": "call:init", "data": data}, 0.0)
    assert table.secret(table.open_calls()[0]) == secret
