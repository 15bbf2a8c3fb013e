"""The pipeline: one source, paced to real time, through any number of encoders.

::

    reader: open → read → decode → scale ──→ MediaBuffer ──→ pace ─┬→ lane: x264 → sink
            (same thread, or one of its own                        ├→ lane: x264 → sink
             where reading may block)                              └→ Opus → sinks

A local file and ``demo:`` need one thread: it decodes while nothing is due. What is read from
a network or a device gets a second thread, which may block.

Every picture has a media time, and goes out when the clock reaches it. One that is later than
`LATE_NS` while its successor is due too is dropped and counted: latency never builds up.
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

import av

from icey.errors import SourceError
from icey.media.buffer import MediaBuffer
from icey.media.caption import captioned
from icey.media.demo_reader import DemoReader
from icey.media.encode import AudioEncoder, VideoEncoder
from icey.media.events import PipelineEvent, SourceBroken, SourceEnded
from icey.media.input import source_error
from icey.media.lane import Lane, Sink
from icey.media.picture import black
from icey.media.playback import FileReader
from icey.media.timebase import AUDIO_CLOCK, SECOND_NS, VIDEO_CLOCK, to_timestamp

if TYPE_CHECKING:
    from collections.abc import Callable

    from icey.config.model import MediaSettings
    from icey.media.reader import Reader
    from icey.media.source import Source

__all__ = ["Lane", "Pipeline", "PipelineStats", "Sink"]

log = logging.getLogger(__name__)

LATE_NS = 100_000_000
"""How late a picture may be while the next one is due too, ns."""

SLIP_NS = SECOND_NS
"""How far a file may fall behind before its clock is put back instead, ns."""

REPEAT_NS = SECOND_NS // 5
"""After so long without a picture the last one is sent again, so that viewers who join see one."""

EARLY_NS = 3_000_000
"""What is due within this is sent at once: saves a wake-up for each packet of sound."""

State: TypeAlias = Literal["new", "ready", "playing", "ended", "broken", "stopped"]


@dataclass(frozen=True)
class PipelineStats:
    """Counters of a pipeline; all but `bitrate`, `lanes` and `state` only grow.

    Attributes:
        state: what it is doing.
        frames_decoded: pictures decoded or drawn.
        frames_encoded: access units pushed, over all lanes.
        frames_dropped: pictures not sent: the source is faster than ``media.video.fps``, a live
            source's queue was full, or the machine too slow.
        frames_repeated: pictures sent again because no new one came.
        samples_dropped: samples of sound thrown away because too much waited.
        packets_damaged: packets of the source that could not be decoded.
        slips: times a file fell so far behind that its clock was put back.
        restarts: times a live source was opened again.
        lanes: encoders now.
        bitrate: what the encoders aim at now, bit/s, all together.
    """

    state: State
    frames_decoded: int
    frames_encoded: int
    frames_dropped: int
    frames_repeated: int
    samples_dropped: int
    slips: int
    restarts: int
    lanes: int
    bitrate: int


class Pipeline:
    """One source and its encoders. Methods may be called from any thread.

    Args:
        source: what to play.
        settings: ``media``.
        on_event: told what happens to the source, from a media thread; must not block.
    """

    def __init__(
        self, source: Source, settings: MediaSettings, *, on_event: Callable[[PipelineEvent], None]
    ) -> None:
        self._source = source
        self._settings = settings
        self._on_event = on_event
        self._buffer = MediaBuffer(settings.audio.sample_rate, settings.audio.channels)
        self._reader = _open_reader(source, settings, self._buffer)
        self._lock = threading.Lock()  # guards the six below
        self._lanes: tuple[Lane, ...] = ()
        self._spare: VideoEncoder | None = None
        self._state: State = "new"
        self._stopping = False
        self._preparing = False
        self._thread: threading.Thread | None = None
        self._epoch_ns = 0
        self._slip_ns = 0
        self._last: av.VideoFrame | None = None
        self._last_ns = -SECOND_NS
        self._sound_ns = -1
        self._late = False
        self._opus: AudioEncoder | None = None
        self._encoded = self._repeated = self._slips = self._skipped = 0

    @property
    def stats(self) -> PipelineStats:
        """The counters as they are now."""
        lanes = self._lanes
        return PipelineStats(
            state=self._state,
            frames_decoded=self._reader.decoded,
            frames_encoded=self._encoded + sum(lane.encoded for lane in lanes),
            frames_dropped=self._buffer.dropped + self._skipped,
            frames_repeated=self._repeated,
            samples_dropped=self._buffer.sound.dropped,
            slips=self._slips,
            restarts=0,
            lanes=len(lanes),
            bitrate=sum(lane.bitrate for lane in lanes),
        )

    def prepare(self) -> None:
        """Open the source, decode its first picture, open an encoder. Blocks: for a thread.

        Raises:
            SourceError: it cannot be opened or decoded, or `stop` was called meanwhile.
        """
        with self._lock:
            if self._state != "new" or self._stopping:
                raise source_error(self._source, "the pipeline was used before")
            self._preparing = True
        try:
            self._reader.open()
            spare = self._make_encoder(self._settings.video.bitrate)
            self._opus = AudioEncoder(self._settings.audio)
        except BaseException:
            self._reader.close()
            with self._lock:
                self._preparing, self._state = False, "broken"
            raise
        with self._lock:
            self._preparing = False
            if not self._stopping:
                self._state = "ready"
                self._spare = spare
                return
        self._free()
        raise source_error(self._source, "stopped while it was opened")

    def start(self) -> None:
        """Begin at the first picture. Returns at once; later calls do nothing.

        Raises:
            SourceError: `prepare` did not succeed.
        """
        with self._lock:
            if self._stopping or self._thread is not None:
                return
            if self._state != "ready":
                raise source_error(self._source, "it was not prepared")
            self._state = "playing"
            self._thread = threading.Thread(target=self._run, name="icey-media", daemon=True)
            self._thread.start()

    def add_lane(self, *, video: Sink, audio: Sink | None, bitrate: int) -> Lane:
        """Add an encoder. Its first frame is a keyframe.

        Args:
            video: takes access units.
            audio: takes Opus packets; nothing is pushed where the source has no sound.
            bitrate: bit/s to start with, clamped as in `Lane.set_bitrate`.
        """
        with self._lock:
            spare, self._spare = self._spare, None
            lane = Lane(video, audio, bitrate, self._settings.video.bitrate, spare)
            lane.closed = self._stopping
            self._lanes = (*(old for old in self._lanes if not old.closed), lane)
        return lane

    def stop(self) -> None:
        """End it. Returns at once; harmless when stopped."""
        with self._lock:
            self._stopping = True
            idle = self._thread is None and not self._preparing
        with self._buffer.changed:
            self._buffer.changed.notify_all()
        if idle:
            self._free()

    def join(self, timeout_s: float) -> bool:
        """Wait for its threads to end after `stop`, at most so long; returns whether they did."""
        thread = self._thread
        if thread is None:
            return True
        thread.join(timeout_s)
        return not thread.is_alive()

    def _run(self) -> None:
        event: PipelineEvent | None = None
        state: State = "stopped"
        try:
            self._epoch_ns = time.monotonic_ns()
            if self._play():
                state, event = "ended", SourceEnded()
        except SourceError as error:
            state, event = "broken", SourceBroken(str(error))
        except Exception:
            log.exception("the pipeline of %s failed", self._source.public)
            state, event = "broken", SourceBroken(f"{self._source.public}: internal error")
        finally:
            self._free()
            self._state = state
        if event is not None and not self._stopping:
            self._on_event(event)

    def _play(self) -> bool:
        """Send until the source ends (True) or `stop` (False)."""
        while not self._stopping:
            now = time.monotonic_ns() - self._epoch_ns
            due = self._send_sound(now)
            due = min(due, self._send_pictures(now))
            if self._reader.step(now):
                continue
            if self._buffer.ended and not self._buffer.pictures and not self._buffer.sound.ready:
                return True
            step = self._reader.next_step_ns()
            self._wait(due if step is None else min(due, step))
        return False

    def _wait(self, until_ns: int) -> None:
        with self._buffer.changed:
            left = until_ns - (time.monotonic_ns() - self._epoch_ns)
            if left > 0 and not self._stopping:
                self._buffer.changed.wait(left / SECOND_NS)

    def _send_sound(self, now: int) -> int:
        """Send the sound that is due; returns when the next is, media ns."""
        line = self._buffer.sound
        while True:
            with self._buffer.changed:
                if not line.ready or self._opus is None:
                    return now + REPEAT_NS
                due = line.head_ns + self._slip_ns
                if due > now + EARLY_NS:
                    return due
                _, samples = line.take()
            data = self._opus.encode(samples)
            timestamp = to_timestamp(due, AUDIO_CLOCK)
            for lane in self._lanes:
                lane.push_sound(data, timestamp, self._epoch_ns + due)

    def _send_pictures(self, now: int) -> int:
        """Send the picture that is due; returns when the next is, media ns."""
        pictures = self._buffer.pictures
        while True:
            with self._buffer.changed:
                if not pictures:
                    break
                shown = pictures[0]
                due = shown.times[0] + self._slip_ns
                if due > now + EARLY_NS:
                    break
                shown.times.popleft()
                if not shown.times:
                    pictures.popleft()
                following = shown.times[0] if shown.times else None
                if following is None and pictures:
                    following = pictures[0].times[0]
            late = now - due
            if late > SLIP_NS and not self._source.live:
                log.info("%s: %d ms behind, waiting for it", self._source.public, late // 1_000_000)
                self._slip_ns += late
                self._slips += 1
                due, late = now, 0
            self._set_late(late > LATE_NS)
            if late > LATE_NS and following is not None and following + self._slip_ns <= now:
                self._skipped += 1
                continue
            if isinstance(shown.picture, av.VideoFrame):
                self._last = shown.picture
            self._encode(self._last, due)
            return self._next_picture_ns(now)
        return self._repeat(now)

    def _next_picture_ns(self, now: int) -> int:
        with self._buffer.changed:
            if self._buffer.pictures:
                return self._buffer.pictures[0].times[0] + self._slip_ns
        return now + REPEAT_NS

    def _repeat(self, now: int) -> int:
        """Send the last picture again where none came for long; returns when to look again."""
        if self._last is None and self._reader.still:
            video = self._settings.video
            self._last = captioned(black(video.width, video.height), self._reader.still)
        if self._last is not None and now - self._last_ns >= REPEAT_NS:
            self._repeated += 1
            self._encode(self._last, now)
        return min(self._next_picture_ns(now), max(self._last_ns + REPEAT_NS, now + EARLY_NS))

    def _encode(self, picture: av.VideoFrame | None, due: int) -> None:
        if picture is None:
            return
        due = max(due, self._last_ns + SECOND_NS // 1000)  # time never stands still
        self._last_ns = due
        timestamp = to_timestamp(due, VIDEO_CLOCK)
        for lane in self._lanes:
            if lane.closed:
                self._forget(lane)
            else:
                lane.encode(picture, timestamp, self._epoch_ns + due, self._make_encoder)

    def _forget(self, lane: Lane) -> None:
        with self._lock:
            self._encoded += lane.encoded
            self._lanes = tuple(other for other in self._lanes if other is not lane)

    def _set_late(self, late: bool) -> None:  # noqa: FBT001
        if late != self._late:
            self._late = late
            self._reader.lagging(behind=late)

    def _make_encoder(self, bitrate: int) -> VideoEncoder:
        return VideoEncoder(self._settings.video, self._reader.rate, bitrate, self._reader.matrix)

    def _free(self) -> None:
        self._reader.close()
        with self._lock:
            for lane in self._lanes:
                lane.close()
            self._spare = None
        self._last = self._opus = None
        self._buffer.pictures.clear()


def _open_reader(source: Source, settings: MediaSettings, buffer: MediaBuffer) -> Reader:
    if source.kind == "demo":
        return DemoReader(settings, buffer)
    return FileReader(source, settings, buffer)
