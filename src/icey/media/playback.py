"""A file as a source: decoded a little ahead of time, at a constant rate, around and around.

Live HTTP is played like a file as well: HLS comes in bursts of seconds, which must be paced.
"""

from __future__ import annotations

import logging
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

import av

from icey.media.buffer import SOUND_NS, MediaBuffer, Shown
from icey.media.continuity import ShownTimes
from icey.media.input import Input
from icey.media.packet_times import PacketTimes
from icey.media.reader import InputReader
from icey.media.scale import matrix_of
from icey.media.timebase import SECOND_NS, FrameGrid, output_rate, to_ns

if TYPE_CHECKING:
    from typing import Any

    import numpy as np
    from av.packet import Packet
    from numpy.typing import NDArray

    from icey.config.model import MediaSettings
    from icey.media.passthrough import AnnexB
    from icey.media.source import Source

log = logging.getLogger(__name__)

PENDING_BYTES = 16 << 20
"""Packets that may wait for their decoder because the file's other stream lags behind, bytes."""

TAIL_NS = SECOND_NS // 2
"""Sound that goes on for less than this after the last picture is cut off at the end of a
loop: encoders pad sound, and a picture that stands still at each seam would be seen."""

SLIDE_NS = SECOND_NS
"""Pictures that each stay for longer than this are slides: the last stays like the one before."""


@dataclass(slots=True)
class _Held:
    """The last decoded picture, whose end is not known yet.

    Attributes:
        frame: as it was decoded.
        due: from when it is shown, media ns.
        step: how long the one before was shown, ns; 0 for the first.
        picture: as it is sent, once that was needed.
    """

    frame: av.VideoFrame
    due: int
    step: int = 0
    picture: av.VideoFrame | None = None


class FileReader(InputReader):
    """A `Reader` of a file, or of anything on a web server."""

    immediate = False

    def __init__(self, source: Source, media: MediaSettings, buffer: MediaBuffer) -> None:
        super().__init__(source, media, buffer)
        self.threaded = source.kind != "file"
        self._offset_ns = 0  # media time less source time, anew in each round
        self._grid = FrameGrid(self.rate)
        self._origin_ns = 0
        self._round_ns = 0  # media time at which this round of the loop began
        self._video_packets: deque[Packet[Any]] = deque()
        self._audio_packets: deque[Packet[Any]] = deque()
        self._pending = 0
        self._frames: deque[av.VideoFrame] = deque()
        self._runs: deque[tuple[int, NDArray[np.int16]]] = deque()  # sound and when it is due, ns
        self._held: _Held | None = None
        self._placed = 0  # pictures of this round
        self._times = PacketTimes(jumps=False)
        self._shown_times = ShownTimes(None)
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
        self._annexb = self._open_passthrough(opened)
        self._shown_times = ShownTimes(opened.decoded_early)
        self._origin_ns = opened.begin_ns()
        self._begin_round(opened)
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

    def _begin_round(self, opened: Input) -> None:
        self._offset_ns = self._round_ns - self._origin_ns
        self._times = PacketTimes(jumps=opened.jumps)
        self._shown_times.begin()
        self._placed = 0
        self._end_of_file = False

    def _decode_next(self, opened: Input) -> bool:
        buffer = self._buffer
        if buffer.picture_room and self._frames:
            self._place(self._frames.popleft())
        elif buffer.picture_room and self._video_packets:
            self._decode_video(opened, self._take(self._video_packets))
        elif buffer.sound_room and self._runs:
            self._give_sound()
        elif buffer.sound_room and self._audio_packets:
            self._decode_audio(opened, self._take(self._audio_packets))
        else:
            return False
        return True

    def _read_next(self, opened: Input) -> bool:
        if self._end_of_file:
            return self._drain(opened)
        starving = (opened.video is not None and self._buffer.picture_room) or (
            opened.audio is not None and self._buffer.sound_room
        )
        if not starving:
            return False
        if self._pending > PENDING_BYTES:
            return not self._video_packets and self._show_on()
        packet = opened.read()
        if packet is None:
            self._end_of_file = True
            return True
        for placed in self._times.place(packet):
            self._pending += placed.size
            queue = self._video_packets if opened.is_video(placed) else self._audio_packets
            queue.append(placed)
        return True

    def _drain(self, opened: Input) -> bool:
        """Give what is left at the end of the file, then end the round."""
        if self._video_packets or self._frames:
            return False
        self._frames.extend(self._deinterlacer.flush())
        if self._frames:
            return True
        if self._audio_packets or self._runs:
            return self._show_on()
        self._end_round(opened)
        return True

    def close(self) -> None:
        """Close the file, and forget what was read ahead."""
        super().close()
        self._video_packets.clear()
        self._audio_packets.clear()
        self._frames.clear()
        self._runs.clear()
        self._held = None
        self._pending = 0
        self._end_of_file = False

    def _take(self, packets: deque[Packet[Any]]) -> Packet[Any]:
        packet = packets.popleft()
        self._pending -= packet.size
        return packet

    def _pass_through(self, opened: Input, annexb: AnnexB, packet: Packet[Any]) -> None:
        # The filter takes the packet's content and leaves nothing in it.
        base, duration = packet.time_base, packet.duration
        pts = packet.pts if opened.decoded_early is None else packet.dts
        unit = annexb.convert(packet)
        if unit is None:
            return
        due = self._unit_end_ns
        if pts is not None:
            due = max(to_ns(pts, base) + self._offset_ns, self._round_ns)
        last = to_ns(duration, base) if duration else self._grid.time(1)
        self._unit_end_ns = due + last
        self._fill_sound(due)
        self._buffer.put_picture(Shown(unit, deque([due])))

    def _fill_sound(self, until_ns: int) -> None:
        """Let silence go on beside the pictures once all sound of the file was given."""
        if self._end_of_file and not self._audio_packets and not self._runs:
            with self._buffer.changed:
                self._buffer.sound.fill(until_ns)

    def _decode_video(self, opened: Input, packet: Packet[Any]) -> None:
        if self._annexb is not None:
            self._pass_through(opened, self._annexb, packet)
            return
        for frame in opened.decode(packet):
            if isinstance(frame, av.VideoFrame):
                frame.pts = self._shown_times.choose(frame.pts, frame.dts)
                self._frames.extend(self._deinterlacer.filter(frame))

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
            self._runs.append((max(due, self._round_ns), run))

    def _give_sound(self) -> None:
        """Give a run of samples, or a little of the silence before it."""
        line = self._buffer.sound
        due, run = self._runs[0]
        if line.started and due > line.end_ns + SOUND_NS:
            with self._buffer.changed:
                line.fill(line.end_ns + SOUND_NS)
                self._buffer.changed.notify_all()
            return
        self._runs.popleft()
        self._buffer.put_sound(due, run)

    def _place(self, frame: av.VideoFrame) -> None:
        """Find out when a decoded picture is due, and thereby how long the one before lasts."""
        self._placed += 1
        if self._held is None:
            self.matrix = matrix_of(frame) if not self._grid.next_tick else self.matrix
            # A first picture that starts late is shown at once.
            self._held = _Held(frame, self._round_ns)
            return
        before = self._held.due
        due = before + self._grid.time(1)
        if frame.pts is not None and frame.time_base is not None:
            due = to_ns(frame.pts, frame.time_base) + self._offset_ns
        due = max(due, before)
        self._fill_sound(due)
        self._show(until_ns=due)
        self._held = _Held(frame, due, due - before)

    def _show(self, *, until_ns: int) -> bool:
        """Show the held picture up to a time; returns whether that is at least once."""
        held, opened = self._held, self._input
        if held is None or opened is None:
            return False
        ticks = self._grid.cover(until_ns)
        if not ticks:
            return False
        if held.picture is None:
            held.picture = self._scaled(opened, held.frame)
        times = deque(self._grid.time(t) for t in ticks)
        self._buffer.put_picture(Shown(held.picture, times))
        return True

    def _show_on(self) -> bool:
        """Show the held picture for as long as sound was decoded: what follows is far away."""
        return self._buffer.picture_room and self._show(until_ns=self._buffer.sound.end_ns)

    def _end_round(self, opened: Input) -> None:
        """Show the last picture for as long as it lasts, then begin again, or end."""
        if self.source.live:
            raise self.source.error("the stream ended")
        line = self._buffer.sound
        end = self._unit_end_ns if self._annexb is not None else self._held_end(opened)
        if line.started and line.end_ns > end + TAIL_NS:
            end = line.end_ns
        end = max(end, self._round_ns)
        self._check_length(opened)
        if end < self._round_ns + SECOND_NS // 1000:
            raise self.source.error("nothing in it could be decoded")
        self._show(until_ns=end)
        self._held = None
        if opened.audio is None and self._placed == 1 and (self._media.loop or opened.is_image):
            self._finished = True  # a still: the pipeline shows its last picture on and on
            return
        if not self._media.loop:
            self._finished = True
            self._buffer.end()
            return
        with self._buffer.changed:
            line.cut(end)
            line.fill(end)
        self._round_ns = end
        opened.rewind()
        self._begin_round(opened)

    def _check_length(self, opened: Input) -> None:
        """Refuse a file that was cut off: no stream got on where the first one broke off."""
        promised, ends = opened.promised_ns(), self._times.ends
        short = {
            number: end for number, end in promised.items() if ends.get(number, 0) < end - SECOND_NS
        }
        if not short:
            return
        cut = min(ends.get(number, 0) for number in short)
        if any(ends.get(number, 0) > cut + SECOND_NS for number in promised):
            return
        raise self.source.error(
            f"the file breaks off after {(cut - self._origin_ns) / SECOND_NS:.1f} s"
            f" of {(max(short.values()) - self._origin_ns) / SECOND_NS:.1f} s (partial file)",
        )

    def _held_end(self, opened: Input) -> int:
        held = self._held
        if held is None:
            return 0
        last = self._grid.time(1)
        if held.frame.duration and held.frame.time_base is not None:
            last = to_ns(held.frame.duration, held.frame.time_base)
            if opened.jumps:  # it is FFmpeg's guess
                last = min(last, SECOND_NS)
        if held.step > SLIDE_NS and opened.jumps:
            last = max(last, min(held.step, 10 * SECOND_NS))
        return held.due + last
