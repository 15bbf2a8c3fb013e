"""The directions of an offer."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from icey.sessions.directions import Directions, directions_of

AUDIO, VIDEO, DATA = "m=audio 9 UDP/TLS/RTP/SAVPF 111", "m=video 9 x 96", "m=application 9 x y"


@pytest.mark.parametrize(
    ("lines", "sends", "receives"),
    [
        (["v=0", AUDIO, "a=sendonly", VIDEO, "a=sendonly"], True, False),
        (["v=0", AUDIO, "a=recvonly", VIDEO, "a=recvonly"], False, True),
        (["v=0", AUDIO, "a=recvonly", VIDEO, "a=sendonly"], True, True),
        (["v=0", VIDEO, "a=sendrecv"], True, True),
        (["v=0", VIDEO], True, True),
        (["v=0", "a=recvonly", VIDEO], False, True),
        (["v=0", VIDEO, "a=inactive"], False, False),
        (["v=0", "m=video 0 x 96", "a=sendonly", AUDIO, "a=recvonly"], False, True),
        (["v=0", DATA, "a=sendrecv"], False, False),
        ([], False, False),
    ],
)
def test_directions(lines, sends, receives):
    """Audio and video sections count, with the session's default; rejected ones do not."""
    assert directions_of("\r\n".join(lines)) == Directions(sends=sends, receives=receives)
    assert directions_of("\n".join(lines)) == Directions(sends=sends, receives=receives)


@given(st.text())
def test_whatever_is_offered(text):
    """No text raises an error."""
    directions_of(text)
