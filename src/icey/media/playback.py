"""A file as a source: decoded a little ahead of time, at a constant rate, around and around.

Live HTTP is played like a file as well: HLS comes in bursts of seconds, which must be paced.
"""

from __future__ import annotations

import logging
from collections import deque
from typing import TYPE_CHECKING

import av

from icey.media.buffer import MediaBuffer, Shown
from icey.media.input import Input
from icey.media.passthrough import open_passthrough
from icey.media.reader import InputReader
from icey.media.scale import matrix_of
from icey.media.timebase import SECOND_NS, FrameGrid, output_rate, to_ns

if TYPE_CHECKING:
    from typing import Any

    from av.packet import Packet

    from icey.config.model import MediaSettings
    from icey.media.passthrough import AnnexB
    from icey.media.source import Source

log = logging.getLogger(__name__)

PENDING_BYTES = 16 << 20
"""Packets that may wait for their decoder because the file's other stream lags behind, bytes."""

TAIL_NS = SECOND_NS // 2
"""Sound that goes on for less than this after the last picture is cut off at the end of a
loop: encoders pad sound, and a picture that stands still at each seam would be seen."""

JUMP_NS = 30 * SECOND_NS
"""A step of the timestamps that is no pause but a jump, as where broadcasts were joined."""


class FileReader(InputReader):
    """A `Reader` of a file, or of anything on a web server."""

    immediate = False

    def __init__(self, source: Source, media: MediaSettings, buffer: MediaBuffer) -> None:
        super().__init__(source, media, buffer)
        self.threaded = source.kind != "file"
        self._offset_ns = 0  # media time less source time, anew after each jump of source time
        self._grid = FrameGrid(self.rate)
        self._origin_ns = 0
        self._round_ns = 0  # media time at which this round of the loop began
        self._video_packets: deque[Packet[Any]] = deque()
        self._audio_packets: deque[Packet[Any]] = deque()
        self._pending = 0
        self._frames: deque[av.VideoFrame] = deque()
        self._held: tuple[av.VideoFrame, int] | None = None
        self._end_of_file = False
        self._finished = False
        self._opened = False
        self._unit_end_ns = 0

    def open(self) -> None:
        """Open the file and decode up to its first picture; anew, go on at the present time."""
        self.close()
        self._input = opened = Input(self.source)
        self._round_ns = 0
        if self._opened:
            now = self._buffer.now_ns() - self._buffer.slip_ns
            self._round_ns = max(now, self._grid.time(self._grid.next_tick))
        elif opened.video is None:
            self.still = f"{self.source.public}: sound only"
        else:
            video = opened.video
            self.rate = output_rate(video.average_rate, video.guessed_rate, self._media.video.fps)
            self._grid = FrameGrid(self.rate)
        self._annexb = open_passthrough(opened, self._media.passthrough_video)
        self._origin_ns = opened.start_ns
        self._offset_ns = self._round_ns - self._origin_ns
        self._opened = True
        sound_before = self._buffer.sound.end_ns
        while not self._buffer.stopping:
            done = self._buffer.pictures if opened.video else self._buffer.sound.ready
            if done or not self.step(0):
                break
        if not self._buffer.pictures and self._buffer.sound.end_ns == sound_before:
            raise self.source.error("nothing in it could be decoded")

    def step(self, now_ns: int) -> bool:  # noqa: ARG002 - a file does not look at the clock
        """Decode one picture or one packet of sound, or read one packet."""
        opened = self._input
        if opened is None or self._finished:
            return False
        return self._decode_next(opened) or self._read_next(opened)

    def _decode_next(self, opened: Input) -> bool:
        if self._buffer.picture_room and self._frames:
            self._place(self._frames.popleft())
        elif self._buffer.picture_room and self._video_packets:
            self._decode_video(opened, self._take(self._video_packets))
        elif self._buffer.sound_room and self._audio_packets:
            self._decode_audio(opened, self._take(self._audio_packets))
        else:
            return False
        return True

    def _read_next(self, opened: Input) -> bool:
        if self._end_of_file:
            if self._video_packets or self._audio_packets or self._frames:
                return False
            self._end_round(opened)
            return True
        starving = (opened.video is not None and self._buffer.picture_room) or (
            opened.audio is not None and self._buffer.sound_room
        )
        if not starving or self._pending > PENDING_BYTES:
            return False
        packet = opened.read()
        if packet is None:
            self._end_of_file = True
            return True
        self._pending += packet.size
        (self._video_packets if opened.is_video(packet) else self._audio_packets).append(packet)
        return True

    def close(self) -> None:
        """Close the file, and forget what was read ahead."""
        super().close()
        self._video_packets.clear()
        self._audio_packets.clear()
        self._frames.clear()
        self._held = None
        self._pending = 0
        self._end_of_file = False

    def _take(self, packets: deque[Packet[Any]]) -> Packet[Any]:
        packet = packets.popleft()
        self._pending -= packet.size
        return packet

    def _pass_through(self, annexb: AnnexB, packet: Packet[Any]) -> None:
        unit = annexb.convert(packet)
        if unit is None:
            return
        due = self._unit_end_ns
        if packet.pts is not None:
            due = to_ns(packet.pts, packet.time_base) + self._offset_ns
        last = to_ns(packet.duration, packet.time_base) if packet.duration else self._grid.time(1)
        self._unit_end_ns = due + last
        self._buffer.put_picture(Shown(unit, deque([due])))

    def _decode_video(self, opened: Input, packet: Packet[Any]) -> None:
        if self._annexb is not None:
            self._pass_through(self._annexb, packet)
            return
        frames = opened.decode(packet)
        self._frames.extend(frame for frame in frames if isinstance(frame, av.VideoFrame))

    def _decode_audio(self, opened: Input, packet: Packet[Any]) -> None:
        for frame in opened.decode(packet):
            if not isinstance(frame, av.AudioFrame):
                continue
            line = self._buffer.sound
            due = line.end_ns
            if frame.pts is not None and frame.time_base is not None:
                due = to_ns(frame.pts, frame.time_base) + self._offset_ns
            # What lies before the beginning is padding of the encoder.
            early = max(0, self._round_ns - due) * line.rate // SECOND_NS
            run = self._converter.convert(frame)[early:]
            self._buffer.put_sound(max(due, self._round_ns), run)

    def _place(self, frame: av.VideoFrame) -> None:
        """Find out when a decoded picture is due, and thereby how long the one before lasts."""
        period = self._grid.time(1)
        if self._held is None:
            self.matrix = matrix_of(frame) if not self._grid.next_tick else self.matrix
            self._held = frame, self._round_ns  # a first picture that starts late is shown at once
            return
        before = self._held[1]
        due = before + period
        if frame.pts is not None and frame.time_base is not None:
            source_ns = to_ns(frame.pts, frame.time_base)
            due = source_ns + self._offset_ns
            if due < before - SECOND_NS or due > before + JUMP_NS:
                due = before + period
                self._offset_ns = due - source_ns
        self._show(until_ns=due)
        self._held = frame, max(due, before)

    def _show(self, *, until_ns: int) -> None:
        if self._held is None:
            return
        ticks = self._grid.cover(until_ns)
        if not ticks:
            return
        aspect = self._input.sample_aspect if self._input is not None else None
        picture = self._scaler.scale(self._held[0], aspect, self.matrix)
        self._buffer.put_picture(Shown(picture, deque(self._grid.time(t) for t in ticks)))

    def _end_round(self, opened: Input) -> None:
        """Show the last picture for as long as it lasts, then begin again, or end."""
        if self.source.live:
            raise self.source.error("the stream ended")
        line = self._buffer.sound
        end = self._unit_end_ns if self._annexb is not None else self._held_end()
        if line.started and line.end_ns > end + TAIL_NS:
            end = line.end_ns
        end = max(end, self._round_ns)
        self._check_length(opened, end - self._round_ns)
        if end < self._round_ns + SECOND_NS // 1000:
            raise self.source.error("nothing in it could be decoded")
        self._show(until_ns=end)
        self._held = None
        if not self._media.loop:
            self._finished = True
            self._buffer.end()
            return
        with self._buffer.changed:
            line.cut(end)
            line.fill(end)
        self._round_ns = end
        opened.rewind()
        self._end_of_file = False
        self._offset_ns = end - self._origin_ns

    def _check_length(self, opened: Input, length_ns: int) -> None:
        promised = opened.promised_ns
        if promised is not None and length_ns < promised - SECOND_NS:
            raise self.source.error(
                f"the file breaks off after {length_ns / SECOND_NS:.1f} s"
                f" of {promised / SECOND_NS:.1f} s (partial file)",
            )

    def _held_end(self) -> int:
        if self._held is None:
            return 0
        frame, due = self._held
        last = self._grid.time(1)
        if frame.duration and frame.time_base is not None:
            last = min(to_ns(frame.duration, frame.time_base), SECOND_NS)
        return due + last
