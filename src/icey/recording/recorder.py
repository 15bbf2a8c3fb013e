"""The recorder of a call: a thread pulls frames from the engine and writes them to the disk."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

from icey.errors import ClosedError, RecordingError
from icey.recording.bounds import CallBounds
from icey.recording.events import (
    RecordingBounded,
    RecordingDelayed,
    RecordingEnded,
    RecordingFailed,
    RecordingFinished,
    RecordingLost,
    RecordingStarted,
    RecordingTroubled,
)
from icey.recording.picture import Copied, Transcoded
from icey.recording.timeline import Timeline
from icey.recording.usability import Usability
from icey.storage.closing import Closing, Delayed, Lost, Saved
from icey.storage.disk import check_room, explained
from icey.storage.take import Take

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from icey._core import Peer, ReceivedFrame
    from icey.config.limits import LimitsSettings
    from icey.config.model import MediaSettings
    from icey.media.encoders import Slot
    from icey.recording.events import RecordingEvent
    from icey.recording.picture import PictureWay
    from icey.storage.closing import Outcome

log = logging.getLogger(__name__)

PULL_SECONDS = 0.2
"""How often frames are taken. Nobody watches; in larger portions they cost less."""

LOOK_SECONDS = 1.0
"""How often disk and folder are looked at, and a keyframe is asked for where one is due."""

HELD_PACKETS = 150
"""Packets of sound that wait for their place in time: before the first picture, whose own packets
take longer to come, in the second after it, and after a pause."""

HEARD_PACKETS = 25
"""Packets of sound that the next segment may want as well: they come before their picture."""

MOST_UNFINISHED = 4
"""Files that may wait for another try to finish them while the call goes on."""

ROLLING = 4
"""Into how many files ``media.record.maxTotalBytes`` is cut at the least, so that the oldest part
of what one caller sends can go before anybody else's."""

USELESS = (
    "none of the pictures that come can be recorded: they are damaged, or no keyframe is among them"
)

State = Literal["waiting", "recording", "ended"]


class Recorder:
    """Records one call: one file, or one after the other where ``segmentSeconds`` says so.

    Args:
        source: whose frames are pulled.
        peer_name: what the files are called after.
        folder: where they go; made where it is missing.
        media: ``media.record``, and ``media.video`` for what is encoded again.
        codecs: of the source, as ``("h264", "opus")``.
        on_event: takes each event, on the recorder's thread.
        limits: bounds the call; None is no bound.
        take_slot: takes the right to run an encoder, None where there is none left; given back at
            the end. No function is no bound.

    Raises:
        RecordingError: what it sends must be encoded again, and no encoder is left for that.
    """

    def __init__(
        self,
        source: Peer,
        *,
        peer_name: str,
        folder: Path,
        media: MediaSettings,
        codecs: tuple[str, ...],
        on_event: Callable[[RecordingEvent], None],
        limits: LimitsSettings | None = None,
        take_slot: Callable[[], Slot | None] | None = None,
    ) -> None:
        self._source = source
        self._peer_name = peer_name
        self._folder = folder
        self._media = media
        self._settings = media.record
        self._on_event = on_event
        self._take_slot = take_slot
        self._slot: Slot | None = None
        self._bounds = None if limits is None else CallBounds(limits)
        self._usability = Usability()
        self._pictures_came = 0
        self._began: float | None = None
        self._sound = "opus" in codecs
        video = next((codec for codec in codecs if codec != "opus"), None)
        self._timeline = Timeline(has_video=video is not None)
        self._picture: PictureWay | None = None if video is None else self._way_for(video)
        self._take: Take | None = None
        self._closing: Take | None = None
        self._unfinished = Closing(self._tell_outcome)
        self._damage = ""  # why a file has no proper end
        self._held: deque[ReceivedFrame] = deque(maxlen=HELD_PACKETS)
        self._heard: deque[tuple[int, bytes]] = deque(maxlen=HEARD_PACKETS)
        self._cut_due = False
        self._bytes_before = self._gaps = self._lost = 0
        self._frames = [0, 0]
        self._state: State = "waiting"
        self._synced = self._looked = time.monotonic()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="icey-record", daemon=True)

    def start(self) -> None:
        """Begin to pull frames."""
        self._thread.start()

    def stop(self) -> None:
        """Ask for the end: what the source still has is written, and the file is finished."""
        self._stop.set()

    def join(self, timeout_s: float) -> bool:
        """Wait for the thread to end; return whether it has."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def status(self) -> dict[str, Any]:
        """Return the state and the counters, as ``/api/status`` shows them."""
        take = self._take
        open_takes = [one for one in (self._closing, take) if one is not None]
        return {
            "file": "" if take is None else take.name,
            "state": self._state,
            "seconds": 0.0 if take is None else round(take.seconds, 1),
            "bytes": self._bytes_before + sum(one.file.sink.size for one in open_takes),
            "framesVideo": self._frames[0] + sum(one.pictures for one in open_takes),
            "framesAudio": self._frames[1] + sum(one.packets for one in open_takes),
            "framesLost": self._lost,
            "gaps": self._gaps,
            "transcoding": self._picture is not None and self._picture.transcoding,
        }

    # -- the thread --------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            self._record()
        except RecordingError as error:
            self._give_up(str(error))
        except OSError as error:
            log.warning("recording of %s failed: %s", self._peer_name, error)
            self._give_up(str(explained(error)))
        except Exception:
            log.exception("internal error while recording %s", self._peer_name)
            self._give_up("internal error")
        finally:
            self._state = "ended"
            if self._slot is not None:
                self._slot.release()
            self._on_event(RecordingEnded())

    def _record(self) -> None:
        while not self._stop.wait(PULL_SECONDS):
            self._pull()
            if not self._maintain():
                break
        else:
            while self._pull():
                pass
        self._finish()
        self._finish_the_rest()

    def _give_up(self, reason: str) -> None:
        takes = (self._closing, self._take)
        self._closing = self._take = None
        for take in takes:
            if take is not None:
                self._unfinished.finish(take, time.monotonic())
        self._on_event(RecordingFailed(reason))
        self._finish_the_rest()

    def _finish_the_rest(self) -> None:
        """Try again until every file is finished or given up; the call is over."""
        while (due := self._unfinished.due) is not None:
            time.sleep(max(0.0, due - time.monotonic()))
            self._unfinished.step(time.monotonic())

    def _tell_outcome(self, outcome: Outcome) -> None:
        match outcome:
            case Delayed(name, reason):
                self._on_event(RecordingDelayed(name, reason))
            case Lost(name, reason):
                self._on_event(RecordingLost(name, reason))
            case Saved(file, reason):
                self._damage = reason
                if file is not None:
                    self._on_event(RecordingFinished(file.name, file.seconds))
            case finished:
                self._on_event(RecordingFinished(finished.name, finished.seconds))

    def _pull(self) -> bool:
        closing = self._closing
        frames = self._source.pull()
        for frame in frames:
            if frame.kind == "video":
                self._take_picture(frame)
            else:
                self._take_sound(frame)
        if closing is not None and closing is self._closing:  # what belongs to it has come by now
            self._complete(closing, quickly=True)
        if self._timeline.is_settled:
            self._place_held()
        if self._take is not None:
            self._take.keep_up()
        return bool(frames)

    def _take_picture(self, frame: ReceivedFrame) -> None:
        at = self._timeline.video(frame.timestamp, frame.arrived_ns, frame.report)
        self._pictures_came += 1
        self._gaps += frame.after_loss and self._take is not None
        if self._picture is None or frame.codec != self._picture.codec:
            self._finish()  # the sender has changed over to another codec
            self._picture = self._way_for(frame.codec)
        if self._cut_due and frame.keyframe:
            self._cut()
            self._picture.ask_keyframe()
        self._write_picture(self._picture, frame, at)

    def _write_picture(self, picture: PictureWay, frame: ReceivedFrame, at_ns: int) -> None:
        for unit, time_ns, keyframe in picture.take(frame, at_ns):
            take = self._take
            if take is None:
                if not keyframe:
                    continue
                take = self._open(frame, unit, time_ns)
            if take is None:
                self._picture = self._transcoded(frame.codec)
                self._write_picture(self._picture, frame, at_ns)
                return
            take.add_picture(unit, time_ns, keyframe=keyframe)

    def _take_sound(self, frame: ReceivedFrame) -> None:
        at = self._timeline.audio(frame.timestamp, frame.arrived_ns, frame.report)
        if self._picture is None and at is not None:
            if self._cut_due:
                self._cut()
            if self._take is None:
                self._open(frame, None, at)
        if self._take is None or at is None:
            self._held.append(frame)
            return
        self._place_held()
        self._add_sound(self._take, frame.data, at)

    def _place_held(self) -> None:
        while self._take is not None and self._held:
            frame = self._held.popleft()
            at = self._timeline.place(frame.timestamp)
            if at is not None:
                self._add_sound(self._take, frame.data, at)

    def _add_sound(self, take: Take, opus: bytes, at_ns: int) -> None:
        self._heard.append((at_ns, opus))
        if self._closing is not None and at_ns < take.start_ns:
            self._closing.add_sound(opus, at_ns)
        elif take.has_sound:
            take.add_sound(opus, at_ns)
        else:  # it was added in mid-call: another file, with a track for it
            self._sound = True
            self._ask_for_cut()

    def _open(self, frame: ReceivedFrame, unit: bytes | None, at_ns: int) -> Take | None:
        """Begin a file; None where the access unit has to be encoded again for that."""
        self._folder.mkdir(parents=True, exist_ok=True)
        check_room(self._folder, self._settings.min_free_bytes)
        age = timedelta(microseconds=(time.monotonic_ns() - frame.arrived_ns) // 1000)
        sound = self._settings.audio if self._sound else None
        try:
            take = Take(
                self._folder,
                self._peer_name,
                datetime.now(UTC) - age,
                first=unit,
                at_ns=at_ns,
                sound=sound,
            )
        except RecordingError as error:
            if self._picture is None or self._picture.transcoding:
                raise
            log.warning("%s: %s; it is encoded again", self._peer_name, error)
            return None
        self._take = take
        self._began = self._began or time.monotonic()
        self._state = "recording"
        self._cut_due = False
        self._on_event(RecordingStarted(take.name))
        if take.has_sound:
            for heard_ns, opus in self._heard:
                take.add_sound(opus, heard_ns)
        return take

    def _cut(self) -> None:
        """Let the next file begin. The sound of this one's last moments may still come."""
        if self._closing is not None:
            self._complete(self._closing, quickly=True)
        self._closing, self._take = self._take, None
        self._cut_due = False

    def _finish(self) -> None:
        self._place_held()
        for take in (self._closing, self._take):
            if take is not None:
                self._complete(take)

    def _complete(self, take: Take, *, quickly: bool = False) -> None:
        if take is self._take:
            self._take = None
        else:
            self._closing = None
        self._cut_due = False
        self._frames = [self._frames[0] + take.pictures, self._frames[1] + take.packets]
        self._bytes_before += take.file.sink.size
        self._unfinished.finish(take, time.monotonic(), quickly=quickly)
        if self._damage:
            raise RecordingError(self._damage)
        if self._unfinished.waiting > MOST_UNFINISHED:
            raise RecordingError("too many files cannot be finished; the server's log says why")

    def _maintain(self) -> bool:
        """Do what is due; returns whether the call may go on."""
        now = time.monotonic()
        every = self._settings.sync_interval_ms / 1000
        if self._take is not None and every > 0 and now - self._synced >= every:
            self._take.file.sink.sync()
            self._synced = now
        if now - self._looked < LOOK_SECONDS:
            return True
        self._looked = now
        self._unfinished.step(now)
        try:
            stats = self._source.stats()
        except ClosedError:  # the call is over; `stop` follows
            return True
        self._lost = stats.frames_lost
        if self._is_bounded(stats.bytes_received, now):
            return False
        # Of lost sound as many packets are lost as frames.
        self._judge_pictures(max(0, stats.frames_lost - stats.packets_lost), now)
        if self._picture is not None and self._picture.needs_keyframe:
            self._ask_for_keyframe()
        if self._take is None:
            return True
        check_room(self._folder, self._settings.min_free_bytes)
        if not self._take.file.sink.is_in_place():
            raise RecordingError("the file of this recording was removed")
        too_long = 0 < self._settings.segment_seconds <= self._take.seconds
        too_large = 0 < self._settings.max_total_bytes // ROLLING <= self._take.file.sink.size
        if too_long or too_large or self._cut_due:
            self._ask_for_cut()
        return True

    def _is_bounded(self, received: int, now: float) -> bool:
        """Whether a bound of the call is reached, which its caller is then told."""
        if self._bounds is None:
            return False
        exceeded = self._bounds.check(
            written=self.status()["bytes"],
            received=received,
            seconds=0.0 if self._began is None else now - self._began,
            now=now,
        )
        if exceeded is None:
            return False
        self._on_event(RecordingBounded(exceeded.bound, exceeded.reason))
        return True

    def _judge_pictures(self, lost: int, now: float) -> None:
        if self._picture is None:
            return
        used = self.status()["framesVideo"]
        match self._usability.judge(self._pictures_came + lost, used, now):
            case "tell":
                log.warning("%s: %s", self._peer_name, USELESS)
                self._on_event(RecordingTroubled(USELESS))
            case "hopeless":
                raise RecordingError(USELESS)

    def _ask_for_cut(self) -> None:
        if not self._cut_due:
            self._cut_due = True
            log.info("%s: the next file begins with the next keyframe", self._peer_name)
        self._ask_for_keyframe()

    def _ask_for_keyframe(self) -> None:
        with suppress(ClosedError):  # then none is needed any more
            self._source.request_keyframe()

    def _way_for(self, codec: str) -> PictureWay:
        if codec == "h264" and self._settings.video == "copy":
            return Copied()
        if self._settings.video == "copy":
            log.warning(
                "%s sends %s, which is encoded again: only H.264 is copied", self._peer_name, codec
            )
        return self._transcoded(codec)

    def _transcoded(self, codec: str) -> Transcoded:
        if self._slot is None and self._take_slot is not None:
            self._slot = self._take_slot()
            if self._slot is None:
                raise RecordingError(
                    f"{codec} is encoded again, and all encoders run (media.maxEncoders)"
                )
        return Transcoded(codec, self._media.video)
