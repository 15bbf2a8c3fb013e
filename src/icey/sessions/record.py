"""Record mode: every caller's camera becomes files of its own.

The engine assembles the frames that a caller sends; a `Recorder` (a thread for each caller) writes
them to the disk. The mode decides who may call, starts and ends recordings, and tells the caller.
It repairs at the start what a crash left behind, and removes old recordings (``media.record``).
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from icey.config.limits import LimitsSettings
from icey.errors import BusyError, RecordingError
from icey.media.capacity import cores, fitting, typical_cost
from icey.media.encoders import Encoders
from icey.quota import Quota
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
from icey.recording.recorder import Recorder
from icey.storage.keeper import Keeper
from icey.storage.owners import Owners, owner_of

if TYPE_CHECKING:
    from icey._core import Engine, Peer
    from icey.config.model import MediaSettings
    from icey.recording.events import RecordingEvent
    from icey.sessions.calls import Call
    from icey.sessions.mode import MediaEvent
    from icey.sessions.work import Work

log = logging.getLogger(__name__)

DRAIN_SECONDS = 0.3
"""A hang-up overtakes the last media on their way; for so long they are still received."""

KEEP_EVERY_SECONDS = 60.0
"""How often old recordings are removed."""

FINISH_SECONDS = 60.0
"""How long files may take to be finished when the server ends. A disk can be slow."""


class RecordMode:
    """The calls of record mode.

    Args:
        media: the settings of the recordings, and of pictures that are encoded again.
        engine: where the peers live.
        work: closes peers, and looks after the folder.
        limits: bounds recordings, in all and by network, and what one call may take.
    """

    close_seconds = FINISH_SECONDS
    """Files are finished, not left behind."""

    def __init__(
        self,
        media: MediaSettings,
        engine: Engine,
        work: Work,
        *,
        limits: LimitsSettings | None = None,
    ) -> None:
        self.media = media
        self.work = work
        self.limits = LimitsSettings() if limits is None else limits
        self.places = Quota(self.limits.recordings, self.limits.recordings_per_address)
        self.encoders = Encoders(_encoder_quota(media, self.limits))
        # Only where files go for room does it matter whose they are.
        self.owners = Owners(media.record_dir) if media.record.max_total_bytes else None
        self.recorders: dict[Recorder, None] = {}  # in the order of their calls
        self.finished = 0
        self.failed = 0
        self._engine = engine
        self._keeper = Keeper(media.record_dir, media.record, owners=self.owners)
        self._keeping: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Repair what a crash left, and begin to keep the folder."""
        self._keeping = self.work.loop.create_task(self._keep())
        self._keeping.add_done_callback(_note_end_of_keeping)

    async def refusal(self) -> str | None:
        """Refuse while no file can be written."""
        try:
            await self.work.in_thread(self._keeper.check_blocking)
        except RecordingError as error:
            return f"recording unavailable: {error}"
        return None

    def open(self, call: Call, offer: str) -> _Publisher:  # noqa: ARG002 - any will do
        """Make a peer that receives.

        Raises:
            BusyError: there are recordings enough.
        """
        exceeded = self.no_place(call)
        if exceeded is not None:
            raise exceeded
        peer = self._engine.create_peer(
            direction="receive", max_bitrate=self.limits.recording_bitrate or None
        )
        return _Publisher(self, call, peer)

    def no_place(self, call: Call) -> BusyError | None:
        """Return why one more recording of this caller is refused; None where it is not."""
        match self.places.exceeded(call.network):
            case "total":
                most, name, who = self.places.total, "recordings", ""
            case "each":
                most, name, who = self.places.each, "recordingsPerAddress", " from one address"
            case _:
                return None
        reason = f"too many recordings: {most} at a time are allowed{who} (limits.{name})"
        return BusyError(reason, bound=name)

    def tick(self) -> None:
        """Do nothing: recorders have a clock of their own."""

    def status(self) -> dict[str, Any]:
        """Return how the recordings fare."""
        return {
            "record": {
                "active": [recorder.status() for recorder in self.recorders],
                "finished": self.finished,
                "failed": self.failed,
            },
            "load": {"encoders": self.encoders.taken, "encodersMost": self.encoders.total},
        }

    def close(self) -> None:
        """Stop looking after the folder."""
        if self._keeping is not None:
            self._keeping.cancel()

    async def _keep(self) -> None:
        while True:
            # What a crash left, and later what could not be finished.
            for repaired in await self.work.in_thread(self._keeper.repair_blocking):
                log.warning("%s", repaired)
            for name in await self.work.in_thread(self._keeper.keep_blocking):
                log.info("old recording removed: %s", name)
            await asyncio.sleep(KEEP_EVERY_SECONDS)


class _Publisher:
    """A caller, and what records it once it is connected."""

    def __init__(self, mode: RecordMode, call: Call, peer: Peer) -> None:
        self.peer = peer
        self._mode = mode
        self._call = call
        self._recorder: Recorder | None = None
        self._has_place = False
        self._ended = asyncio.Event()

    async def answered(self) -> None:
        """Wait for the connection."""

    def reached(self) -> None:
        """Wait for the connection."""

    def connected(self) -> None:
        """Begin to record."""
        mode, network = self._mode, self._call.network
        exceeded = mode.no_place(self._call)
        if exceeded is not None:
            self._call.refuse(exceeded.bound, exceeded.reason)
            return

        def tell(event: RecordingEvent) -> None:
            mode.work.loop.call_soon_threadsafe(self._on_recording, event)

        try:
            self._recorder = Recorder(
                self.peer,
                peer_name=self._call.user,
                folder=mode.media.record_dir,
                media=mode.media,
                codecs=self.peer.codecs,
                on_event=tell,
                limits=mode.limits,
                take_slot=lambda: mode.encoders.take(network),
            )
        except RecordingError as error:
            self._call.refuse("encoders", f"recording unavailable: {error}")
            return
        mode.places.take(network)
        self._has_place = True
        mode.recorders[self._recorder] = None
        self._recorder.start()

    def handle_event(self, event: MediaEvent) -> None:
        """Do nothing: a peer whose frames are pulled has no such events."""

    def close(self) -> None:
        """Receive what is still on its way, then finish the file."""
        self._mode.work.spawn(self._finish())

    async def _finish(self) -> None:
        mode = self._mode
        if self._recorder is not None:
            await asyncio.sleep(DRAIN_SECONDS)
        await mode.work.in_thread(self.peer.close)
        if self._recorder is not None:
            self._recorder.stop()
            await self._ended.wait()
            mode.recorders.pop(self._recorder, None)
        if self._has_place:
            mode.places.give_back(self._call.network)

    async def _note_owner(self, name: str) -> None:
        owners = self._mode.owners
        if owners is not None:
            owner = owner_of(self._call.network)
            await self._mode.work.in_thread(owners.note_blocking, name, owner)

    def _on_recording(self, event: RecordingEvent) -> None:
        match event:
            case RecordingStarted(name):
                log.info("recording to %s", name)
                self._mode.work.spawn(self._note_owner(name))
                self._call.send_event("record:started", {"file": name})
            case RecordingFinished(name, seconds):
                log.info("recorded %s, %.1f s", name, seconds)
                self._mode.finished += 1
                data = {"file": name, "seconds": round(seconds, 3)}
                self._call.send_event("record:finished", data)
            case RecordingDelayed(name, reason):
                log.warning("%s cannot be finished yet: %s", name, reason)
                self._call.send_event("record:delayed", {"file": name, "reason": reason})
            case RecordingLost(name, reason):
                log.error("%s is not finished, and left for a repair: %s", name, reason)
                self._mode.failed += 1
                self._call.send_event("record:failed", {"file": name, "reason": reason})
            case RecordingTroubled(reason):
                self._call.send_event("record:troubled", {"reason": reason})
            case RecordingBounded(bound, reason):
                self._call.refuse(bound, f"recording ended: {reason}")
            case RecordingFailed(reason):
                log.error("recording failed: %s", reason)
                self._mode.failed += 1
                self._call.hang_up(f"recording ended: {reason}")
            case RecordingEnded():
                self._ended.set()


def _encoder_quota(media: MediaSettings, limits: LimitsSettings) -> Quota:
    most = media.max_encoders
    if most != "auto":
        return Quota(most, limits.encoders_per_address)
    fit = fitting(typical_cost(media.video), cores())
    return Quota(fit, limits.encoders_per_address or fit - fit // 4)


def _note_end_of_keeping(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and task.exception() is not None:
        log.error("the folder of recordings is no longer kept", exc_info=task.exception())
