"""The hub: who costs pays, for messages, presence, probes and places in rooms."""

import pytest

SERVER = "icey|server"


def statuses(frames):
    return [f["status"] for f in frames if f["type"] == "error"]


# Bytes


def test_a_broadcaster_uses_up_its_budget(make_world):
    """Bytes times receivers are bounded; the excess is dropped, counted, and said once a second."""
    world = make_world(sender_bytes=100_000, sender_window_s=2.0)
    alice, bob, carol = world.join("alice"), world.join("bob"), world.join("carol")
    world.quiet()
    for _ in range(10):
        world.say(alice, {"type": "event", "body": "x" * 50_000})
    assert len(world.take(bob)) == len(world.take(carol)) == 2
    assert statuses(world.take(alice)) == [429]
    assert world.hub.counters.over_budget == 8
    assert world.refused == ["senderBytes"] * 8
    world.pass_time(1.0)
    world.say(alice, {"type": "event"})
    assert len(world.take(bob)) == 1


def test_many_sockets_of_one_network_share_a_budget(make_world):
    """Forty sockets of a stranger cost others no more than a few; another network is not hurt."""
    world = make_world(sender_bytes=10_000, sender_window_s=1.0, network_senders=4)
    strangers = [world.join(f"x{n}", network="192.0.2.1") for n in range(40)]
    alice, bob = world.join("alice"), world.join("bob")
    world.quiet()
    world.pass_time(1.0)  # what it cost to enter is paid
    for stranger in strangers:
        world.say(stranger, {"type": "event", "to": "bob|id42", "body": "x" * 9_000})
    assert len(world.take(bob)) == 5
    assert world.refused == ["senderBytesPerAddress"] * 35
    world.say(alice, {"type": "event", "to": "bob|id42"})
    assert len(world.take(bob)) == 1


def test_calls_cost_no_budget(make_world):
    """Who has used up its budget can still call the server."""
    world = make_world(sender_bytes=1000, sender_window_s=1.0)
    alice, _ = world.join("alice"), world.join("bob")
    for _ in range(5):
        world.say(alice, {"type": "event", "body": "x" * 5000})
    assert world.hub.counters.over_budget == 4
    world.say(alice, {"type": "message", "subtype": "call:init", "to": SERVER})
    assert len(world.to_server) == 1


def test_small_messages_count_as_larger_ones(make_world):
    """At each receiver a message costs 256 bytes at least: to pass it on costs time, too."""
    world = make_world(sender_bytes=2560, sender_window_s=1.0)
    alice, bob = world.join("alice"), world.join("bob")
    world.quiet()
    for _ in range(20):
        world.say(alice, {"type": "event"})
    assert len(world.take(bob)) == 10


def test_coming_and_going_costs(make_world):
    """Who joins and leaves a room of many again and again is refused; then time pays for it."""
    world = make_world(sender_bytes=1600, sender_window_s=1.0)
    for n in range(10):
        world.join(f"x{n}", network=str(n), rooms=["den"])
    alice = world.join("alice")
    world.say(alice, {"type": "leave", "room": "public"})
    joined = 0
    for _ in range(40):
        world.quiet()
        world.say(alice, {"type": "join", "room": "den"})
        joined += any(f["type"] == "join:ok" for f in world.take(alice))
        world.say(alice, {"type": "leave", "room": "den"})
    assert 3 <= joined <= 6
    world.pass_time(2.0)
    world.quiet()
    world.say(alice, {"type": "join", "room": "den"})
    assert world.take(alice)[0]["type"] == "join:ok"


def test_a_network_in_debt_comes_in_later(make_world):
    """Who enters while its network owes others is not shown yet, can call, and is shown later."""
    world = make_world(sender_bytes=1000, sender_window_s=1.0, network_senders=1)
    alice = world.join("alice", network="a")
    crowd = [world.join(f"x{n}", network="e") for n in range(9)]
    for n in range(3):
        world.perform(world.hub.close(crowd.pop()))
        crowd.append(world.join(f"y{n}", network="e"))
    world.quiet()
    mallory = world.join("mallory", network="e")
    welcome, *seen = world.take(mallory)
    assert welcome["rooms"] == []
    assert [f["from"] for f in seen if f["type"] == "presence"] == [SERVER]
    assert world.take(alice) == []
    world.say(mallory, {"type": "message", "subtype": "call:init", "to": SERVER})
    assert len(world.to_server) == 1
    world.pass_time(1.0)
    assert f"mallory|{mallory}" in [f["from"] for f in world.take(alice)]


def test_messages_that_cost_too_much_close_no_door(make_world):
    """A network that owes others for messages can still enter and join."""
    world = make_world(sender_bytes=1000, sender_window_s=1.0, network_senders=1)
    eve, _ = world.join("eve", network="e"), world.join("alice", network="a")
    world.say(eve, {"type": "event", "body": "x" * 30_000})
    bob = world.join("bob", network="e")
    assert world.take(bob)[0]["rooms"] == ["bob", "public"]
    world.say(bob, {"type": "join", "room": "den"})
    assert statuses(world.take(bob)) == []


# Presence


def test_presence_is_told_once_a_second(world):
    """Of many presences in a second others get the first and, when it is over, the newest."""
    alice, bob = world.join("alice"), world.join("bob")
    world.quiet()
    for n in range(10):
        world.say(alice, {"type": "presence", "data": {"n": n}})
    assert [f["data"]["n"] for f in world.take(bob)] == [0]
    assert world.hub.counters.presences_merged == 8
    carol = world.join("carol")
    assert next(f for f in world.take(carol) if f.get("from") == "alice|id1")["data"]["n"] == 9
    world.quiet()
    world.pass_time(0.99)
    assert world.take(bob) == []
    world.pass_time(0.02)
    assert [f["data"]["n"] for f in world.take(bob)] == [9]
    world.pass_time(5)
    assert world.take(bob) == []


def test_presence_waits_for_its_budget(make_world):
    """A presence that its sender cannot pay for yet is told later, not refused."""
    world = make_world(sender_bytes=1000, sender_window_s=1.0)
    alice, bob = world.join("alice"), world.join("bob")
    world.say(alice, {"type": "event", "body": "x" * 3000})
    world.quiet()
    world.say(alice, {"type": "presence", "data": {"mood": "good"}})
    assert world.take(alice) == world.take(bob) == []
    world.pass_time(4)
    assert [f["data"]["mood"] for f in world.take(bob)] == ["good"]


def test_who_has_left_is_told_no_more(world):
    """What was put off is forgotten with its peer."""
    alice, bob = world.join("alice"), world.join("bob")
    for n in range(2):
        world.say(alice, {"type": "presence", "data": {"n": n}})
    world.perform(world.hub.close(alice))
    world.quiet()
    world.pass_time(10)
    assert world.take(bob) == []


# Probes


def test_answers_to_probes_are_free(world):
    """Who answers each probe once keeps its own budget of messages."""
    alice = world.join("alice")
    strangers = [world.join(f"x{n}") for n in range(4)]
    asked = 0
    for _ in range(100):
        world.now += 0.1
        world.perform(world.hub.expire(world.now))
        for stranger in strangers:
            world.say(stranger, {"type": "presence", "probe": True, "data": {}})
        for frame in world.take(alice):
            if frame.get("probe"):
                asked += 1
                world.say(alice, {"type": "presence", "to": frame["from"].partition("|")[2]})
    assert 0 < asked <= 20
    world.quiet()
    for _ in range(100):
        world.say(alice, {"type": "message", "subtype": "call:candidate", "to": SERVER})
    assert len(world.to_server) == 100
    assert statuses(world.take(alice)) == []


def test_answers_cost_no_bytes(make_world):
    """Who answers a probe is not refused though strangers of its network used up the budget."""
    world = make_world(sender_bytes=1000, sender_window_s=1.0, network_senders=1)
    alice, bob, eve = world.join("alice"), world.join("bob"), world.join("eve")
    world.say(bob, {"type": "presence", "probe": True, "to": "id1"})
    world.say(eve, {"type": "event", "body": "x" * 5000})
    world.quiet()
    world.say(alice, {"type": "presence", "to": "id2", "data": {"mood": "good"}})
    assert [f["data"]["mood"] for f in world.take(bob)] == ["good"]
    world.say(alice, {"type": "presence", "to": "id2"})
    assert statuses(world.take(alice)) == [429]


def test_only_as_many_answers_are_free_as_were_asked_for(world):
    """Presences to one peer count like any message once the probes are answered."""
    alice, bob = world.join("alice"), world.join("bob")
    world.say(bob, {"type": "presence", "probe": True})
    world.quiet()
    for _ in range(150):
        world.say(alice, {"type": "presence", "to": "id2"})
    assert len(world.take(bob)) == 100  # one free, and 99 after the auth
    assert statuses(world.take(alice)) == [429]


def test_probes_into_rooms_are_merged(world):
    """One probe in five seconds is passed on; the next is answered by the server, once."""
    alice, bob = world.join("alice"), world.join("bob", data={"mood": "good"})
    world.quiet()
    for _ in range(20):
        world.say(alice, {"type": "presence", "probe": True, "data": {}})
    assert [f.get("probe", False) for f in world.take(bob)].count(True) == 1
    assert {f["from"] for f in world.take(alice)} == {SERVER}
    world.pass_time(4.9)
    assert world.take(alice) == []
    world.pass_time(0.2)
    assert [(f["from"], f["data"]["mood"]) for f in world.take(alice)] == [("bob|id2", "good")]
    assert world.hub.counters.probes_answered == 1
    world.quiet()
    world.pass_time(5)
    world.say(alice, {"type": "presence", "probe": True, "data": {}})
    assert [f.get("probe") for f in world.take(bob)] == [True]


def test_the_server_answers_for_who_was_asked_enough(world):
    """A peer is passed ten probes in ten seconds; further askers hear of it from the server."""
    alice = world.join("alice", data={"mood": "good"})
    askers = [world.join(f"x{n}") for n in range(30)]
    world.quiet()
    for asker in askers:
        world.say(asker, {"type": "presence", "probe": True, "to": "id1"})
    assert len(world.take(alice)) == 10
    answered = [f for asker in askers for f in world.take(asker)]
    assert [(f["from"], f["data"]["mood"]) for f in answered] == [("alice|id1", "good")] * 20


# Places


def test_a_full_room_is_refused(make_world):
    """To join a full room is refused with 503 and counted; the session goes on."""
    world = make_world(room_peers=2)
    alice, _ = world.join("alice", rooms=["den"]), world.join("bob", rooms=["den"])
    carol = world.join("carol")
    world.quiet()
    world.say(carol, {"type": "join", "room": "den"})
    assert statuses(world.take(carol)) == [503]
    assert world.take(alice) == []
    assert "roomPeers" in world.refused
    assert carol not in world.closed


def test_a_full_room_of_the_auth_is_left_out(make_world):
    """Who names a full room in its auth is told so, and is in the others."""
    world = make_world(room_peers=2)
    world.join("alice", rooms=["den"])
    world.join("bob", rooms=["den"])
    for friend in ("id1", "id2"):
        world.say(friend, {"type": "leave", "room": "public"})
    carol = world.join("carol", rooms=["den"])
    welcome, error, *_ = world.take(carol)
    assert welcome["rooms"] == ["carol", "public"]
    assert (error["status"], "den" in error["message"]) == (503, True)


def test_who_comes_when_public_is_full_can_call(make_world):
    """It sees the server and nobody else, nobody sees it, and its calls and probes are answered."""
    world = make_world(room_peers=2)
    alice, _ = world.join("alice"), world.join("bob")
    world.quiet()
    carol = world.join("carol")
    welcome, *seen = world.take(carol)
    assert welcome["rooms"] == ["carol"]
    assert [f["from"] for f in seen] == [SERVER]
    assert world.take(alice) == []
    world.say(carol, {"type": "message", "subtype": "call:init", "to": SERVER})
    assert [sender for sender, _ in world.to_server] == ["carol|id3"]
    for to in ({}, {"to": "public"}, {"to": SERVER}):
        world.say(carol, {"type": "presence", "probe": True, **to})
        assert [f["from"] for f in world.take(carol)] == [SERVER]
    world.say(carol, {"type": "event"})
    world.say(alice, {"type": "message", "to": "carol|id3"})
    assert world.take(alice) == world.take(carol) == []


def test_who_waits_for_public_enters_when_there_is_room(make_world):
    """A second after a place is free the one who waited longest is shown to those inside."""
    world = make_world(room_peers=2)
    alice, bob = world.join("alice"), world.join("bob")
    carol, dave = world.join("carol"), world.join("dave")
    world.perform(world.hub.close(bob))
    world.quiet()
    assert world.take(carol) == []
    world.pass_time(1.0)
    assert [f["from"] for f in world.take(alice)] == ["carol|id3"]
    assert [f["from"] for f in world.take(carol)] == ["alice|id1"]
    world.say(dave, {"type": "leave", "room": "public"})
    world.say(dave, {"type": "message", "subtype": "call:init", "to": SERVER})
    assert world.to_server == []
    world.perform(world.hub.close(carol))
    world.pass_time(5)
    assert {f["from"] for f in world.take(alice)} == {"carol|id3"}


def test_one_network_does_not_keep_others_out(make_world):
    """Where one address has filled `public`, others take places of it, up to as many as it has."""
    world = make_world(room_peers=4)
    crowd = [world.join(f"x{n}", network="192.0.2.1") for n in range(6)]
    world.quiet()
    alice = world.join("alice", network="192.0.2.7")
    welcome, *seen = world.take(alice)
    assert welcome["rooms"] == ["alice", "public"]
    assert {f["from"] for f in seen} == {SERVER, "x0|id1", "x1|id2", "x2|id3"}
    gone = [(f["from"], f["data"]["online"]) for f in world.take(crowd[0])]
    assert gone == [("x3|id4", False), ("alice|id7", True)]
    assert all(not f["data"]["online"] for f in world.take(crowd[3]))
    world.say(crowd[3], {"type": "message", "subtype": "call:init", "to": SERVER})
    assert len(world.to_server) == 1
    for user, rooms in (("bob", 2), ("carol", 1)):
        session = world.join(user, network="192.0.2.7")
        assert len(world.take(session)[0]["rooms"]) == rooms


def test_those_who_wait_may_leave(make_world):
    """Sessions that end while they wait leave nothing behind."""
    world = make_world(room_peers=1)
    sessions = [world.join(f"x{n}") for n in range(50)]
    for session in sessions:
        world.perform(world.hub.close(session))
        world.pass_time(0.1)
    world.pass_time(10)
    assert world.hub.next_deadline() is None
    assert set(world.hub._rooms) == {"icey", "public"}


# Names


@pytest.mark.parametrize(
    ("auth", "status"),
    [
        ({"user": " icey"}, 401),
        ({"user": "i\u0441ey"}, 401),
        ({"user": "icey server"}, 401),
        ({"user": "icey-server"}, 401),
        ({"user": "eve", "name": "\u0406CEY"}, 401),
        ({"user": "eve", "data": {"peerType": "Server"}}, 401),
        ({"user": "eve", "data": {"peerType": "\u0455erver "}}, 401),
        ({"user": "i\u200bcey"}, 401),
        ({"user": "eve\u2800"}, 401),
        ({"user": "eve", "name": "Eve\u200b"}, 400),
    ],
    ids=ascii,
)
def test_names_that_read_as_the_servers_are_refused(world, auth, status):
    """Neither user, nor name, nor type may look like the server's; nothing unseen is in a name."""
    session = world.open()
    world.say(session, {"type": "auth", **auth})
    assert statuses(world.take(session)) == [status]
    assert session in world.closed
