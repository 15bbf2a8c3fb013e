"""Peers as others see them."""

from icey.signalling.messages import Auth
from icey.signalling.peers import CAPABILITIES, Peer, ServerPeer


def make(extras=None, rooms=()):
    return Peer.from_auth("id1", Auth("alice", "Alice", "", "browser", extras or {}, rooms))


def test_rooms_in_order_of_entry():
    """Own room first, then public, then those asked for, none twice."""
    peer = make(rooms=("den", "public", "alice"))
    assert list(peer.rooms) == ["alice", "public", "den"]
    assert peer.address == "alice|id1"


def test_reserved_fields_win_over_extras():
    """Even extras that somehow hold reserved names cannot replace what the server says."""
    peer = make({"mood": "good", "user": "mallory", "online": False})
    assert peer.describe() == {
        "mood": "good",
        "id": "id1",
        "user": "alice",
        "name": "Alice",
        "type": "browser",
        "online": True,
    }


def test_presence_is_made_once_until_the_extras_change():
    """Snapshots share one serialised frame."""
    peer = make()
    before = peer.presence()
    assert peer.presence() is before
    peer.set_extras({"mood": "bad"})
    assert peer.presence() is not before
    assert peer.presence().message["data"]["mood"] == "bad"
    assert peer.farewell().message["data"]["online"] is False


def test_server_peer_says_what_its_mode_can_do():
    """Capabilities follow the mode, as the specification lists them."""
    expected = {"stream": ["view"], "record": ["publish"], "relay": ["publish", "view"]}
    assert CAPABILITIES.keys() == expected.keys()
    for mode, capabilities in expected.items():
        server = ServerPeer(mode)
        assert server.address == "icey|server"
        assert server.presence_data() == {
            "id": "server",
            "user": "icey",
            "name": "icey",
            "type": "server",
            "online": True,
            "mode": mode,
            "capabilities": capabilities,
        }
