"""A pipeline that is behind time is told from one that had a bad moment."""

from icey.media.punctuality import Punctuality


def counted(seconds, late_a_second, *, punctuality=None, start=0):
    """A pipeline of 30 pictures a second, so many of them late."""
    punctuality = punctuality or Punctuality()
    for tick in range(1, seconds * 4 + 1):
        now = start + tick / 4
        punctuality.note(round(now * 30), round(late_a_second * now), now)
    return punctuality


def test_pictures_that_come_late_again_and_again():
    """At 7 pictures a second of 30 it is behind, and says by how much."""
    punctuality = counted(6, 23)
    assert punctuality.is_behind
    assert 0.7 < punctuality.late_share < 0.8


def test_a_bad_moment_is_none():
    """Four late pictures at the start, or two a second, are no trouble."""
    punctuality = Punctuality()
    punctuality.note(0, 0, 0.0)
    punctuality.note(8, 4, 0.25)
    assert not punctuality.is_behind
    assert not counted(20, 2).is_behind
    assert not Punctuality().is_behind


def test_it_is_over_when_the_last_seconds_were_good():
    """Five seconds without late pictures make it punctual again."""
    punctuality = counted(6, 23)
    for tick in range(1, 25):
        now = 6 + tick / 4
        punctuality.note(round(now * 30), 138, now)
    assert not punctuality.is_behind
