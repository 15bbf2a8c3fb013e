"""What an SDP offer wants: to send media, to receive some, or both. Pure.

Only the directions are read here (RFC 8866 §6.7); everything else of an offer is the engine's.
"""

from __future__ import annotations

from dataclasses import dataclass

_SENDING = {"a=sendonly", "a=sendrecv"}
_RECEIVING = {"a=recvonly", "a=sendrecv"}
_ALL = _SENDING | _RECEIVING | {"a=inactive"}


@dataclass(frozen=True, slots=True)
class Directions:
    """What the offerer wants, audio and video together."""

    sends: bool
    receives: bool


def directions_of(sdp: str) -> Directions:
    """Read the directions of an offer's audio and video sections; rejected ones do not count.

    A section that says nothing has the direction of the session, which is both ways where that
    says nothing either (RFC 8866 §6.7).
    """
    session = "a=sendrecv"
    found: set[str] = set()
    section: str | None = None
    counts = False
    for line in (raw.strip() for raw in sdp.splitlines()):
        if line.startswith("m="):
            if counts and section is not None:
                found.add(section)
            words = line[2:].split()
            counts = len(words) > 1 and words[0] in {"audio", "video"} and words[1] != "0"
            section = session
        elif line in _ALL:
            if section is None:
                session = line
            else:
                section = line
    if counts and section is not None:
        found.add(section)
    return Directions(sends=bool(found & _SENDING), receives=bool(found & _RECEIVING))
