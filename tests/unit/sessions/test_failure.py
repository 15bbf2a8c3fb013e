"""The words for calls whose ICE failed."""

from icey.sessions.failure import what_to_change, what_was_seen


def test_what_to_change():
    """The ports that have to be open are named, TURN's where it runs, and the public address."""
    words = what_to_change(webrtc_port=4501, turn_port=3478, external_ip="")
    assert "UDP port 4501 (webrtc.port)" in words
    assert "UDP and TCP port 3478 (turn.port)" in words
    assert "set turn.externalIp" in words


def test_what_to_change_without_turn():
    """Where TURN is off, the text names turn.enabled."""
    words = what_to_change(webrtc_port=4501, turn_port=None, external_ip="192.0.2.1")
    assert "turn.enabled" in words
    assert "turn.port" not in words
    assert "see that turn.externalIp 192.0.2.1 is" in words


def test_what_was_seen():
    """All candidate pairs are in one line."""
    assert what_was_seen(["a to b: 1 check sent", "c"]) == "a to b: 1 check sent; c"
    assert what_was_seen([]) == "nothing"
