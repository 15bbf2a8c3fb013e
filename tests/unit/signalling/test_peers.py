"""Peers as others see them."""

from icey.signalling.messages import Auth
from icey.signalling.peers import CAPABILITIES, Peer, ServerPeer


def make(extras=None, rooms=()):
    return Peer.from_auth("id1", Auth("alice", "Alice", "", "browser", extras or {}, rooms))


def test_rooms_in_order_of_entry():
    """The rooms of a peer are its own, public, then those of the auth, none twice."""
    peer = make(rooms=("den", "public", "alice"))
    assert list(peer.rooms) == ["alice", "public", "den"]
    assert peer.address == "alice|id1"


def test_reserved_fields_win_over_extras():
    """Extras with reserved names do not replace the fields that the server writes."""
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
    """The capabilities of the server's presence are those of its mode."""
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
