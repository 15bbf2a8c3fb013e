"""The hub: authentication, presence and rooms, without a socket."""

import pytest

from icey.signalling.hub import random_id

SERVER = "icey|server"


# Authentication


def test_welcome_says_who_one_is(world):
    """The welcome has protocol, status, peer with its extras, and the rooms, the own one first."""
    alice = world.join(
        "alice", name="Alice", token="", data={"peerType": "browser"}, rooms=["public"]
    )
    assert world.take(alice)[0] == {
        "type": "welcome",
        "protocol": "symple/4",
        "status": 200,
        "peer": {
            "id": "id1",
            "user": "alice",
            "name": "Alice",
            "type": "browser",
            "online": True,
            "peerType": "browser",
        },
        "rooms": ["alice", "public"],
    }


def test_session_ids_are_16_random_characters():
    """Session ids are 16 letters and digits, and never the same twice."""
    ids = {random_id() for _ in range(200)}
    assert len(ids) == 200
    assert all(len(i) == 16 and i.isalnum() for i in ids)


@pytest.mark.parametrize(
    ("frame", "status"),
    [
        ({"type": "auth"}, 401),
        ({"type": "auth", "user": ""}, 401),
        ({"type": "auth", "user": "icey"}, 401),
        ({"type": "auth", "user": "ICEY"}, 401),
        ({"type": "auth", "user": "eve", "data": {"peerType": "server"}}, 401),
        ({"type": "auth", "user": "alice", "rooms": 7}, 400),
        ({"type": "message", "user": "alice"}, 401),
        ({"user": "alice"}, 401),
        ("nonsense", 400),
        ("[]", 400),
    ],
)
def test_anything_but_a_good_auth_closes(world, frame, status):
    """A first message that is no usable auth gets one error and the close."""
    session = world.open()
    world.say(session, frame)
    (error,) = world.take(session)
    assert (error["type"], error["status"]) == ("error", status)
    assert error["message"]
    assert session in world.closed
    world.say(session, {"type": "auth", "user": "alice"})
    assert world.take(session) == []


@pytest.mark.parametrize(("offered", "welcome"), [("right", True), ("wrong", False), (None, False)])
def test_token(make_world, offered, welcome):
    """With a token set, only that token authenticates."""
    world = make_world(token="right")
    session = world.join("alice", **({} if offered is None else {"token": offered}))
    first = world.take(session)[0]
    assert (first["type"], first["status"]) == (("welcome", 200) if welcome else ("error", 401))
    assert (session in world.closed) is not welcome


def test_no_auth_within_ten_seconds(world):
    """A socket without auth gets 408 and the close; authenticated ones stay."""
    late, good = world.open(), world.join("alice")
    assert world.hub.next_deadline() == 10.0
    world.now = 9.9
    world.perform(world.hub.expire(world.now))
    assert world.closed == {}
    later = world.open()
    world.now = 10.0
    world.perform(world.hub.expire(world.now))
    assert [f["status"] for f in world.take(late)] == [408]
    assert set(world.closed) == {late}
    assert world.hub.next_deadline() == 19.9
    assert good not in world.closed
    assert later not in world.closed


def test_a_second_auth_is_ignored(world):
    """A second auth changes nothing."""
    alice = world.join("alice")
    world.quiet()
    world.say(alice, {"type": "auth", "user": "bob"})
    assert world.take(alice) == []


def test_the_house_can_be_full(make_world):
    """Above the limit of sockets no session is opened, and the refusal is counted."""
    world = make_world(sockets=2)
    world.open()
    second = world.open()
    assert world.hub.open(0.0) is None
    assert world.hub.counters.refused == 1
    world.hub.close(second)
    assert world.hub.open(0.0) is not None


# Presence


def test_entry_shows_everyone_to_everyone(world):
    """The newcomer gets a snapshot, the server in it; the others get the newcomer."""
    alice = world.join("alice")
    snapshot = world.take(alice)[1:]
    assert [f["from"] for f in snapshot] == [SERVER]
    assert snapshot[0]["data"]["capabilities"] == ["view"]
    bob = world.join("bob", data={"mood": "good"})
    assert {f["from"] for f in world.take(bob)[1:]} == {SERVER, "alice|id1"}
    assert world.take(alice) == [
        {
            "type": "presence",
            "from": "bob|id2",
            "data": {
                "mood": "good",
                "id": "id2",
                "user": "bob",
                "name": "bob",
                "type": "peer",
                "online": True,
            },
        }
    ]


@pytest.mark.parametrize("how", ["socket", "close"])
def test_exit_says_offline(world, how):
    """When a session ends, those who shared a room get its presence, and its calls end."""
    alice, bob = world.join("alice"), world.join("bob")
    world.quiet()
    if how == "close":
        world.say(bob, {"type": "close"})
        assert world.closed == {bob: 1000}
    else:
        world.perform(world.hub.close(bob))
    (gone,) = world.take(alice)
    assert (gone["from"], gone["data"]["online"]) == ("bob|id2", False)
    assert world.left == ["bob|id2"]
    world.perform(world.hub.close(bob))
    assert world.left == ["bob|id2"]
    assert world.take(alice) == []
    assert world.hub.sessions == 1


def test_reserved_fields_are_rewritten(world):
    """The server overwrites the reserved fields of a presence."""
    alice, bob = world.join("alice"), world.join("bob")
    world.quiet()
    lie = {
        "id": "id1",
        "user": "root",
        "name": "X",
        "type": "server",
        "online": False,
        "mood": "bad",
    }
    world.say(bob, {"type": "presence", "data": lie})
    (frame,) = world.take(alice)
    assert frame["data"] == {
        "id": "id2",
        "user": "bob",
        "name": "bob",
        "type": "peer",
        "online": True,
        "mood": "bad",
    }
    carol = world.join("carol")
    bobs = next(f for f in world.take(carol) if f.get("from") == "bob|id2")
    assert bobs["data"]["mood"] == "bad"


def test_a_directed_presence_is_for_one(world):
    """A presence sent to one peer is not shown to later ones."""
    alice, bob = world.join("alice"), world.join("bob")
    world.quiet()
    world.say(bob, {"type": "presence", "to": "id1", "data": {"secret": 1}})
    assert world.take(alice)[0]["data"]["secret"] == 1
    carol = world.join("carol")
    bobs = next(f for f in world.take(carol) if f.get("from") == "bob|id2")
    assert "secret" not in bobs["data"]


def test_a_probe_is_forwarded_and_the_server_answers(world):
    """Others see the probe flag; the server's answer goes to the asker alone, without id."""
    alice, bob = world.join("alice"), world.join("bob")
    world.quiet()
    world.say(bob, {"type": "presence", "probe": True, "id": "x1", "data": {"rooms": []}})
    (probe,) = world.take(alice)
    assert probe["probe"] is True
    assert probe["from"] == "bob|id2"
    (answer,) = world.take(bob)
    assert (answer["from"], answer["to"], answer["type"]) == (SERVER, "bob|id2", "presence")
    assert answer["data"]["type"] == "server"
    assert "id" not in answer
    assert "probe" not in answer
    world.say(alice, {"type": "presence", "to": "id2", "data": {}})
    assert world.take(bob)[0]["from"] == "alice|id1"


@pytest.mark.parametrize("to", [SERVER, "server"])
def test_a_probe_to_the_server_alone(world, to):
    """The server alone answers a probe that is sent to it."""
    alice, bob = world.join("alice"), world.join("bob")
    world.quiet()
    world.say(alice, {"type": "presence", "probe": True, "to": to})
    assert [f["from"] for f in world.take(alice)] == [SERVER]
    assert world.take(bob) == []


def test_presence_of_the_wrong_shape(world):
    """Data that is no object, or too large, is refused and changes nothing."""
    alice = world.join("alice")
    world.quiet()
    world.say(alice, {"type": "presence", "data": []})
    world.say(alice, {"type": "presence", "data": {"blob": "x" * 2000}})
    assert [f["status"] for f in world.take(alice)] == [400, 400]
    assert alice not in world.closed


# Rooms


def test_join_and_leave(world):
    """Each is acknowledged, also where it changes nothing."""
    alice = world.join("alice")
    world.quiet()
    for _ in range(2):
        world.say(alice, {"type": "join", "room": "den"})
    for _ in range(2):
        world.say(alice, {"type": "leave", "room": "den"})
    ok = [{"type": "join:ok", "room": "den"}] * 2 + [{"type": "leave:ok", "room": "den"}] * 2
    assert world.take(alice) == ok


def test_rooms_make_peers_visible(world):
    """Peers without a room in common do not see each other until one joins."""
    alice = world.join("alice", rooms=["den"])
    world.say(alice, {"type": "leave", "room": "public"})
    bob = world.join("bob")
    assert [f["from"] for f in world.take(bob)[1:]] == [SERVER]
    world.quiet()
    world.say(bob, {"type": "join", "room": "den"})
    assert [f.get("from") for f in world.take(bob)] == [None, "alice|id1"]
    assert [f["from"] for f in world.take(alice)] == ["bob|id2"]
    world.say(bob, {"type": "leave", "room": "den"})
    assert [(f["from"], f["data"]["online"]) for f in world.take(alice)] == [("bob|id2", False)]
    assert [f.get("from") for f in world.take(bob)] == [None, "alice|id1"]


def test_a_shared_room_more_changes_nothing(world):
    """Peers who share a room are not introduced by a second one, nor parted by leaving it."""
    alice, bob = world.join("alice", rooms=["den"]), world.join("bob")
    world.quiet()
    world.say(bob, {"type": "join", "room": "den"})
    world.say(bob, {"type": "leave", "room": "den"})
    assert world.take(alice) == []
    assert len(world.take(bob)) == 2


@pytest.mark.parametrize("room", [None, 7, "", "a|b", "x" * 65, [], {}])
@pytest.mark.parametrize("verb", ["join", "leave"])
def test_unusable_rooms(world, verb, room):
    """An unusable room is refused with 400, and the session goes on."""
    alice = world.join("alice")
    world.quiet()
    world.say(alice, {"type": verb, "room": room})
    assert [f["status"] for f in world.take(alice)] == [400]
    assert alice not in world.closed


def test_one_stays_in_ones_own_room(world):
    """A peer cannot leave the room of its own name."""
    alice = world.join("alice")
    world.quiet()
    world.say(alice, {"type": "leave", "room": "alice"})
    assert world.take(alice)[0]["status"] == 400


def test_rooms_per_peer_are_bounded(make_world):
    """A peer is in 32 rooms at most, also when it asks for all of them at once."""
    world = make_world(rooms=4)
    alice = world.join("alice", rooms=["a", "b"])
    world.quiet()
    world.say(alice, {"type": "join", "room": "c"})
    assert world.take(alice)[0]["status"] == 400
    world.join("bob", rooms=["a", "b", "c"])
    assert set(world.closed) == {"id2"}


def test_empty_rooms_are_forgotten(world):
    """Rooms that nobody is in take no memory."""
    alice = world.join("alice", rooms=["den"])
    world.perform(world.hub.close(alice))
    assert set(world.hub._rooms) == {"icey", "public"}
