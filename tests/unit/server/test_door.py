"""Who may stay connected, and who is cut for a newcomer."""

from hypothesis import given
from hypothesis import strategies as st

from icey.quota import Quota
from icey.server.door import RESERVE_EACH, Door


def door(total=0, each=0):
    return Door(Quota(total, each))


class Guests:
    """Places by name, and who was cut."""

    def __init__(self, door):
        self.door, self.cut, self.places = door, [], {}

    def enter(self, name, network, **how):
        place, bound = self.door.enter(network, lambda: self.cut.append(name), **how)
        self.places[name] = place
        return place, bound


def test_the_longest_idle_of_a_full_network_makes_room():
    """Where a network has all its places, its connection that was idle longest is cut."""
    guests = Guests(door(each=2))
    for name in ("a", "b", "c"):
        _, bound = guests.enter(name, "net")
        assert bound is None
    assert guests.cut == ["a"]
    guests.door.work(guests.places["b"])
    guests.enter("d", "net")
    assert guests.cut == ["a", "c"]


def test_the_fullest_network_makes_room():
    """Where all places are in use, the network with the most idle connections loses one."""
    guests = Guests(door(total=4))
    for name, network in (("a", "one"), ("b", "many"), ("c", "many"), ("d", "many")):
        guests.enter(name, network)
    guests.enter("e", "new")
    assert guests.cut == ["b"]
    assert guests.door.taken == 4


def test_the_reserve():
    """Where nobody is idle a few newcomers still get a reserved place, and the next one none."""
    guests = Guests(door(each=1))
    place, _ = guests.enter("a", "net")
    guests.door.work(place)
    for number in range(RESERVE_EACH):
        place, bound = guests.enter(number, "net")
        assert (place.reserved, bound) == (True, "each")
        guests.door.work(place)
    assert guests.enter("last", "net") == (None, "each")
    guests.door.rest(guests.places[3])
    place, _ = guests.enter("next", "net")
    assert place.reserved
    assert guests.cut == [3]
    assert guests.enter("elsewhere", "other")[1] is None


def test_a_place_is_given_back_once():
    """Leaving twice, and resting after leaving, change nothing."""
    guests = Guests(door(each=1))
    place, _ = guests.enter("a", "net")
    for _ in range(2):
        guests.door.leave(place)
        guests.door.rest(place)
    assert (guests.door.taken, guests.door.idle) == (0, 0)


def test_a_proxy_is_many():
    """A trusted proxy counts in all only, and its idle connections are not cut."""
    guests = Guests(door(total=3, each=1))
    for name in ("a", "b"):
        assert guests.enter(name, "proxy", proxy=True)[1] is None
    guests.enter("c", "net")
    assert guests.enter("d", "proxy", proxy=True)[1] is None
    assert guests.cut == ["c"]
    assert guests.enter("e", "proxy", proxy=True)[1] == "total"


@given(
    st.lists(
        st.tuples(st.sampled_from(["enter", "leave", "rest", "work"]), st.integers(0, 3)),
        max_size=60,
    )
)
def test_any_order_keeps_the_bounds(steps):
    """Whatever comes, bounds hold, and in the end everything is given back."""
    guests = Guests(door(total=5, each=3))
    for number, (what, which) in enumerate(steps):
        here = [place for place in guests.places.values() if place is not None]
        if what == "enter":
            guests.enter(number, f"net {which}")
        elif here:
            getattr(guests.door, what)(here[which % len(here)])
        assert guests.door.quota.taken <= 5
        assert all(guests.door.quota.taken_by(f"net {n}") <= 3 for n in range(4))
        assert guests.door.idle == sum(
            p is not None and p.idle and not p.reserved for p in guests.places.values()
        )
    for place in guests.places.values():
        if place is not None:
            guests.door.leave(place)
    assert (guests.door.taken, guests.door.idle) == (0, 0)
