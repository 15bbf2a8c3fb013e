"""The last seconds of an encoded stream."""

from hypothesis import given
from hypothesis import strategies as st

from icey.intelligence.preroll import PreRoll, Unit

SECOND = 1_000_000_000


def picture(at_s, *, keyframe=False, size=10):
    return Unit("video", bytes(size), round(at_s * SECOND), keyframe)


def sound(at_s, size=5):
    return Unit("audio", bytes(size), round(at_s * SECOND))


def filled(keep_s, until_s, every_s, **options):
    """A ring after a stream of 10 pictures a second, with a keyframe each so many seconds."""
    ring = PreRoll(round(keep_s * SECOND), **options)
    for tenth in range(round(until_s * 10) + 1):
        ring.add(picture(tenth / 10, keyframe=tenth % round(every_s * 10) == 0))
        ring.add(sound(tenth / 10))
    return ring


def test_nothing_before_the_first_keyframe():
    """What cannot be decoded, and sound without a picture, is not kept."""
    ring = PreRoll(SECOND)
    assert ring.newest_keyframe_ns is None
    ring.add(sound(0))
    ring.add(picture(0.1))
    assert ring.since(0) == []
    assert ring.size == 0
    ring.add(picture(0.2, keyframe=True))
    assert [unit.at_ns for unit in ring.since(0)] == [SECOND // 5]
    assert ring.newest_keyframe_ns == SECOND // 5


def test_begins_at_the_newest_keyframe_before():
    """From any moment that is kept, it begins at most one keyframe interval earlier."""
    ring = filled(keep_s=3, until_s=20, every_s=2)
    for tenths in range(170, 201):
        units = ring.since(tenths * SECOND // 10)
        assert units[0].keyframe
        assert 0 <= tenths * SECOND // 10 - units[0].at_ns < 2 * SECOND
        assert units[-1].at_ns == 20 * SECOND


def test_exactly_at_a_keyframe():
    """A moment at which there is a keyframe begins with that one."""
    assert filled(3, 20, 2).since(18 * SECOND)[0].at_ns == 18 * SECOND


def test_older_than_all():
    """From a moment before everything, all there is."""
    ring = filled(keep_s=3, until_s=1, every_s=2)
    assert len(ring.since(-5 * SECOND)) == 22


def test_forgets():
    """No more is kept than a keyframe interval beyond what is asked for."""
    ring = filled(keep_s=3, until_s=100, every_s=2)
    assert ring.since(0)[0].at_ns in {96 * SECOND, 97 * SECOND, 95 * SECOND}
    assert ring.size == sum(len(unit.data) for unit in ring.since(0))


def test_too_many_bytes():
    """Where there is no room for all that is asked for, older groups go first."""
    ring = filled(keep_s=60, until_s=50, every_s=2, max_bytes=1000)
    assert ring.size <= 1000
    assert ring.overflows == 0
    assert ring.since(0)[0].keyframe


def test_group_that_is_too_large():
    """A group larger than all the room goes whole, and counted; the next keyframe begins anew."""
    ring = PreRoll(SECOND, max_bytes=100)
    ring.add(picture(0, keyframe=True, size=60))
    ring.add(picture(0.1, size=60))
    assert (ring.since(0), ring.size, ring.overflows) == ([], 0, 1)
    ring.add(picture(0.2, size=10))
    assert ring.since(0) == []
    ring.add(picture(0.3, keyframe=True, size=60))
    assert len(ring.since(0)) == 1


@given(
    st.lists(
        st.tuples(st.booleans(), st.booleans(), st.integers(0, 300), st.integers(0, SECOND)),
        max_size=80,
    ),
    st.integers(0, 3 * SECOND),
    st.integers(0, 80 * SECOND),
)
def test_whatever_comes(steps, keep_ns, asked_ns):
    """Any stream: bounded, counted right, and what is given always begins with a keyframe."""
    ring = PreRoll(keep_ns, max_bytes=2000)
    at = 0
    for is_video, keyframe, size, later in steps:
        at += later
        ring.add(Unit("video" if is_video else "audio", bytes(size), at, keyframe))
        assert ring.size <= 2000
        units = ring.since(asked_ns)
        assert not units or (units[0].kind == "video" and units[0].keyframe)
        assert ring.size == sum(len(unit.data) for unit in ring.since(-1))
