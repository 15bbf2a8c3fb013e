"""Chooses the encoder that the clips of a feed are made of: one that runs for viewers, or its own.

A clip costs no second encoder while somebody watches whose path carries (nearly) the full bitrate.
A slower viewer's pictures would be poor evidence, and the keyframes that clips need would cost him
pictures; so then, and while nobody watches, an encoder runs for the clips alone, as a pre-roll
cannot be made afterwards. On the way from one to the other the old one counts until the new one
gives a keyframe.

All of it runs on the event loop, but for the sinks, which the media thread calls.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from icey.intelligence.clip import Clips
    from icey.media.lane import Lane, Sink
    from icey.media.pipeline import Pipeline

    PassOn = Callable[[int, bytes, int, bool], None]

OWN = -1
"""The number of the lane that nobody watches; viewers' lanes count from 0."""

GOOD, STILL_GOOD = 0.7, 0.5
"""The shares of the full bitrate from which a viewers' lane is used, and below which it is left."""


class _Selector:
    """Passes on one lane's output, and changes to another one at a keyframe of that."""

    def __init__(self, clips: Clips) -> None:
        self._clips = clips
        self.current: int | None = None
        self.wanted: int | None = None

    def video(self, lane: int, data: bytes, captured_ns: int, keyframe: bool) -> None:  # noqa: FBT001
        if keyframe and lane == self.wanted:
            self.current = lane
        if lane == self.current:
            self._clips.video(data, captured_ns, keyframe=keyframe)

    def sound(self, lane: int, data: bytes, captured_ns: int, _keyframe: bool) -> None:  # noqa: FBT001
        if lane == self.current:
            self._clips.sound(data, captured_ns)


class _Tee:
    """A sink that pushes to another one, if there is one, and passes the same on to a selector."""

    def __init__(self, lane: int, pass_on: PassOn, after: Sink | None) -> None:
        self._lane, self._pass_on, self.after = lane, pass_on, after

    def push(self, data: bytes, timestamp: int, captured_ns: int, keyframe: bool) -> None:  # noqa: FBT001
        if self.after is not None:
            self.after.push(data, timestamp, captured_ns, keyframe)
        self.copy(data, timestamp, captured_ns, keyframe)

    def copy(self, data: bytes, _timestamp: int, captured_ns: int, keyframe: bool) -> None:  # noqa: FBT001
        self._pass_on(self._lane, data, captured_ns, keyframe)


class Filming:
    """Feeds the clips of one feed.

    Args:
        clips: what is fed.
        pipeline: where a lane of their own is opened.
        bitrate: the full one, ``media.video.bitrate``; that of their own lane.
    """

    def __init__(self, clips: Clips, pipeline: Pipeline, bitrate: int) -> None:
        self._clips = clips
        self._pipeline = pipeline
        self._bitrate = bitrate
        self._selector = _Selector(clips)
        self._own: Lane | None = None

    def tee(self, number: int, video: Sink, audio: Sink) -> tuple[Sink, Sink]:
        """Return sinks for a viewers' lane that push to these two and feed the clips."""
        selector = self._selector
        return _Tee(number, selector.video, video), _Tee(number, selector.sound, audio)

    def follow(self, lanes: Mapping[int, Lane]) -> None:
        """Choose the lane to film; called when lanes change, and on each tick."""
        number, lane = self._choose(lanes)
        selector = self._selector
        if selector.wanted != number:
            selector.wanted = number
            lane.request_keyframe()
        elif selector.current == number and self._clips.wants_keyframe(time.monotonic_ns()):
            lane.request_keyframe()
        if self._own is not None and selector.current not in {None, OWN} and number != OWN:
            self._own.close()
            self._own = None

    def close(self) -> None:
        """End the clips; the open one is finished."""
        if self._own is not None:
            self._own.close()
        self._clips.stop()

    def join_blocking(self, timeout_s: float) -> bool:
        """Wait for the last clip; for a thread, never for the loop."""
        return self._clips.join(timeout_s)

    def _choose(self, lanes: Mapping[int, Lane]) -> tuple[int, Lane]:
        wanted = self._selector.wanted
        used = None if wanted is None else lanes.get(wanted)
        if wanted is not None and used is not None and used.bitrate >= STILL_GOOD * self._bitrate:
            return wanted, used
        best = max(lanes, key=lambda number: lanes[number].bitrate, default=OWN)
        if best != OWN and lanes[best].bitrate >= GOOD * self._bitrate:
            return best, lanes[best]
        if self._own is None:
            selector = self._selector
            self._own = self._pipeline.add_lane(
                video=_Tee(OWN, selector.video, None),
                audio=_Tee(OWN, selector.sound, None),
                bitrate=self._bitrate,
            )
        return OWN, self._own
