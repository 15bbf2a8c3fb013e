"""The pipeline: one source, paced to real time, through any number of encoders.

::

    reader: open → read → decode → scale ──→ MediaBuffer ──→ pace ─┬→ lane: x264 → sink
            (same thread, or one of its own                        ├→ lane: x264 → sink
             where reading may block)                              └→ Opus → sinks

A local file and ``demo:`` need one thread: it decodes while nothing is due. What is read from
a network or a device gets a second thread, which may block: for `OPEN_TIMEOUT_S` twice or
`READ_TIMEOUT_S` at most, so that is how long `Pipeline.join` may take.

Every picture has a media time, and goes out when the clock reaches it. One that is later than
`LATE_NS` while its successor is due too is dropped: latency never builds up.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING

from icey.errors import SourceError
from icey.media.buffer import MediaBuffer
from icey.media.caption import captioned
from icey.media.capture import read_on
from icey.media.encode import AudioEncoder, VideoEncoder
from icey.media.events import PipelineEvent, SourceBroken, SourceEnded
from icey.media.feed import feed
from icey.media.lane import Lane, Sink
from icey.media.passthrough import AccessUnit, LastGroup
from icey.media.picture import black, copy_of
from icey.media.readers import open_reader
from icey.media.timebase import AUDIO_CLOCK, SECOND_NS, VIDEO_CLOCK, to_timestamp

if TYPE_CHECKING:
    from collections.abc import Callable

    import av

    from icey.config.model import MediaSettings
    from icey.media.events import State
    from icey.media.source import Source
    from icey.media.tap import Tap

log = logging.getLogger(__name__)

LATE_NS = 100_000_000
"""How late a picture may be while the next one is due too, ns."""

SLIP_NS = SECOND_NS
"""How far a file may fall behind before its clock is put back instead, ns."""

REPEAT_NS = SECOND_NS // 5
"""After so long without a picture the last one is sent again, so that viewers who join see one."""

EARLY_NS = 3_000_000
"""What is due within this is sent at once: saves a wake-up for each packet of sound."""

SILENCE_NS = SECOND_NS // 50
"""While a live source is silent a packet of silence goes out each 20 ms."""

SILENCE_AFTER_NS = SECOND_NS // 4
"""How late the sound of a live source may be before silence takes its place, ns."""

URGENT_NS = SECOND_NS // 15
"""After so long without a picture the last one serves whoever waits for a keyframe, ns."""


class Pipeline:
    """One source and its encoders. Methods may be called from any thread.

    Args:
        source: what to play.
        settings: ``media``.
        on_event: told what happens to the source, from a media thread; must not block.
        start_bitrate: of the first lane, bit/s, so that its encoder can be opened beforehand.
        tap: sees what is sent, if somebody wants to.
    """

    def __init__(
        self,
        source: Source,
        settings: MediaSettings,
        *,
        on_event: Callable[[PipelineEvent], None],
        start_bitrate: int | None = None,
        tap: Tap | None = None,
    ) -> None:
        self._source = source
        self._tap = tap
        self._settings = settings
        self._on_event = on_event
        self._start_bitrate = start_bitrate or settings.video.bitrate
        self._buffer = MediaBuffer(settings.audio.sample_rate, settings.audio.channels)
        self._reader = open_reader(source, settings, self._buffer)
        self._lock = threading.Lock()  # guards the five below
        self._lanes: tuple[Lane, ...] = ()
        self._spare: VideoEncoder | None = None
        self._state: State = "new"
        self._sender: threading.Thread | None = None
        self._threads: list[threading.Thread] = []
        self._last: av.VideoFrame | None = None
        self._last_ns = -SECOND_NS  # media time of the last picture
        self._sent_ns = -SECOND_NS  # media time at which it was sent
        self._note: tuple[str, av.VideoFrame] | None = None
        self._group = LastGroup()
        self._late = self._silent = False
        self._pictures_due = self._pictures_late = 0
        self._fed = 0  # the stream that feeds tracks past Python
        self._deaf = False  # all sound passes Python by
        self._opus: AudioEncoder | None = None

    @property
    def passes_through(self) -> bool:
        """Whether it sends the source's own H.264, and so has no encoder; known when prepared."""
        return self._reader.passthrough

    @property
    def losses(self) -> tuple[int, int]:
        """See `Reader.losses`."""
        return self._reader.losses

    def punctuality(self) -> tuple[int, int]:
        """Return how many pictures were due since the start, and how many of them came too late.

        Too late is more than `LATE_NS` after they were due, whether they were left out or not; of a
        live source, those for which the encoder left no room.
        """
        dropped = self._buffer.dropped
        return self._pictures_due + dropped, self._pictures_late + dropped

    def prepare(self) -> None:
        """Open the source, decode its first picture, open an encoder. Blocks: for a thread.

        Raises:
            SourceError: it cannot be opened or decoded, or `stop` was called meanwhile.
        """
        with self._lock:
            if self._state != "new":
                raise self._source.error("the pipeline was used before")
            self._state = "opening"
        reader = self._reader
        spare = None
        try:
            if reader.immediate:
                self._buffer.epoch_ns = time.monotonic_ns()
            reader.open()
            if not reader.passthrough:
                spare = self._make_encoder(self._start_bitrate)
            self._opus = AudioEncoder(self._settings.audio)
        except BaseException:
            self._state = "broken"
            reader.close()
            raise
        with self._lock:
            if not self._buffer.stopping:
                self._state = "ready"
                self._spare = spare
                if reader.threaded:
                    self._launch(self._read, "icey-read")
                return
        reader.close()
        raise self._source.error("stopped while it was opened")

    def start(self) -> None:
        """Begin at the first picture. Returns at once; later calls do nothing.

        Raises:
            SourceError: `prepare` did not succeed.
        """
        with self._lock:
            if self._buffer.stopping or self._sender is not None:
                return
            if self._state != "ready":
                raise self._source.error("it was not prepared")
            self._state = "playing"
            self._sender = self._launch(self._send, "icey-send")

    def add_lane(
        self,
        *,
        video: Sink,
        audio: Sink | None,
        bitrate: int,
        backlog_ms: Callable[[], int] = lambda: 0,
    ) -> Lane:
        """Add an encoder. Its first frame is a keyframe.

        Args:
            video: takes access units.
            audio: takes Opus packets; nothing is pushed where the source has no sound.
            bitrate: bit/s to start with, clamped as in `Lane.set_bitrate`.
            backlog_ms: how long the oldest picture waits to be sent; too long, and no more are
                encoded. Asked before each picture.
        """
        with self._lock:
            spare, self._spare = self._spare, None
            lane = Lane(
                video, audio, bitrate, self._settings.video.bitrate, spare, backlog_ms=backlog_ms
            )
            lane.closed = self._buffer.stopping
            self._lanes = (*(old for old in self._lanes if not old.closed), lane)
        with self._buffer.changed:
            self._buffer.changed.notify_all()  # it may be fed at once
        return lane

    def stop(self) -> None:
        """End it. Returns at once; harmless when stopped."""
        with self._lock:
            self._buffer.stopping = True
            idle = self._sender is None and self._state == "ready"
            if idle:
                self._state = "stopped"
        with self._buffer.changed:
            self._buffer.changed.notify_all()
        if idle:
            if not self._reader.threaded:
                self._reader.close()
            self._free()

    def join(self, timeout_s: float) -> bool:
        """Wait for its threads to end after `stop`, at most so long; returns whether they did."""
        deadline = time.monotonic() + timeout_s
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def _launch(self, main: Callable[[], None], name: str) -> threading.Thread:
        thread = threading.Thread(target=main, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()
        return thread

    def _read(self) -> None:
        try:
            read_on(self._reader, self._source, self._buffer, self._on_event)
        except Exception:
            log.exception("reading %s failed", self._source.public)
            self._buffer.end(self._source.error("internal error"))

    def _send(self) -> None:
        event: PipelineEvent | None = None
        state: State = "stopped"
        try:
            self._begin()
            if self._play():
                state, event = "ended", SourceEnded()
        except SourceError as error:
            state, event = "broken", SourceBroken(str(error))
        except Exception:
            log.exception("sending %s failed", self._source.public)
            state, event = "broken", SourceBroken(f"{self._source.public}: internal error")
        stopped = self._buffer.stopping
        with self._buffer.changed:
            self._buffer.stopping = True  # a reader in its own thread ends too
            self._buffer.changed.notify_all()
        if not self._reader.threaded:
            self._reader.close()
        self._free()
        self._state = "stopped" if stopped else state
        if event is not None and not stopped:
            self._on_event(event)

    def _begin(self) -> None:
        """Let media time begin; of a live source, forget what came before anybody watched."""
        buffer = self._buffer
        with buffer.changed:
            if not self._reader.immediate:
                buffer.epoch_ns = time.monotonic_ns()
                return
            buffer.sound.skip(buffer.now_ns() - LATE_NS)
            while len(buffer.pictures) > 1 and not self._reader.passthrough:
                buffer.pictures.popleft()

    def _play(self) -> bool:
        """Send until the source ends (True) or `stop` (False)."""
        buffer, reader = self._buffer, self._reader
        while not buffer.stopping:
            self._feed_tracks()
            now = buffer.now_ns()
            due = min(self._send_sound(now), self._send_pictures(now))
            if not reader.threaded and self._step(now, due):
                continue
            if buffer.ended and not buffer.pictures and not buffer.sound.ready:
                if buffer.failure is not None:
                    raise buffer.failure
                return True
            step = reader.next_step_ns()
            self._wait(due if step is None else min(due, step))
        return False

    def _feed_tracks(self) -> None:
        """Let a reader that can feed the engine's tracks past Python do so, lane by lane."""
        reader = self._reader
        # Taken in this order: a stream that ends in between is named anew when it is back.
        stream = reader.opened if reader.forwards else 0
        if not stream and not self._fed:
            return
        deaf = feed(reader, self._lanes, stream, tapped=self._tap is not None)
        if deaf != self._deaf:
            self._deaf = deaf
            with self._buffer.changed:  # what was not heard meanwhile is over
                now = self._buffer.now_ns()
                self._buffer.sound.fill(now)
                self._buffer.sound.skip(now)
        if stream != self._fed:
            self._fed = stream
            self._last = None  # pictures of before

    def _step(self, now: int, due: int) -> bool:
        """Let the reader work until something is due; returns False where it has nothing to do.

        When late, it works on until it is known what may be dropped.
        """
        reader, buffer = self._reader, self._buffer
        if not reader.step(now):
            return False
        while reader.step(now):
            late = self._late and len(buffer.pictures) < 2
            if not late and buffer.now_ns() >= due:
                break
        return True

    def _wait(self, until_ns: int) -> None:
        buffer = self._buffer
        with buffer.changed:
            left = until_ns - buffer.now_ns()
            fresh = self._reader.immediate and buffer.pictures
            if left > 0 and not buffer.stopping and not fresh:
                buffer.changed.wait(left / SECOND_NS)

    def _send_sound(self, now: int) -> int:
        """Send the sound that is due; returns when the next is, media ns."""
        buffer, line = self._buffer, self._buffer.sound
        while True:
            with buffer.changed:
                self._fill_silence(now)
                if not line.ready or self._opus is None:
                    return now + (SILENCE_NS if self._silent else REPEAT_NS)
                due = line.head_ns + buffer.slip_ns
                if due > now + EARLY_NS:
                    return due
                _, samples = line.take()
                buffer.changed.notify_all()  # there is room
            if any(lane.wants_sound for lane in self._lanes):  # else only the tap listens
                data = self._opus.encode(samples)
                timestamp = to_timestamp(due, AUDIO_CLOCK)
                for lane in self._lanes:
                    lane.push_sound(data, timestamp, buffer.epoch_ns + due)
            if self._tap is not None:
                self._tap.sound(samples, line.rate, due, buffer.epoch_ns + due)

    def _fill_silence(self, now: int) -> None:
        """Let time go on where a live source gives no sound."""
        line = self._buffer.sound
        until = now - self._buffer.slip_ns - self._buffer.sound_lag_ns
        missing = until - line.end_ns
        self._silent = (
            self._source.live
            and line.started
            and not self._deaf
            and (
                missing > SILENCE_AFTER_NS or (self._buffer.retry_at_ns is not None and missing > 0)
            )
        )
        if self._silent:
            line.fill(until)

    def _send_pictures(self, now: int) -> int:
        """Send the pictures that are due; returns when the next is, media ns."""
        buffer = self._buffer
        while (taken := self._take_picture(now)) is not None:
            picture, due, following = taken
            late = now - due - buffer.picture_lag_ns
            self._pictures_due += 1
            # A camera's own delays are not ours: of what is live, only what found no room counts.
            self._pictures_late += late > LATE_NS and not self._reader.immediate
            if late > SLIP_NS and not self._reader.immediate:
                log.info("%s: %d ms behind, waiting for it", self._source.public, late // 1_000_000)
                buffer.slip_ns += late
                due, late = now, 0
            self._set_late(late=late > LATE_NS)
            if isinstance(picture, AccessUnit):
                self._pass_through(picture, due)
                continue
            self._last = picture
            if late > LATE_NS and following is not None and following + buffer.slip_ns <= now:
                continue
            self._encode(picture, due)
            if self._tap is not None:
                # The demo draws all its pictures into one frame.
                own = copy_of(picture) if self._source.kind == "demo" else picture
                self._tap.picture(own, due, buffer.epoch_ns + due)
        return self._repeat(now)

    def _take_picture(self, now: int) -> tuple[av.VideoFrame | AccessUnit, int, int | None] | None:
        """Remove what is due: the picture, its time and the next one's; None where nothing is."""
        buffer = self._buffer
        with buffer.changed:
            if not buffer.pictures:
                return None
            shown = buffer.pictures[0]
            due = shown.times[0] + buffer.slip_ns
            if due > now + EARLY_NS and not self._reader.immediate:
                return None
            shown.times.popleft()
            if not shown.times:
                buffer.pictures.popleft()
                buffer.changed.notify_all()  # there is room
            following = buffer.pictures[0].times[0] if buffer.pictures else None
            return shown.picture, due, following

    def _repeat(self, now: int) -> int:
        """Send the last picture again where none came for long; returns when to look again."""
        idle = now - self._sent_ns
        passing = self._reader.passthrough and self._buffer.retry_at_ns is None
        wanted = any(lane.keyframe_due(self._buffer.epoch_ns + now) for lane in self._lanes)
        if not passing and (idle >= REPEAT_NS or (wanted and idle >= URGENT_NS)):
            picture = self._standing_picture(now)
            if picture is not None:
                self._encode(picture, now - self._buffer.picture_lag_ns)
        if passing and self._fed:
            self._sent_ns = now  # by others
        again = max(self._sent_ns, now - REPEAT_NS + EARLY_NS) + REPEAT_NS
        with self._buffer.changed:
            if self._buffer.pictures:
                again = min(again, self._buffer.pictures[0].times[0] + self._buffer.slip_ns)
        return again

    def _standing_picture(self, now: int) -> av.VideoFrame | None:
        """Return what to show while nothing comes: the last picture, with a note why."""
        video = self._settings.video
        retry_at = self._buffer.retry_at_ns
        if retry_at is not None:
            seconds = -((now - retry_at) // SECOND_NS)
            note = (
                f"source lost, retrying in {seconds} s" if seconds > 0 else "source lost, retrying"
            )
        elif self._last is None:
            note = self._reader.still
        else:
            return self._last
        if not note:
            return None
        if self._note is None or self._note[0] != note:
            if self._last is None and self._reader.passthrough:
                if units := self._reader.take_units():
                    self._group.replace(units)
                self._last = self._group.last_picture(video.width, video.height)
            ground = self._last if self._last is not None else black(video.width, video.height)
            self._note = note, captioned(ground, note)
        return self._note[1]

    def _pass_through(self, unit: AccessUnit, due: int) -> None:
        if self._source.live:
            self._group.add(unit)
            self._last = None
        due, lanes = self._mark_sent(due)
        for lane in lanes:
            lane.pass_through(unit, to_timestamp(due, VIDEO_CLOCK), self._buffer.epoch_ns + due)
        if self._tap is not None:
            self._tap.unit(unit, due, self._buffer.epoch_ns + due)

    def _encode(self, picture: av.VideoFrame, due: int) -> None:
        due, lanes = self._mark_sent(due)
        timestamp = to_timestamp(due, VIDEO_CLOCK)
        for lane in lanes:
            lane.encode(picture, timestamp, self._buffer.epoch_ns + due, self._make_encoder)

    def _mark_sent(self, due: int) -> tuple[int, tuple[Lane, ...]]:
        """Note that a picture goes out now; returns its media time, and the lanes that are open."""
        self._last_ns = max(due, self._last_ns + SECOND_NS // 1000)  # time never stands still
        self._sent_ns = self._buffer.now_ns()
        if any(lane.closed for lane in self._lanes):
            with self._lock:
                self._lanes = tuple(lane for lane in self._lanes if not lane.closed)
        return self._last_ns, self._lanes

    def _set_late(self, *, late: bool) -> None:
        if late != self._late:
            self._late = late
            self._reader.lagging(behind=late)

    def _make_encoder(self, bitrate: int) -> VideoEncoder:
        return VideoEncoder(self._settings.video, self._reader.rate, bitrate, self._reader.matrix)

    def _free(self) -> None:
        with self._lock:
            for lane in self._lanes:
                lane.close()
            # An encoder is 20 MB; whoever still holds this pipeline shall not hold that.
            self._lanes = ()
            self._spare = None
        self._last = self._opus = self._note = self._tap = None
        self._buffer.pictures.clear()
