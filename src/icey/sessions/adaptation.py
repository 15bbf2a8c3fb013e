"""Assigns viewers to encoders, and chooses the encoders' bitrates. Pure: `now` is passed in.

A *lane* is one running encoder and the viewers it serves. Viewers report what their path carries
(REMB or TWCC, see `icey._core.BitrateEstimated`); from that follow two decisions:

* **The rate of a lane** is what its slowest viewer carries, as long as that is at least half of
  what its fastest one carries. It falls at once and rises by 8 % a second, so that a rising rate
  probes the path and does not flood it (the increase of draft-ietf-rmcat-gcc-02 §5.5).
* **A viewer that carries less than half of its lane** moves to a lane that fits, or opens one. So
  a slow or a lying viewer costs the others nothing, and nobody is held below half of what his line
  carries by another. It moves up again once it has carried the faster lane for a while.

With one lane (a pipeline of the viewer's own) the same rules reduce to: follow the estimate.
"""

from __future__ import annotations

from dataclasses import dataclass, field

MINIMUM_BITRATE = 150_000
"""The lowest video bitrate in bit/s: below it 720p is not a picture any more."""

_SHARE_FOR_MEDIA = 0.85  # of an estimate; the rest is headers (5 %), resends, and keyframes
_RISE_PER_SECOND = 1.08
_RETURN_PER_SECOND = 1.3  # below half of what the path carries there is nothing to probe
_NO_FALL = 0.9  # an estimate that wavers has found nothing out
_SETTLE_SECONDS = 1.0  # no rise so soon after a fall: the queue in the path must drain first
_DWELL_SECONDS = 2.0  # a viewer stays that long in a lane: an encoder a second is no adaptation
_CLIMB_SECONDS = 5.0  # the faster lane must have been in reach that long


@dataclass(frozen=True)
class Move:
    """This viewer leaves its lane for `lane`, which may be a new one."""

    viewer: int
    lane: int


@dataclass
class _Viewer:
    lane: int
    since: float
    path: int | None = None  # what its path carries, bit/s; None before the first estimate
    climbs_since: float | None = None


@dataclass
class _Lane:
    rate: int
    changed: float
    fell: float | None = None  # since when its rate was too high for somebody
    viewers: set[int] = field(default_factory=set)


class LanePlan:
    """The lanes of one pipeline.

    Args:
        maximum: the configured video bitrate, bit/s; no lane runs faster.
        audio: bit/s that the audio takes out of each viewer's estimate, until `audio` is set to
            what it really takes.
        lanes: how many encoders may run at once, at least 1; `limit` changes it.
        start: what a path is taken to carry before its first estimate, bit/s; None: everything.
    """

    def __init__(self, *, maximum: int, audio: int, lanes: int, start: int | None = None) -> None:
        self._maximum = max(maximum, MINIMUM_BITRATE)
        self.audio = audio
        self._start = self._maximum if start is None else self._video_of(start)
        self.limit = max(lanes, 1)
        self._viewers: dict[int, _Viewer] = {}
        self._lanes: dict[int, _Lane] = {}
        self._next_lane = 0

    @property
    def start_rate(self) -> int:
        """The video bitrate of a lane before its viewers' first estimates, bit/s."""
        return self._start

    @property
    def lanes(self) -> frozenset[int]:
        """The lanes that have viewers."""
        return frozenset(self._lanes)

    def lane_of(self, viewer: int) -> int | None:
        """The lane a viewer is in, None for a stranger."""
        entry = self._viewers.get(viewer)
        return None if entry is None else entry.lane

    def join(self, viewer: int, now: float) -> int:
        """Put a new viewer into the fastest lane there is, and return it."""
        self.leave(viewer)
        if self._lanes:
            lane = max(self._lanes, key=lambda number: self._lanes[number].rate)
        else:
            lane = self._open(self._start, now)
        self._lanes[lane].viewers.add(viewer)
        self._viewers[viewer] = _Viewer(lane=lane, since=now)
        return lane

    def leave(self, viewer: int) -> None:
        """Forget a viewer; a lane without viewers is gone."""
        entry = self._viewers.pop(viewer, None)
        if entry is not None:
            self._take_out(viewer, entry.lane)

    def estimate(self, viewer: int, bitrate: int) -> None:
        """Note what a viewer's path carries, audio included, in bit/s. Strangers are ignored."""
        entry = self._viewers.get(viewer)
        if entry is not None:
            entry.path = bitrate

    def plan(self, now: float) -> list[Move]:
        """Decide who changes lanes. The moves have been made in the plan when this returns."""
        moves = []
        for viewer, entry in list(self._viewers.items()):
            lane = self._better_lane(entry, now)
            if lane is not None:
                self._take_out(viewer, entry.lane)
                self._lanes[lane].viewers.add(viewer)
                entry.lane, entry.since, entry.climbs_since = lane, now, None
                moves.append(Move(viewer, lane))
        return moves

    def rates(self, now: float) -> dict[int, int]:
        """The video bitrate of each lane from now on, bit/s."""
        for lane in self._lanes.values():
            self._step(lane, now)
        return {number: lane.rate for number, lane in self._lanes.items()}

    def _open(self, rate: int, now: float, *, fell: float | None = None) -> int:
        number = self._next_lane
        self._next_lane += 1
        self._lanes[number] = _Lane(rate=rate, changed=now, fell=fell)
        return number

    def _take_out(self, viewer: int, number: int) -> None:
        lane = self._lanes[number]
        lane.viewers.discard(viewer)
        if not lane.viewers:
            del self._lanes[number]

    def _carries(self, entry: _Viewer) -> int:
        """What a viewer's path carries of video, bit/s; everything before the first estimate."""
        return self._start if entry.path is None else self._video_of(entry.path)

    def _video_of(self, path: int) -> int:
        video = int(path * _SHARE_FOR_MEDIA) - self.audio
        return min(max(video, MINIMUM_BITRATE), self._maximum)

    def _carried(self, lane: _Lane) -> list[int]:
        # Those without an estimate too: browsers give none (REMB) while nothing is wrong.
        return [self._carries(self._viewers[viewer]) for viewer in lane.viewers]

    def _step(self, lane: _Lane, now: float) -> None:
        carried = self._carried(lane)
        fastest = max(carried, default=self._maximum)
        goal = min((rate for rate in carried if rate * 2 >= fastest), default=self._start)
        elapsed = max(now - lane.changed, 0.0)
        lane.changed = now
        if goal < lane.rate:
            if goal < lane.rate * _NO_FALL:
                lane.fell = now
            lane.rate = goal
        elif lane.fell is None:
            lane.rate = goal
        elif now - lane.fell >= _SETTLE_SECONDS:
            rise = _RISE_PER_SECOND if lane.rate * 2 > goal else _RETURN_PER_SECOND
            lane.rate = min(goal, round(lane.rate * rise**elapsed) + 1)

    def _better_lane(self, entry: _Viewer, now: float) -> int | None:
        if entry.path is None or now - entry.since < _DWELL_SECONDS:
            return None
        current = self._lanes[entry.lane]
        if self._carries(entry) * 2 < max(self._carried(current)):
            return self._slower_lane(entry, now)
        return self._faster_lane(entry, current, now)

    def _slower_lane(self, entry: _Viewer, now: float) -> int | None:
        carries = self._carries(entry)
        fitting = [n for n, lane in self._lanes.items() if carries // 2 <= lane.rate <= carries]
        if fitting:
            return max(fitting, key=lambda number: self._lanes[number].rate)
        if len(self._lanes) < self.limit:
            return self._open(carries, now, fell=now)
        slowest = min(self._lanes, key=lambda number: self._lanes[number].rate)
        return slowest if slowest != entry.lane else None

    def _faster_lane(self, entry: _Viewer, current: _Lane, now: float) -> int | None:
        carries = self._carries(entry)
        # Of two lanes that have come to the same rate, the older one takes all.
        faster = [
            number
            for number, lane in self._lanes.items()
            if (current.rate, -entry.lane) < (lane.rate, -number) and lane.rate <= carries
        ]
        if not faster:
            entry.climbs_since = None
            return None
        if entry.climbs_since is None:
            entry.climbs_since = now
        if now - entry.climbs_since < _CLIMB_SECONDS:
            return None
        return max(faster, key=lambda number: self._lanes[number].rate)
