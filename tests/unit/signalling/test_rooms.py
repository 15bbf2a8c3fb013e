"""Who is in which room."""

from icey.signalling.rooms import Rooms


def test_the_server_takes_no_place():
    """A room is full of peers, the server not counted."""
    rooms = Rooms(2, "server", ("public",))
    rooms.enter("public", "a")
    assert not rooms.is_full("public")
    rooms.enter("public", "b")
    assert rooms.is_full("public")
    assert rooms.size("public") == 2
    assert list(rooms.members(("public", "nowhere"), but="a")) == ["server", "b"]


def test_a_room_is_there_while_somebody_is_in_it():
    """Only the server's rooms outlast their members."""
    rooms = Rooms(0, "server", ("public",))
    rooms.enter("den", "a")
    rooms.leave("den", "a")
    assert list(rooms) == ["public"]
    assert not rooms.is_full("den")
    assert rooms.size("den") == 0
