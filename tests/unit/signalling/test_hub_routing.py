"""The hub: addresses, and messages to the server's own peer."""

import pytest

SERVER = "icey|server"


# Routing


@pytest.mark.parametrize("kind", ["message", "command", "event"])
def test_routed_types_reach_every_room_of_the_sender(world, kind):
    """Without `to` a message reaches everybody seen once, with the sender's true address."""
    alice, bob = world.join("alice", rooms=["den"]), world.join("bob", rooms=["den"])
    carol = world.join("carol")
    world.quiet()
    world.say(alice, {"type": kind, "from": "carol|id3", "id": "m1", "body": "hi", "extra": [1]})
    expected = {"type": kind, "from": "alice|id1", "id": "m1", "body": "hi", "extra": [1]}
    assert world.take(bob) == [expected]
    assert world.take(carol) == [expected]
    assert world.take(alice) == []


@pytest.mark.parametrize("to", ["bob|id2", "id2"])
def test_a_direct_message(world, to):
    """An address or a bare session id reaches that one session."""
    alice, bob, other = world.join("alice"), world.join("bob"), world.join("bob")
    world.quiet()
    world.say(alice, {"type": "message", "to": to, "body": "hi"})
    assert [f["body"] for f in world.take(bob)] == ["hi"]
    assert world.take(other) == []


@pytest.mark.parametrize(
    "to", ["alice|id2", "bob|id9", "|id2x", "id9", "nowhere", "", "bob|", "icey|id2"]
)
def test_wrong_addresses_reach_nobody(world, to):
    """A wrong user or id reaches nobody, gets no answer, and is counted."""
    alice, bob = world.join("alice"), world.join("bob")
    world.quiet()
    before = world.hub.counters.unroutable
    world.say(alice, {"type": "message", "to": to})
    assert world.take(bob) == world.take(alice) == []
    assert world.hub.counters.unroutable == before + 1


def test_direct_messages_need_a_shared_room(world):
    """Peers without a room in common cannot reach each other, nor the server."""
    alice, bob = world.join("alice"), world.join("bob")
    world.say(alice, {"type": "leave", "room": "public"})
    world.quiet()
    world.say(alice, {"type": "message", "to": "bob|id2"})
    world.say(bob, {"type": "message", "to": "id1"})
    world.say(alice, {"type": "message", "subtype": "call:init", "to": SERVER})
    assert world.take(alice) == world.take(bob) == world.to_server == []


def test_a_room_message(world):
    """A message to a room reaches its members, if the sender is one."""
    alice, bob = world.join("alice", rooms=["den"]), world.join("bob", rooms=["den"])
    carol = world.join("carol")
    world.quiet()
    world.say(alice, {"type": "message", "to": "den"})
    assert len(world.take(bob)) == 1
    world.say(carol, {"type": "message", "to": "den"})
    world.say(carol, {"type": "message", "to": "bob"})
    assert world.take(alice) == world.take(bob) == world.take(carol) == []


def test_the_own_room_is_all_sessions_of_a_user(world):
    """Two tabs of one user reach each other by the user's name."""
    one, two = world.join("alice"), world.join("alice")
    world.quiet()
    world.say(one, {"type": "message", "to": "alice"})
    assert len(world.take(two)) == 1


def test_a_list_of_rooms(world):
    """A list of rooms reaches each member once; rooms that the sender is not in are left out."""
    alice = world.join("alice", rooms=["a", "b"])
    bob = world.join("bob", rooms=["a", "b"])
    carol = world.join("carol", rooms=["c"])
    world.quiet()
    world.say(alice, {"type": "message", "to": ["a", "b", "c", "nowhere"]})
    assert len(world.take(bob)) == 1
    assert world.take(carol) == []


@pytest.mark.parametrize("to", [7, {}, [7], [["a"]], True])
def test_unusable_recipients(world, to):
    """An unusable `to` is refused with 400, and the session goes on."""
    alice = world.join("alice")
    world.quiet()
    world.say(alice, {"type": "message", "to": to})
    assert [f["status"] for f in world.take(alice)] == [400]
    assert alice not in world.closed


@pytest.mark.parametrize("kind", [None, "unknown", "welcome", "error", "join:ok", 7, [], {}])
def test_unknown_types_are_ignored(world, kind):
    """A message of an unknown type is neither passed on nor answered."""
    alice, bob = world.join("alice"), world.join("bob")
    world.quiet()
    world.say(alice, {"type": kind, "to": "bob|id2"})
    assert world.take(alice) == world.take(bob) == []


# The server's own peer


@pytest.mark.parametrize("to", [SERVER, "server"])
def test_call_messages_reach_the_server(world, to):
    """A call message reaches the server with the sender's true address, and nobody else."""
    alice, bob = world.join("alice"), world.join("bob")
    world.quiet()
    world.say(alice, {"type": "message", "subtype": "call:init", "to": to, "from": "bob|id2"})
    ((sender, message),) = world.to_server
    assert (sender, message["from"], message["subtype"]) == ("alice|id1", "alice|id1", "call:init")
    assert world.take(bob) == []


def test_a_call_shouted_into_a_room_is_not_for_the_server(world):
    """A call message to a room is a call between browsers, which the server does not take."""
    alice, bob = world.join("alice"), world.join("bob")
    world.quiet()
    for to in ({}, {"to": "public"}, {"to": ["public"]}):
        world.say(alice, {"type": "message", "subtype": "call:init", **to})
    assert world.to_server == []
    assert len(world.take(bob)) == 3


@pytest.mark.parametrize(
    "frame",
    [
        {"type": "message", "subtype": "chat"},
        {"type": "message"},
        {"type": "message", "subtype": 7},
        {"type": "event", "subtype": "call:init"},
        {"type": "presence"},
    ],
)
def test_other_messages_to_the_server_end_there(world, frame):
    """Messages to the server that are no call messages go nowhere."""
    alice = world.join("alice")
    world.quiet()
    world.say(alice, {**frame, "to": SERVER})
    assert world.to_server == world.take(alice) == []


def test_the_server_speaks(world):
    """A message of the server has its address and no id, and reaches one session that is there."""
    alice = world.join("alice")
    world.quiet()
    body = {"type": "message", "subtype": "call:accept", "id": "x", "data": {}, "from": "x"}
    world.perform(world.hub.send("alice|id1", body))
    assert world.take(alice) == [
        {"type": "message", "subtype": "call:accept", "data": {}, "from": SERVER, "to": "alice|id1"}
    ]
    for nobody in ("bob|id1", "alice|id9", "id1", ""):
        assert world.hub.send(nobody, body) == []
