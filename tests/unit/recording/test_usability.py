"""A caller whose pictures are of no use is told, and then hung up."""

from icey.recording.usability import Usability


def verdicts(usability, seconds, *, start=0, came=0, used=0, came_each=30, used_each=0):
    """Judge each second of so many; the seconds at which it was not fine."""
    found = []
    for second in range(start, start + seconds):
        passed = second - start
        verdict = usability.judge(came + came_each * passed, used + used_each * passed, second)
        if verdict != "fine":
            found.append((second, verdict))
    return found


def test_useless_from_the_start():
    """It is told after five seconds, once, and hung up after fifteen."""
    assert verdicts(Usability(), 18, start=1) == [
        (7, "tell"),
        (17, "hopeless"),
        (18, "hopeless"),
    ]


def test_pictures_that_are_used_are_fine():
    """As long as pictures are written, others may be of no use."""
    assert verdicts(Usability(), 100, used_each=1) == []


def test_a_camera_that_is_off_is_fine():
    """Who sends no pictures, from the start or after some useless ones, is not hung up."""
    assert verdicts(Usability(), 100, came_each=0) == []
    usability = Usability()
    assert verdicts(usability, 4, came_each=5) == []
    assert verdicts(usability, 100, start=4, came=15, came_each=0) == []


def test_a_network_that_was_good_has_a_minute():
    """After pictures that were used the caller is told as soon, and hung up later."""
    usability = Usability()
    assert verdicts(usability, 10, used_each=30) == []
    found = verdicts(usability, 70, start=10, came=300, used=270)
    assert found[0][1] == "tell"
    assert found[0][0] - 10 <= 6
    assert found[1][1] == "hopeless"
    assert found[1][0] - 10 >= 60
