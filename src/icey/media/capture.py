"""Live sources: each picture is taken as it comes and sent at once; a lost source is reopened."""

from __future__ import annotations

import logging
from collections import deque
from typing import TYPE_CHECKING, Any

import av

from icey.backoff import Backoff
from icey.errors import SourceError
from icey.media.buffer import MediaBuffer, Shown
from icey.media.events import SourceLost, SourceRestored
from icey.media.input import Input
from icey.media.reader import InputReader
from icey.media.scale import matrix_of
from icey.media.timebase import SECOND_NS, ArrivalClock, RateCap, to_ns

if TYPE_CHECKING:
    from collections.abc import Callable
    from fractions import Fraction

    from av.packet import Packet

    from icey.config.model import MediaSettings
    from icey.media.events import PipelineEvent
    from icey.media.passthrough import AnnexB
    from icey.media.reader import Reader
    from icey.media.source import Source

log = logging.getLogger(__name__)

ROOM_WAIT_S = 0.1
"""How long a reader waits for room before it looks again, s; it is woken earlier."""

STABLE_NS = 10 * SECOND_NS
"""A source that stayed for so long is worth a quick first retry again, ns."""


class LiveReader(InputReader):
    """A `Reader` of a camera or a stream, which cannot wait: the oldest picture makes room."""

    threaded = True
    immediate = True

    def __init__(self, source: Source, media: MediaSettings, buffer: MediaBuffer) -> None:
        super().__init__(source, media, buffer)
        self._clock = ArrivalClock()
        self._cap = RateCap(media.video.fps)
        self._decoded = 0  # pictures and access units
        self._whole = False  # passing through: no access unit is missing since a keyframe
        self._first = True

    def open(self) -> None:
        """Open the source and take its first picture, or first sound where it has none."""
        self.close()
        wanted = bool(self._media.passthrough_video)
        self._input = opened = Input(
            self.source,
            self._media.video,
            analyse=wanted,
            transport=self._media.rtsp_transport,
        )
        self._annexb = self._open_passthrough(opened)
        self._clock.reset()
        self._whole = False
        self.still = "" if opened.video is not None else f"{self.source.public}: sound only"
        if self._first and opened.video is not None:
            average = opened.video.average_rate
            if average and 1 <= average < self.rate:
                self.rate = average.limit_denominator(1001)
        before = self._decoded, self._buffer.sound.end_ns
        while not self._buffer.stopping:
            self.step(0)
            after = self._decoded, self._buffer.sound.end_ns
            if after[0] > before[0] if opened.video is not None else after[1] > before[1]:
                break
        self._first = False

    def step(self, now_ns: int) -> bool:  # noqa: ARG002 - what counts is when the packet came
        """Wait for a packet and give what is in it."""
        opened = self._input
        if opened is None:
            return False
        packet = opened.read()
        if packet is None:
            raise self.source.error("the stream ended")
        if self._annexb is not None and opened.is_video(packet):
            self._pass_through(self._annexb, packet)
            return True
        for frame in opened.decode(packet):
            if isinstance(frame, av.VideoFrame):
                for picture in self._deinterlacer.filter(frame):
                    self._give_picture(opened, picture)
            else:
                self._give_sound(frame)
        return True

    def _place(self, pts: int | None, time_base: Fraction | None) -> int:
        now = self._buffer.now_ns()
        if pts is None or time_base is None:
            return now
        return self._clock.place(to_ns(pts, time_base), now)

    def _give_picture(self, opened: Input, frame: av.VideoFrame) -> None:
        self._decoded += 1
        taken = self._place(frame.pts, frame.time_base)
        if not self._cap.accept(taken):
            return
        if self._first:
            self.matrix = matrix_of(frame)
        picture = self._scaler.scale(frame, opened.sample_aspect, self.matrix)
        self._buffer.put_picture(Shown(picture, deque([taken])), drop_oldest=True)

    def _give_sound(self, frame: av.AudioFrame) -> None:
        taken = self._place(frame.pts, frame.time_base)
        self._buffer.put_sound(taken, self._converter.convert(frame))

    def _pass_through(self, annexb: AnnexB, packet: Packet[Any]) -> None:
        pts, time_base = packet.pts, packet.time_base  # converting empties the packet
        unit = annexb.convert(packet)
        if unit is None:
            return
        self._decoded += 1
        self._whole = self._whole or unit.keyframe
        if self._whole:
            self._whole = self._buffer.put_unit(unit, self._place(pts, time_base))


def read_on(
    reader: Reader, source: Source, buffer: MediaBuffer, on_event: Callable[[PipelineEvent], None]
) -> None:
    """Run a reader that `Reader.open` opened until the buffer is stopping; the thread's main.

    A live source that fails is opened again, after 1 s, 2 s … 30 s; another one ends the buffer.
    """
    backoff = Backoff()
    opened_ns = buffer.now_ns()
    try:
        while not buffer.stopping:
            try:
                if buffer.retry_at_ns is not None:
                    reader.open()
                    opened_ns = buffer.now_ns()
                    buffer.retry_at_ns = None
                    log.info("%s is back", source.public)
                    on_event(SourceRestored())
                if not reader.step(buffer.now_ns()):
                    with buffer.changed:
                        if buffer.ended:
                            return
                        buffer.changed.wait(ROOM_WAIT_S)
            except SourceError as error:
                if not source.live:
                    buffer.end(error)
                    return
                reader.close()
                if buffer.retry_at_ns is None and buffer.now_ns() - opened_ns > STABLE_NS:
                    backoff.succeeded()
                _wait_to_retry(error, backoff.failed(), buffer, on_event)
    finally:
        reader.close()


def _wait_to_retry(
    error: SourceError,
    seconds: float,
    buffer: MediaBuffer,
    on_event: Callable[[PipelineEvent], None],
) -> None:
    if buffer.stopping:
        return
    log.warning("%s; next try in %.0f s", error, seconds)
    retry_at = buffer.now_ns() + int(seconds * SECOND_NS)
    with buffer.changed:
        buffer.retry_at_ns = retry_at
        buffer.changed.notify_all()
    on_event(SourceLost(error.detail, seconds))
    with buffer.changed:
        while not buffer.stopping and (left := retry_at - buffer.now_ns()) > 0:
            buffer.changed.wait(left / SECOND_NS)
