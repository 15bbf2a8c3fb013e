"""The life of a call with the server."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from icey.signalling.call_actions import (
    Absent,
    CandidateArrived,
    Ended,
    Incoming,
    Offered,
    Returned,
    Send,
)
from icey.signalling.calls import EARLY_CANDIDATES, CallState, CallTable

ALICE, BOB = "alice|a1", "bob|b2"
AGAIN = "alice|a3"
"""Alice's next socket."""
OFFER = {"type": "offer", "sdp": "v=0"}


def message(subtype, data=None):
    return {"type": "message", "subtype": subtype, "data": {} if data is None else data}


def candidate(n=0):
    return {
        "candidate": f"candidate:{n} 1 udp 1 192.0.2.1 9 typ host",
        "sdpMid": "0",
        "sdpMLineIndex": 0,
    }


def said(actions):
    """What is sent, as (subtype, data)."""
    return [(a.message["subtype"], a.message["data"]) for a in actions if isinstance(a, Send)]


def ring(table, caller=ALICE, now=0.0):
    actions = table.receive(caller, message("call:init"), now)
    return next(a.call_id for a in actions if isinstance(a, Incoming))


def offer(password="secret", **more):
    sdp = f"v=0\r\na=ice-ufrag:abcd\r\na=ice-pwd:{password}\r\n"
    return message("call:offer", {"type": "offer", "sdp": sdp, **more})


def negotiate(table, caller=ALICE, now=0.0):
    call = ring(table, caller, now)
    table.accept(call, now)
    table.receive(caller, message("call:offer", OFFER), now)
    return call


def test_a_whole_call_that_the_caller_hangs_up():
    """init, accept, offer, answer, candidates, active, hang-up: each step as specified."""
    table = CallTable()
    assert table.state("call-1") is CallState.ENDED
    assert table.receive(ALICE, message("call:init"), 0.0) == [Incoming("call-1", ALICE)]
    assert table.state("call-1") is CallState.INCOMING
    assert said(table.accept("call-1", 1.0)) == [("call:accept", {})]
    assert table.state("call-1") is CallState.NEGOTIATING
    assert table.receive(ALICE, message("call:offer", OFFER), 2.0) == [Offered("call-1", "v=0")]
    assert said(table.answer("call-1", "v=1")) == [
        ("call:answer", {"type": "answer", "sdp": "v=1"})
    ]
    assert table.receive(ALICE, message("call:candidate", candidate()), 3.0) == [
        CandidateArrived("call-1", candidate()["candidate"], "0", 0)
    ]
    assert not table.is_active("call-1")
    assert table.activate("call-1") == []
    assert table.is_active("call-1")
    assert (table.active, table.total, table.open_calls()) == (1, 1, ["call-1"])
    ended = table.receive(ALICE, message("call:hangup", {"reason": "bye"}), 4.0)
    assert ended == [Ended("call-1", "bye")]
    assert (table.active, table.total) == (0, 1)


def test_messages_carry_no_id_and_go_to_the_caller():
    """A stock client takes an id for a reply, so there is none."""
    table = CallTable()
    (send,) = table.accept(ring(table), 0.0)
    assert send.to == ALICE
    assert send.message == {"type": "message", "subtype": "call:accept", "data": {}}


def test_the_server_rejects_with_a_reason():
    """A refused call gets call:reject and is over."""
    table = CallTable()
    call = ring(table)
    actions = table.reject(call, "source unavailable: no such file")
    assert said(actions) == [("call:reject", {"reason": "source unavailable: no such file"})]
    assert actions[-1] == Ended(call, "source unavailable: no such file")
    assert table.reject(call, "again") == []


def test_a_rejected_offer_is_also_hung_up():
    """A rejection after the accept is sent as hang-up too: a stock caller listens for that."""
    table = CallTable()
    call = negotiate(table)
    reason = {"reason": "codec: browser offers no H.264"}
    assert said(table.reject(call, reason["reason"])) == [
        ("call:reject", reason),
        ("call:hangup", reason),
    ]


def test_the_server_hangs_up():
    """The server hangs an accepted call up, and rejects one that was never accepted."""
    table = CallTable()
    call = negotiate(table)
    table.activate(call)
    actions = table.hangup(call, "source ended")
    assert said(actions) == [("call:hangup", {"reason": "source ended"})]
    assert actions[-1] == Ended(call, "source ended")
    assert table.hangup(call, "again") == []
    assert said(table.hangup(ring(table), "no")) == [("call:reject", {"reason": "no"})]


def test_a_second_init_replaces_the_first():
    """A second init ends the first call without a message, which would end the new one."""
    table = CallTable()
    first = negotiate(table)
    table.activate(first)
    actions = table.receive(ALICE, message("call:init"), 1.0)
    assert actions == [Ended(first, "replaced by a new call"), Incoming("call-2", ALICE)]
    assert (table.active, table.total) == (1, 2)
    assert table.answer(first, "late") == []


def test_callers_do_not_disturb_each_other():
    """A call belongs to its caller's address."""
    table = CallTable()
    alices, bobs = negotiate(table, ALICE), negotiate(table, BOB)
    assert table.receive(ALICE, message("call:hangup"), 1.0) == [
        Ended(alices, "hung up by the caller")
    ]
    assert table.open_calls() == [bobs]


def test_a_closed_socket_ends_the_call():
    """A closed socket ends its call, and no message is sent."""
    table = CallTable()
    call = negotiate(table)
    assert table.caller_left(ALICE) == [Ended(call, "caller left")]
    assert table.caller_left(ALICE) == []


def test_no_offer_within_15_seconds():
    """A caller without an offer is hung up after 15 s, with the reason."""
    table = CallTable()
    call = ring(table)
    table.accept(call, 2.0)
    assert table.next_deadline() == 17.0
    assert table.expire(16.9) == []
    actions = table.expire(17.0)
    assert said(actions) == [("call:hangup", {"reason": "no offer within 15 s"})]
    assert actions[-1] == Ended(call, "no offer within 15 s")
    assert table.next_deadline() is None


def test_an_offer_stops_the_clock():
    """A call that has its offer does not expire."""
    table = CallTable()
    negotiate(table)
    assert table.next_deadline() is None
    assert table.expire(1e9) == []


def test_a_call_that_nobody_accepts_does_not_ring_for_ever():
    """The server's own slowness ends in a rejection."""
    table = CallTable()
    call = ring(table)
    assert said(table.expire(30.0))[0][0] == "call:reject"
    assert table.state(call) is CallState.ENDED


def test_candidates_wait_for_the_offer():
    """What arrives before the SDP follows it, in order."""
    table = CallTable()
    call = ring(table)
    assert table.receive(ALICE, message("call:candidate", candidate(1)), 0.0) == []
    table.accept(call, 0.0)
    assert table.receive(ALICE, message("call:candidate", candidate(2)), 0.0) == []
    actions = table.receive(ALICE, message("call:offer", OFFER), 0.0)
    assert actions[0] == Offered(call, "v=0")
    assert [a.candidate for a in actions[1:]] == [
        candidate(1)["candidate"],
        candidate(2)["candidate"],
    ]
    assert table.receive(ALICE, message("call:offer", OFFER), 0.0) == [Offered(call, "v=0")]


def test_early_candidates_are_bounded():
    """The excess is dropped and counted."""
    table = CallTable()
    ring(table)
    for n in range(EARLY_CANDIDATES + 5):
        table.receive(ALICE, message("call:candidate", candidate(n)), 0.0)
    assert table.candidates_dropped == 5
    table.accept("call-1", 0.0)
    assert len(table.receive(ALICE, message("call:offer", OFFER), 0.0)) == 1 + EARLY_CANDIDATES


@pytest.mark.parametrize("prefix", ["", "a="])
def test_candidates_with_or_without_prefix(prefix):
    """Candidates arrive without a=, whether they were sent with it or not."""
    table = CallTable()
    negotiate(table)
    data = {"candidate": prefix + "candidate:1 1 udp 1 192.0.2.1 9 typ host"}
    (arrived,) = table.receive(ALICE, message("call:candidate", data), 0.0)
    assert arrived.candidate == "candidate:1 1 udp 1 192.0.2.1 9 typ host"
    assert (arrived.sdp_mid, arrived.sdp_mline_index) == (None, None)


@pytest.mark.parametrize("data", [{}, {"candidate": ""}, {"candidate": None}])
def test_the_end_of_candidates_is_no_candidate(data):
    """The end of candidates, which some clients announce, is ignored."""
    table = CallTable()
    call = negotiate(table)
    assert table.receive(ALICE, message("call:candidate", data), 0.0) == []
    assert table.receive(ALICE, {"subtype": "call:candidate"}, 0.0) == []
    assert table.open_calls() == [call]


def test_an_offer_before_the_accept_waits():
    """An offer that comes before the accept is answered after it."""
    table = CallTable()
    call = ring(table)
    assert table.receive(ALICE, message("call:offer", OFFER), 0.0) == []
    actions = table.accept(call, 1.0)
    assert said(actions) == [("call:accept", {})]
    assert actions[-1] == Offered(call, "v=0")


def test_an_offer_out_of_the_blue_is_a_call():
    """An offer without an init is a call, which gets no accept."""
    table = CallTable()
    assert table.receive(ALICE, message("call:offer", OFFER), 0.0) == [Incoming("call-1", ALICE)]
    assert table.accept("call-1", 0.0) == [Offered("call-1", "v=0")]


def test_a_renegotiation_is_offered_again():
    """An offer on an active call (ICE restart) leaves it active."""
    table = CallTable()
    call = negotiate(table)
    table.activate(call)
    assert table.receive(ALICE, message("call:offer", OFFER), 9.0) == [Offered(call, "v=0")]
    assert table.is_active(call)


@pytest.mark.parametrize(
    ("subtype", "data"),
    [
        ("call:offer", None),
        ("call:offer", []),
        ("call:offer", {"type": "answer", "sdp": "v=0"}),
        ("call:offer", {"type": "offer"}),
        ("call:offer", {"type": "offer", "sdp": ""}),
        ("call:offer", {"type": "offer", "sdp": 7}),
        ("call:candidate", "text"),
        ("call:candidate", {"candidate": 7}),
        ("call:candidate", {"candidate": "x" * 2000}),
        ("call:candidate", {"candidate": "c", "sdpMid": 0}),
        ("call:candidate", {"candidate": "c", "sdpMLineIndex": "0"}),
        ("call:candidate", {"candidate": "c", "sdpMLineIndex": True}),
    ],
)
def test_malformed_data_ends_the_call_with_a_reason(subtype, data):
    """Malformed data ends the call, and the caller gets the reason."""
    table = CallTable()
    call = negotiate(table)
    actions = table.receive(ALICE, {"subtype": subtype, "data": data}, 0.0)
    ((said_subtype, said_data),) = said(actions)
    assert said_subtype == "call:hangup"
    assert said_data["reason"].startswith(f"malformed {subtype}: ")
    assert actions[-1] == Ended(call, said_data["reason"])


def test_a_malformed_offer_without_a_call_is_rejected():
    """A malformed offer without a call gets a rejection, and counts as no call."""
    table = CallTable()
    assert said(table.receive(ALICE, message("call:offer", {}), 0.0))[0][0] == "call:reject"
    assert table.total == 0


@pytest.mark.parametrize(
    "subtype", ["call:accept", "call:answer", "call:reject", "call:new", "", None, 7, []]
)
def test_other_subtypes_are_ignored(subtype):
    """Subtypes of a callee, and unknown ones, change nothing."""
    table = CallTable()
    call = negotiate(table)
    assert table.receive(ALICE, {"subtype": subtype, "data": {}}, 0.0) == []
    assert table.state(call) is CallState.NEGOTIATING


def test_what_comes_too_late_is_harmless():
    """Calls of the table about an ended call do nothing and raise nothing."""
    table = CallTable()
    for actions in (
        table.accept("call-9", 0.0),
        table.reject("call-9", "x"),
        table.answer("call-9", "v=0"),
        table.activate("call-9"),
        table.hangup("call-9", "x"),
        table.receive(ALICE, message("call:hangup"), 0.0),
        table.receive(ALICE, message("call:candidate", candidate()), 0.0),
    ):
        assert actions == []


def test_no_answer_before_an_offer():
    """An answer needs something to answer, and a call without an offer is never active."""
    table = CallTable()
    call = ring(table)
    table.accept(call, 0.0)
    assert table.accept(call, 0.0) == []
    assert table.answer(call, "v=0") == []
    table.activate(call)
    assert not table.is_active(call)


@pytest.mark.parametrize("reason", [None, 7, "", ["x"]])
def test_a_hangup_without_a_usable_reason(reason):
    """A hang-up without a usable reason ends the call too."""
    table = CallTable()
    call = negotiate(table)
    data = {"reason": reason}
    assert table.receive(ALICE, message("call:hangup", data), 0.0) == [
        Ended(call, "hung up by the caller")
    ]


def test_the_callers_reason_is_fit_for_a_log():
    """A caller's reason is cut to one short printable line."""
    table = CallTable()
    negotiate(table)
    (ended,) = table.receive(
        ALICE, message("call:hangup", {"reason": "a\nb\x1b[2J" + "x" * 999}), 0.0
    )
    assert ended.reason.startswith("a b [2J")
    assert len(ended.reason) == 400


class AnyOrder(RuleBasedStateMachine):
    """Callers and server act in any order, with any data."""

    def __init__(self):
        super().__init__()
        self.table = CallTable()
        self.now = 0.0
        self.alive = set()
        self.known = ["call-0"]

    def carry_out(self, actions):
        for action in actions:
            if isinstance(action, Incoming):
                assert action.call_id not in self.known
                self.alive.add(action.call_id)
                self.known.append(action.call_id)
            elif isinstance(action, Ended):
                self.alive.remove(action.call_id)
            elif isinstance(action, (Offered, CandidateArrived, Absent, Returned)):
                assert action.call_id in self.alive
            else:
                assert "id" not in action.message

    @rule(
        caller=st.sampled_from([ALICE, AGAIN, BOB]),
        subtype=st.sampled_from(
            ["call:init", "call:offer", "call:candidate", "call:hangup", "call:accept", "x"]
        ),
        data=st.sampled_from(
            [
                *(None, {}, OFFER, candidate(), [], 7, {"sdp": 1}, {"candidate": []}),
                *(offer()["data"], offer("other")["data"], offer(resume=True)["data"]),
            ]
        ),
    )
    def say(self, caller, subtype, data):
        self.carry_out(self.table.receive(caller, {"subtype": subtype, "data": data}, self.now))

    @precondition(lambda self: self.known)
    @rule(
        data=st.data(), verb=st.sampled_from(["accept", "reject", "answer", "activate", "hangup"])
    )
    def act(self, data, verb):
        call = data.draw(st.sampled_from(self.known))
        extra = {"accept": [self.now], "activate": []}.get(verb, ["text"])
        self.carry_out(getattr(self.table, verb)(call, *extra))

    @rule(caller=st.sampled_from([ALICE, AGAIN, BOB]), lost=st.booleans())
    def leave(self, caller, lost):
        self.carry_out(self.table.caller_left(caller, self.now, lost=lost))

    @rule(seconds=st.floats(min_value=0, max_value=40))
    def wait(self, seconds):
        self.now += seconds
        self.carry_out(self.table.expire(self.now))
        deadline = self.table.next_deadline()
        assert deadline is None or deadline > self.now

    @invariant()
    def counts_agree(self):
        assert set(self.table.open_calls()) == self.alive
        assert self.table.active == len(self.alive) <= 3
        assert self.table.total == len(self.known) - 1
        for call in self.alive:
            assert not self.table.is_absent(call) or self.table.next_deadline() is not None


TestAnyOrder = AnyOrder.TestCase


@given(
    st.dictionaries(
        st.sampled_from(["subtype", "data", "type"]),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(),
            lambda inner: (
                st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)
            ),
            max_leaves=5,
        ),
    )
)
def test_garbage_never_raises(garbage):
    """Any sequence of messages gives actions and raises nothing."""
    table = CallTable()
    ring(table)
    assert isinstance(table.receive(ALICE, garbage, 0.0), list)
