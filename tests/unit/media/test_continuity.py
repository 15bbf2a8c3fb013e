"""Which steps of a file's times are pauses, and which are jumps."""

import pytest

from icey.media.continuity import Continuity, ShownTimes
from icey.media.timebase import SECOND_NS

PICTURE, SOUND = 0, 1
FRAME = SECOND_NS // 25


def feed(line, stream, start_s, seconds):
    """Feed a steady stream; returns where its first and its last packet were put, s."""
    times = range(round(start_s * 25), round((start_s + seconds) * 25))
    put = [n * FRAME + line.shift(stream, n * FRAME, n * FRAME, FRAME) for n in times]
    return put[0] / SECOND_NS, put[-1] / SECOND_NS


@pytest.mark.parametrize("jumps", [True, False])
@pytest.mark.parametrize("pause_s", [5, 40, 500])
def test_pause_beside_the_other_stream(pause_s, jumps):
    """A step forward is believed where the other stream has gone on meanwhile."""
    line = Continuity(jumps=jumps)
    feed(line, PICTURE, 0, 3)
    feed(line, SOUND, 0, 3 + pause_s)
    assert feed(line, PICTURE, 3 + pause_s, 1)[0] == pytest.approx(3 + pause_s)


@pytest.mark.parametrize("by_s", [3, 10, 500, -1, -500])
@pytest.mark.parametrize("first", [PICTURE, SOUND])
def test_jump_of_both_streams(first, by_s):
    """Both go on at the end of what was before, and keep their distance."""
    line = Continuity(jumps=True)
    feed(line, PICTURE, 600, 3)
    feed(line, SOUND, 600, 3)
    assert feed(line, first, 603 + by_s, 2)[0] == pytest.approx(603)
    assert feed(line, 1 - first, 603.2 + by_s, 2)[0] == pytest.approx(603.2)


def test_jump_of_one_stream():
    """The other one's times stay as they are."""
    line = Continuity(jumps=True)
    feed(line, PICTURE, 0, 3)
    feed(line, SOUND, 0, 3)
    assert feed(line, PICTURE, 103, 2)[0] == pytest.approx(3)
    assert feed(line, SOUND, 3, 2)[0] == pytest.approx(3)


def test_slides_alone_are_no_jumps():
    """Pictures each 10 s with nothing beside them are slides; after 25 a second it is a jump."""
    slides = Continuity(jumps=True)
    for n in range(5):
        assert slides.shift(PICTURE, 10 * n * SECOND_NS, 10 * n * SECOND_NS, 0) == 0
    film = Continuity(jumps=True)
    feed(film, PICTURE, 0, 3)
    assert feed(film, PICTURE, 13, 1)[0] == pytest.approx(3)


def test_indexed_container_is_believed_alone():
    """A film without sound in a container with an index stands as long as that says."""
    line = Continuity(jumps=False)
    feed(line, PICTURE, 0, 3)
    assert feed(line, PICTURE, 103, 1)[0] == pytest.approx(103)


def test_stream_that_has_ended_is_no_witness():
    """Slides go on after their sound has ended."""
    line = Continuity(jumps=True)
    feed(line, SOUND, 0, 3)
    for n in range(5):
        at = 5 * n * SECOND_NS
        assert line.shift(PICTURE, at, at, 5 * SECOND_NS) == 0


def test_picture_far_behind_its_decoding_is_unclear():
    """Only what follows tells whether it is a jump or the reordering across a pause."""
    line = Continuity(jumps=True)
    feed(line, PICTURE, 0, 3)
    assert line.is_unclear(PICTURE, 43 * SECOND_NS, 3 * SECOND_NS, FRAME)
    assert not line.is_unclear(PICTURE, 3 * SECOND_NS + 3 * FRAME, 3 * SECOND_NS, FRAME)


def test_shown_times_prefer_what_is_steady():
    """Presentation times that go back are not believed; decoding times then are."""
    times = ShownTimes(None)
    given = [(1, 0), (4, 1), (2, 2), (3, 3), (8, 4), (6, 5), (7, 6), (9, 7)]
    chosen = [times.choose(pts, dts) for pts, dts in given]
    assert chosen[-4:] == [4, 5, 6, 7]
    steady = ShownTimes(None)
    assert [steady.choose(n + 2, n) for n in range(4)] == [2, 3, 4, 5]


def test_shown_times_of_a_container_without_any():
    """In AVI pictures are shown later than decoded by what the codec reorders."""
    times = ShownTimes(2)
    assert [times.choose(pts, dts) for pts, dts in [(1, 2), (4, 3), (3, None), (5, 5)]] == [
        0,
        1,
        None,
        3,
    ]
