"""Feeds tracks of the engine by a reader, past Python."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from icey.media.lane import Lane
    from icey.media.reader import Reader


def feed(reader: Reader, lanes: Iterable[Lane], stream: int, *, tapped: bool) -> bool:
    """Let a stream feed the tracks that it does not feed yet.

    Args:
        reader: of the stream; told which copies are wanted here besides.
        lanes: whose tracks are fed.
        stream: `Reader.opened`, or 0 where none feeds any more.
        tapped: whether a tap wants pictures and sound.

    Returns:
        Whether all sound passes Python by.
    """
    sound = reader.forwards_sound
    lanes = [lane for lane in lanes if not lane.closed]
    for lane in lanes:
        if lane.fed != stream and lane.track is not None:
            lane.feed(stream, sound=sound)
            if stream:
                reader.forward(lane.track, lane.sound_track)
    if not stream:
        return False
    heard = tapped or any(lane.wants_sound for lane in lanes)
    seen = tapped or any(lane.wants_pictures for lane in lanes)
    reader.copy(pictures=seen, sound=heard)
    return sound and not heard
