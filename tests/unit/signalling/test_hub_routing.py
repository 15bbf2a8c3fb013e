"""The hub: who gets what. Every row on addresses and on the server's own peer."""

import pytest

SERVER = "icey|server"


# Routing


@pytest.mark.parametrize("kind", ["message", "command", "event"])
def test_routed_types_reach_every_room_of_the_sender(world, kind):
    """Without `to`, once each, never back; `from` is the server's word."""
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
    """By address or by bare session id, to one session only."""
    alice, bob, other = world.join("alice"), world.join("bob"), world.join("bob")
    world.quiet()
    world.say(alice, {"type": "message", "to": to, "body": "hi"})
    assert [f["body"] for f in world.take(bob)] == ["hi"]
    assert world.take(other) == []


@pytest.mark.parametrize(
    "to", ["alice|id2", "bob|id9", "|id2x", "id9", "nowhere", "", "bob|", "icey|id2"]
)
def test_wrong_addresses_reach_nobody(world, to):
    """User and id must both be right; nothing is said about it, only counted."""
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
    """To the members of a room that the sender is in; not into one that it is not in."""
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
    """Each member once, rooms that the sender is not in left out."""
    alice = world.join("alice", rooms=["a", "b"])
    bob = world.join("bob", rooms=["a", "b"])
    carol = world.join("carol", rooms=["c"])
    world.quiet()
    world.say(alice, {"type": "message", "to": ["a", "b", "c", "nowhere"]})
    assert len(world.take(bob)) == 1
    assert world.take(carol) == []


@pytest.mark.parametrize("to", [7, {}, [7], [["a"]], True])
def test_unusable_recipients(world, to):
    """400, and the session goes on."""
    alice = world.join("alice")
    world.quiet()
    world.say(alice, {"type": "message", "to": to})
    assert [f["status"] for f in world.take(alice)] == [400]
    assert alice not in world.closed


@pytest.mark.parametrize("kind", [None, "unknown", "welcome", "error", "join:ok", 7, [], {}])
def test_unknown_types_are_ignored(world, kind):
    """Nothing is said, nothing passes."""
    alice, bob = world.join("alice"), world.join("bob")
    world.quiet()
    world.say(alice, {"type": kind, "to": "bob|id2"})
    assert world.take(alice) == world.take(bob) == []


# The server's own peer


@pytest.mark.parametrize("to", [SERVER, "server"])
def test_call_messages_reach_the_server(world, to):
    """With the sender as the hub knows it, and to nobody else."""
    alice, bob = world.join("alice"), world.join("bob")
    world.quiet()
    world.say(alice, {"type": "message", "subtype": "call:init", "to": to, "from": "bob|id2"})
    ((sender, message),) = world.to_server
    assert (sender, message["from"], message["subtype"]) == ("alice|id1", "alice|id1", "call:init")
    assert world.take(bob) == []


def test_a_call_shouted_into_a_room_is_not_for_the_server(world):
    """A call between browsers must not make the server pick up."""
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
    """Only calls concern the sessions."""
    alice = world.join("alice")
    world.quiet()
    world.say(alice, {**frame, "to": SERVER})
    assert world.to_server == world.take(alice) == []


def test_the_server_speaks(world):
    """With its address, to one session, without an id; to one that is gone, not at all."""
    alice = world.join("alice")
    world.quiet()
    body = {"type": "message", "subtype": "call:accept", "id": "x", "data": {}, "from": "x"}
    world.perform(world.hub.send("alice|id1", body))
    assert world.take(alice) == [
        {"type": "message", "subtype": "call:accept", "data": {}, "from": SERVER, "to": "alice|id1"}
    ]
    for nobody in ("bob|id1", "alice|id9", "id1", ""):
        assert world.hub.send(nobody, body) == []
