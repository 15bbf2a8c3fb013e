"""The hub: limits, and garbage of every kind."""

import json

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

SERVER = "icey|server"


# Limits


def test_messages_up_to_64_kib(world):
    """A message of 64 KiB passes; one of a byte more gets 413 and the close."""
    alice, bob = world.join("alice"), world.join("bob")
    world.quiet()
    frame = {"type": "message", "body": ""}
    frame["body"] = "x" * (65536 - len(json.dumps(frame)))
    world.say(alice, frame)
    assert len(world.take(bob)) == 1
    frame["body"] += "x"
    world.say(alice, frame)
    assert world.take(alice)[-1]["status"] == 413
    assert world.closed[alice] == 1009
    assert world.left == ["alice|id1"]


def test_size_is_counted_in_bytes(world):
    """The size of a message is counted in bytes of UTF-8."""
    alice = world.join("alice")
    world.quiet()
    world.say(alice, json.dumps({"type": "x", "body": "€" * 22_000}, ensure_ascii=False))
    assert world.take(alice)[0]["status"] == 413


def test_a_message_that_the_socket_gave_up(world):
    """A message that the socket refused to read gets 413 and the close too."""
    alice = world.join("alice")
    world.quiet()
    world.perform(world.hub.too_large(alice))
    assert world.take(alice)[0]["status"] == 413
    assert alice in world.closed
    assert world.hub.too_large(alice) == []


def test_rate(world):
    """100 messages pass at once; the excess is dropped and counted, with one 429 a second."""
    alice, bob = world.join("alice"), world.join("bob")
    world.quiet()
    for _ in range(199):
        world.say(alice, {"type": "message"})
    assert len(world.take(bob)) == 99  # the auth was the first of the hundred
    assert [f["status"] for f in world.take(alice)] == [429]
    assert world.hub.counters.over_rate == 100
    world.now = 0.99
    for _ in range(20):
        world.say(alice, {"type": "message"})
    assert world.take(alice) == []
    world.now = 1.0
    for _ in range(20):
        world.say(alice, {"type": "message"})
    assert [f["status"] for f in world.take(alice)] == [429]
    world.now = 20.0
    world.quiet()
    for _ in range(100):
        world.say(alice, {"type": "message"})
    assert len(world.take(bob)) == 100
    assert alice not in world.closed


def test_a_call_with_a_few_dozen_candidates_fits(world):
    """Init, offer and 60 candidates in one instant are within the rate."""
    alice = world.join("alice")
    for _ in range(62):
        world.say(alice, {"type": "message", "subtype": "call:candidate", "to": SERVER})
    assert len(world.to_server) == 62


def test_broken_json(world):
    """Broken JSON gets 400 each time; the tenth closes."""
    alice = world.join("alice")
    world.quiet()
    for n in range(9):
        world.say(alice, ["{", "7", "[]"][n % 3])
    assert [f["status"] for f in world.take(alice)] == [400] * 9
    assert alice not in world.closed
    world.say(alice, "nonsense")
    assert [f["status"] for f in world.take(alice)] == [400]
    assert alice in world.closed
    assert world.hub.counters.broken == 10


def test_a_broadcast_is_one_frame(world):
    """A message is serialised once, however many receive it."""
    alice = world.join("alice")
    for n in range(50):
        world.join(f"peer{n}")
    actions = world.hub.receive(alice, '{"type":"event"}', 0.0)
    (deliver,) = actions
    assert len(deliver.to) == 50


def test_frames_of_unknown_sessions_are_nothing(world):
    """Frames of a session that has ended are ignored."""
    assert world.hub.receive("nobody", "{}", 0.0) == []
    assert world.hub.close("nobody") == []


garbage = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(max_size=10)
    | st.sampled_from(["id1", "id2", "alice|id1", "bob|id2", SERVER, "public", "den"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)
frames = st.dictionaries(
    st.sampled_from(
        ["type", "to", "from", "room", "data", "subtype", "probe", "user", "rooms", "name"]
    ),
    garbage
    | st.sampled_from(
        ["auth", "join", "leave", "close", "message", "event", "presence", "call:offer"]
    ),
)


# The fixture is a class, which has no state to reset between examples.
@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(
            st.integers(0, 2), frames.map(json.dumps) | st.text(max_size=30), st.floats(0, 2)
        ),
        max_size=25,
    )
)
def test_garbage_neither_raises_nor_harms(make_world, script):
    """Whatever three clients send in any order, the hub raises nothing and serves a fourth."""
    world = make_world(rooms=5)
    clients = [world.open(), world.join("alice"), world.join("bob")]
    for who, text, pause in script:
        world.now += pause
        world.say(clients[who], text)
        world.perform(world.hub.expire(world.now))
    for session in clients:
        world.perform(world.hub.close(session))
    assert world.hub.sessions == world.hub.peers == 0
    assert set(world.hub._rooms) == {"icey", "public"}
    carol = world.join("carol")
    assert [f["type"] for f in world.take(carol)] == ["welcome", "presence"]
