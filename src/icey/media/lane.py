"""A lane: one video encoder and where its output goes."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Protocol, cast

from icey._core import Track
from icey.errors import ClosedError
from icey.media.encode import MIN_BITRATE, VideoEncoder
from icey.media.timebase import KeyframeGate

if TYPE_CHECKING:
    from collections.abc import Callable

    import av

    from icey.media.passthrough import AccessUnit

log = logging.getLogger(__name__)


BACKLOG_MS = 200
"""How old what waits for the pacer may be before no more is encoded, ms: a keyframe of the full
bitrate passes in 120."""


class Sink(Protocol):
    """What takes encoded media; `icey._core.Track` is one."""

    def push(self, data: bytes, timestamp: int, captured_ns: int, keyframe: bool) -> None:  # noqa: FBT001
        """Take an access unit or an Opus packet; must not block. See `icey._core.Track.push`."""


class Tee(Protocol):
    """A `Sink` that pushes to a track, if it has one, and hands copies on."""

    after: Sink | None
    """The track."""

    def push(self, data: bytes, timestamp: int, captured_ns: int, keyframe: bool) -> None:  # noqa: FBT001
        """Push to the track, and hand a copy on."""

    def copy(self, data: bytes, timestamp: int, captured_ns: int, keyframe: bool) -> None:  # noqa: FBT001
        """Hand a copy on of what the track has got already."""


def _parts(sink: Sink | Tee | None) -> tuple[Track | None, Sink | None]:
    """Split a sink into the track that it is or leads to, and what takes copies besides."""
    if sink is None or isinstance(sink, Track):
        return sink, None
    track = getattr(sink, "after", None)
    return (track, _Copies(cast("Tee", sink))) if isinstance(track, Track) else (None, sink)


class _Copies:
    """The side of a tee that is not the track."""

    def __init__(self, tee: Tee) -> None:
        self._tee = tee

    def push(self, data: bytes, timestamp: int, captured_ns: int, keyframe: bool) -> None:  # noqa: FBT001
        self._tee.copy(data, timestamp, captured_ns, keyframe)


class Lane:
    """One encoder on a pipeline's pictures. Made by `Pipeline.add_lane`.

    `request_keyframe`, `set_bitrate` and `close` may be called from any thread and return at once;
    the rest is the pipeline's.

    Attributes:
        bitrate: the one aimed at, bit/s.
        fed: which stream feeds its tracks past Python (`Reader.opened`), 0 for none.
    """

    def __init__(
        self,
        video: Sink,
        audio: Sink | None,
        bitrate: int,
        limit: int,
        encoder: VideoEncoder | None,
        *,
        backlog_ms: Callable[[], int] = lambda: 0,
    ) -> None:
        self._video, self._audio = video, audio
        self._track, self._copies = _parts(video)
        self._sound_track, self._sound_copies = _parts(audio)
        self.fed = 0
        self._sound_fed = False
        self._backlog_ms = backlog_ms
        self._limit = limit
        self.set_bitrate(bitrate)
        self._encoder = encoder
        self._gate = KeyframeGate()
        self._waiting = True  # for the first keyframe of a passed-through source
        self._passing = False  # the last picture was a passed-through one
        self.closed = False
        self.sound_bytes = 0

    def request_keyframe(self) -> None:
        """Ask for a keyframe.

        At most one in 300 ms is made; a request that comes earlier is served when they are over.
        """
        self._gate.request()

    def set_bitrate(self, bits_per_second: int) -> None:
        """Aim at a bitrate from the next frame on, within 150 kb/s and ``media.video.bitrate``."""
        self.bitrate = max(MIN_BITRATE, min(bits_per_second, self._limit))

    def close(self) -> None:
        """Push nothing more. Closing twice is harmless."""
        self.closed = True

    @property
    def track(self) -> Track | None:
        """The engine's track that its pictures go to, None where they go elsewhere."""
        return self._track

    @property
    def sound_track(self) -> Track | None:
        """The engine's track that its sound goes to."""
        return self._sound_track

    @property
    def wants_pictures(self) -> bool:
        """Whether access units are to be pushed: not all that takes them is fed."""
        return not self.closed and (not self.fed or self._copies is not None)

    @property
    def wants_sound(self) -> bool:
        """Whether sound is to be pushed."""
        fed = self._sound_fed and self._sound_copies is None
        return not self.closed and self._audio is not None and not fed

    def feed(self, stream: int, *, sound: bool) -> None:
        """Note that a stream feeds its tracks from now on, with sound or without; 0 for none."""
        if stream:
            self._passing, self._waiting = True, False
        self.fed = stream
        self._sound_fed = bool(stream) and sound and self._sound_track is not None

    def keyframe_due(self, now_ns: int) -> bool:
        """Say whether somebody waits for a keyframe that may be made now."""
        return not self.closed and self._gate.due(now_ns)

    def encode(
        self,
        picture: av.VideoFrame,
        timestamp: int,
        captured_ns: int,
        make: Callable[[int], VideoEncoder],
    ) -> None:
        """Encode a picture and push it; none while earlier ones still wait to be sent.

        A picture that is left out before it is encoded costs a thirtieth of a second. One that is
        thrown away after it costs a keyframe, on a path that is too narrow already.

        Args:
            picture: what to send.
            timestamp: in 1/90000 s.
            captured_ns: the moment of the picture, `time.monotonic_ns`'s clock.
            make: opens an encoder of a bitrate, where the lane has none yet.
        """
        if self._backlog_ms() > BACKLOG_MS:
            return
        if self._encoder is None:
            self._encoder = make(self.bitrate)
        if self._encoder.bitrate != self.bitrate:
            self._encoder.set_bitrate(self.bitrate)
        # Between pictures of the source and ours there is no other way over than a keyframe.
        wanted = self._passing or self._gate.due(captured_ns)
        if wanted and not self._encoder.fits:
            # It starts with a keyframe anyway, and 40 kB of one are a second of a slow path.
            self._encoder = make(self.bitrate)
        self._passing, self._waiting = False, True
        data, keyframe = self._encoder.encode(picture, timestamp, keyframe=wanted)
        if not data:
            return
        if keyframe:
            self._gate.sent(captured_ns)
        self._push(self._video, data, timestamp, captured_ns, keyframe=keyframe)

    def pass_through(self, unit: AccessUnit, timestamp: int, captured_ns: int) -> None:
        """Push an access unit of the source; nothing before the first keyframe."""
        if self._waiting and not unit.keyframe:
            return
        self._passing, self._waiting = True, False
        sink = self._copies if self.fed else self._video
        if sink is not None:
            self._push(sink, unit.data, timestamp, captured_ns, keyframe=unit.keyframe)

    def push_sound(self, data: bytes, timestamp: int, captured_ns: int) -> None:
        """Push an Opus packet, where the lane has a sink for it."""
        sink = self._sound_copies if self._sound_fed else self._audio
        if sink is not None:
            self.sound_bytes += len(data)
            self._push(sink, data, timestamp, captured_ns, keyframe=True)

    def _push(
        self, sink: Sink, data: bytes, timestamp: int, captured_ns: int, *, keyframe: bool
    ) -> None:
        if self.closed:
            return
        try:
            sink.push(data, timestamp, captured_ns, keyframe)
        except ClosedError:  # the viewer left between two frames
            self.closed = True
