"""The names of recordings: ``<peer>-<UTC yyyymmddThhmmss.mmmZ>.mp4`` and what it is called before.

While a recording is open its name ends in ``.mp4.part``; one that a crash left behind becomes
``….recovered.mp4``. Everything else in the folder is somebody else's and is never touched. Clips
and snapshots are called likewise, after their detectors; a snapshot ends in ``.jpg``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime

ENDING = ".mp4"
PART = ".mp4.part"
RECOVERED = ".recovered.mp4"
SNAPSHOT = ".jpg"

MAX_PEER_CHARACTERS = 64
"""Of the peer's name; with all the rest a name stays far below the 255 bytes of file systems."""

_UNSAFE = re.compile(r"[^A-Za-z0-9_-]+")
_NAME = re.compile(
    r"(?P<peer>[A-Za-z0-9_-]+)-(?P<date>\d{8}T\d{6})\.(?P<ms>\d{3})Z(?:-\d+)*"
    r"(?P<recovered>\.recovered)?(?P<ending>\.mp4|\.jpg)",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class RecordingName:
    """The parts of a finished recording's name."""

    peer: str
    start: datetime
    recovered: bool


def safe_peer(peer: str) -> str:
    """Cut a peer's name down to characters that are safe in a file name on every system.

    Letters and digits of ASCII, ``_`` and ``-``; never empty, 64 characters at most. No dots, so
    that neither a hidden file nor a second ending can come of a name, and no ``-`` in front, which
    programs take for a flag.
    """
    return _UNSAFE.sub("_", peer)[:MAX_PEER_CHARACTERS].lstrip("-") or "peer"


def name_recording(peer: str, start: datetime, *, again: int = 0, ending: str = ENDING) -> str:
    """Name a recording after its peer and the moment of its first picture.

    Args:
        peer: any text; what is not safe in a file name becomes ``_``.
        start: aware; becomes UTC.
        again: where the name was taken: 1 for the second of that name, and so on.
        ending: `ENDING` or `SNAPSHOT`.
    """
    utc = start.astimezone(UTC)
    suffix = f"-{again + 1}" if again else ""
    moment = f"{utc:%Y%m%dT%H%M%S}.{utc.microsecond // 1000:03d}Z"
    return f"{safe_peer(peer)}-{moment}{suffix}{ending}"


def part_of(name: str) -> str:
    """Return the name of a recording while it is open."""
    return name.removesuffix(ENDING) + PART


def recovered_of(part: str, *, again: int = 0) -> str:
    """Return the name of the file that a repair makes of an open recording."""
    suffix = f"-{again + 1}" if again else ""
    return part.removesuffix(PART) + suffix + RECOVERED


def parse_name(name: str, ending: str = ENDING) -> RecordingName | None:
    """Parse the name of a finished recording; None for a file that is not one of ours."""
    match = _NAME.fullmatch(name)
    if match is None or match["ending"] != ending:
        return None
    try:
        moment = datetime.strptime(match["date"], "%Y%m%dT%H%M%S").replace(tzinfo=UTC)
    except ValueError:  # a 13th month, e.g.
        return None
    start = moment.replace(microsecond=int(match["ms"]) * 1000)
    return RecordingName(match["peer"], start, match["recovered"] is not None)
