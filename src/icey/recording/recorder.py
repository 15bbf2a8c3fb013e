"""One call's recorder: a thread that takes frames from the engine and writes them to the disk."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Literal

from icey.errors import ClosedError, RecordingError
from icey.recording.disk import check_room, explained
from icey.recording.events import (
    RecordingEnded,
    RecordingFailed,
    RecordingFinished,
    RecordingStarted,
)
from icey.recording.picture import Copied, Transcoded
from icey.recording.take import Take
from icey.recording.timeline import Timeline

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from icey.config.model import MediaSettings
    from icey.recording.events import RecordingEvent
    from icey.recording.frames import Frame, FrameSource
    from icey.recording.picture import PictureWay

__all__ = ["Recorder", "RecordingStats"]

log = logging.getLogger(__name__)

PULL_SECONDS = 0.2
"""How often frames are taken. Nobody watches; in larger portions they cost less."""

LOOK_SECONDS = 1.0
"""How often disk and folder are looked at, and a keyframe is asked for where one is due."""

EARLY_PACKETS = 50
"""Packets of sound kept from before the first picture, whose own packets take longer to come."""

State = Literal["waiting", "recording", "ended"]


@dataclass(frozen=True, slots=True)
class RecordingStats:
    """How a recorder fares.

    Attributes:
        file: the name that the open file will have, empty before the first picture.
        state: ``waiting`` for a picture, ``recording``, ``ended``.
        seconds: of the open file so far.
        bytes: of all files of the call.
        frames_video: pictures written.
        frames_audio: packets of sound written, silence that was put in included.
        frames_lost: pictures and packets that never came or were of no use.
        gaps: places where pictures are missing.
        transcoding: whether pictures are encoded again.
    """

    file: str
    state: State
    seconds: float
    bytes: int
    frames_video: int
    frames_audio: int
    frames_lost: int
    gaps: int
    transcoding: bool


class Recorder:
    """Records one call: one file, or one after the other where ``segmentSeconds`` says so.

    Args:
        source: where frames come from.
        peer_name: what the files are called after.
        folder: where they go; made where it is missing.
        media: all settings of media; ``media.record`` above all.
        codecs: what the source gives, as ``("h264", "opus")``.
        on_event: told what happens, from the recorder's thread.
    """

    def __init__(
        self,
        source: FrameSource,
        *,
        peer_name: str,
        folder: Path,
        media: MediaSettings,
        codecs: tuple[str, ...],
        on_event: Callable[[RecordingEvent], None],
    ) -> None:
        self._source = source
        self._peer_name = peer_name
        self._folder = folder
        self._media = media
        self._settings = media.record
        self._on_event = on_event
        self._sound = "opus" in codecs
        video = next((codec for codec in codecs if codec != "opus"), None)
        self._timeline = Timeline(has_video=video is not None)
        self._picture: PictureWay | None = None if video is None else self._way_for(video)
        self._take: Take | None = None
        self._early: deque[Frame] = deque(maxlen=EARLY_PACKETS)
        self._cut_due = False
        self._bytes_before = self._gaps = self._lost = 0
        self._frames = [0, 0]
        self._state: State = "waiting"
        self._synced = self._looked = time.monotonic()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="icey-record", daemon=True)

    def start(self) -> None:
        """Begin to take frames."""
        self._thread.start()

    def stop(self) -> None:
        """Ask for the end: what the source still has is written, and the file is finished."""
        self._stop.set()

    def join(self, timeout_s: float) -> bool:
        """Wait for the end of the thread; whether it has come."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    @property
    def stats(self) -> RecordingStats:
        """How it fares now."""
        take = self._take
        written = [0, 0] if take is None else [take.pictures, take.packets]
        return RecordingStats(
            file="" if take is None else take.name,
            state=self._state,
            seconds=0.0 if take is None else take.seconds,
            bytes=self._bytes_before + (0 if take is None else take.size_bytes),
            frames_video=self._frames[0] + written[0],
            frames_audio=self._frames[1] + written[1],
            frames_lost=self._lost,
            gaps=self._gaps,
            transcoding=self._picture is not None and self._picture.transcoding,
        )

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
            self._on_event(RecordingEnded())

    def _record(self) -> None:
        while not self._stop.wait(PULL_SECONDS):
            self._pull()
            self._look_after()
        while self._pull():
            pass
        self._finish()

    def _give_up(self, reason: str) -> None:
        take, self._take = self._take, None
        if take is not None:
            # Whatever is on the disk is kept, in the form that the disk still allows.
            try:
                for event in take.rescue():
                    self._on_event(event)
            except OSError:
                log.exception("%s stays as it is on the disk", take.part.name)
        self._on_event(RecordingFailed(reason))

    def _pull(self) -> bool:
        frames = self._source.pull()
        for frame in frames:
            if frame.kind == "video":
                self._take_picture(frame)
            else:
                self._take_sound(frame)
        if self._take is not None:
            self._take.keep_up()
        return bool(frames)

    def _take_picture(self, frame: Frame) -> None:
        at = self._timeline.video(frame.timestamp, frame.arrived_ns, frame.report)
        self._gaps += frame.after_loss and self._take is not None
        if self._picture is None or frame.codec != self._picture.codec:
            self._finish()  # the sender has changed over to another codec
            self._picture = self._way_for(frame.codec)
        if self._cut_due and frame.keyframe:
            self._finish()
            self._picture.ask_keyframe()
        for unit, time_ns, keyframe in self._picture.take(frame, at):
            if self._take is None:
                if not keyframe:
                    continue
                self._open(frame, unit, time_ns)
            if self._take is not None:
                self._take.add_picture(unit, time_ns, keyframe=keyframe)

    def _take_sound(self, frame: Frame) -> None:
        at = self._timeline.audio(frame.timestamp, frame.arrived_ns, frame.report)
        if self._take is None and self._picture is None and at is not None:
            self._open(frame, None, at)
        if self._take is None or at is None:
            self._early.append(frame)
            return
        if not self._take.has_sound:  # it was added in mid-call: another file, with a track for it
            self._sound = True
            self._ask_for_cut()
            return
        self._take.add_sound(frame.data, at)

    def _open(self, frame: Frame, unit: bytes | None, at_ns: int) -> None:
        check_room(self._make_folder(), self._settings.min_free_bytes)
        age = timedelta(microseconds=(time.monotonic_ns() - frame.arrived_ns) // 1000)
        sound = self._settings.audio if self._sound else None
        try:
            self._take = Take(
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
            log.warning("%s; it is encoded again instead", error)
            self._picture = Transcoded(frame.codec, self._media.video)
            return
        self._state = "recording"
        self._cut_due = False
        self._on_event(RecordingStarted(self._take.name))
        early, self._early = list(self._early), deque(maxlen=EARLY_PACKETS)
        for packet in early:
            at = self._timeline.audio(packet.timestamp, packet.arrived_ns, packet.report)
            if at is not None and self._take.has_sound:
                self._take.add_sound(packet.data, at)

    def _finish(self) -> None:
        take, self._take = self._take, None
        if take is None:
            return
        self._cut_due = False
        size = take.size_bytes
        try:
            seconds = take.finish()
        except OSError:
            self._take = take  # to be rescued
            raise
        self._frames = [self._frames[0] + take.pictures, self._frames[1] + take.packets]
        self._bytes_before += size
        self._on_event(RecordingFinished(take.name, seconds))

    def _look_after(self) -> None:
        now = time.monotonic()
        every = self._settings.sync_interval_ms / 1000
        if self._take is not None and every > 0 and now - self._synced >= every:
            self._take.sync()
            self._synced = now
        if now - self._looked < LOOK_SECONDS:
            return
        self._looked = now
        try:
            self._lost = self._source.stats().frames_lost
        except ClosedError:  # the call is over; `stop` follows
            return
        if self._take is None:
            return
        if not self._take.is_in_place():
            raise RecordingError("the folder of recordings is gone")
        try:
            check_room(self._folder, self._settings.min_free_bytes)
        except RecordingError:
            self._finish()
            raise
        if 0 < self._settings.segment_seconds <= self._take.seconds or self._cut_due:
            self._ask_for_cut()

    def _ask_for_cut(self) -> None:
        if not self._cut_due:
            self._cut_due = True
            log.info("%s: the next file begins with the next keyframe", self._peer_name)
        self._source.request_keyframe()

    def _make_folder(self) -> Path:
        self._folder.mkdir(parents=True, exist_ok=True)
        return self._folder

    def _way_for(self, codec: str) -> PictureWay:
        if codec == "h264" and self._settings.video == "copy":
            return Copied()
        if self._settings.video == "copy":
            log.warning(
                "%s sends %s, which is encoded again: only H.264 is copied", self._peer_name, codec
            )
        return Transcoded(codec, self._media.video)
