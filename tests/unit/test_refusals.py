"""What is refused is counted each time and logged once a minute."""

from icey.refusals import Refusals


def test_a_flood_is_one_line_a_minute(caplog):
    """Each refusal counts; the log gets the first of a minute, with how many came since."""
    clock = [0.0]
    refusals = Refusals(lambda: clock[0])
    for _ in range(1000):
        refusals.count("sockets", "192.0.2.1", "too many sockets")
        clock[0] += 0.059
    assert len(caplog.records) == 1
    clock[0] = 61.0
    refusals.count("sockets", "192.0.2.1", "too many sockets")
    assert caplog.messages[-1] == (
        "refused to 192.0.2.1: too many sockets (1000 times since the last such line)"
    )
    assert refusals.counts == {"sockets": 1001}


def test_kinds_are_logged_apart(caplog):
    """One kind in a flood hides no other."""
    refusals = Refusals(lambda: 0.0)
    refusals.count("sockets", "192.0.2.1", "too many sockets")
    refusals.count("calls", "192.0.2.1", "too many calls")
    assert len(caplog.records) == 2
