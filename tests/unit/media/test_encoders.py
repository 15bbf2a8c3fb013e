"""Slots of encoders are bounded, and come back once."""

from icey.media.encoders import Encoders
from icey.quota import Quota


def test_slots_are_bounded_in_all_and_by_network():
    """One network gets its share, all together no more than there are."""
    encoders = Encoders(Quota(3, 2))
    first = encoders.take("a")
    assert encoders.take("a") is not None
    assert encoders.take("a") is None
    assert encoders.take("b", keep=1) is None
    assert encoders.take("b") is not None
    assert encoders.take("c") is None
    first.release()
    first.release()
    assert encoders.taken == 2
    assert encoders.is_free("c")
    assert not encoders.is_free("c", keep=1)


def test_what_runs_in_any_case_is_counted():
    """A slot that is insisted on counts, and leaves less to the others."""
    encoders = Encoders(Quota(1, 0))
    own = encoders.insist("")
    second = encoders.insist("")
    assert encoders.taken == 2
    assert encoders.take("a") is None
    own.release()
    second.release()
    assert encoders.take("a") is not None


def test_bounds_change_while_slots_are_taken():
    """A smaller bound takes nothing from whoever has a slot; 0 is none."""
    encoders = Encoders(Quota(0, 0))
    slots = [encoders.take("a") for _ in range(9)]
    assert None not in slots
    encoders.limit(4, 0)
    assert encoders.take("a") is None
    for slot in slots[:6]:
        slot.release()
    assert encoders.take("a") is not None
    assert encoders.take("a") is None
