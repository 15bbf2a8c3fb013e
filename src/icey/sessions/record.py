"""Record mode: every caller's camera becomes files of its own.

The engine puts together what a caller sends; a `Recorder` (a thread for each caller) takes it
from there to the disk. Here is decided who may call, when a recording begins and ends, and what
the caller is told. Recordings that a crash left behind are repaired at the start, and old ones
leave as ``media.record`` says.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from icey.errors import RecordingError
from icey.recording.events import (
    RecordingEnded,
    RecordingFailed,
    RecordingFinished,
    RecordingStarted,
)
from icey.recording.recorder import Recorder
from icey.sessions.switchboard import Party, Switchboard
from icey.storage.keeper import Keeper

if TYPE_CHECKING:
    from icey._core import Peer
    from icey.config.model import Settings
    from icey.recording.events import RecordingEvent

__all__ = ["RecordSessions"]

log = logging.getLogger(__name__)

DRAIN_SECONDS = 0.3
"""A hang-up overtakes the last media on their way; that long they are still taken."""

KEEP_EVERY_SECONDS = 60.0
"""How often old recordings are looked for."""

FINISH_SECONDS = 60.0
"""How long files may take to be finished when the server ends. A disk can be slow."""


class _Publisher(Party):
    """A call, and what records it once it is connected."""

    def __init__(self, call: str, caller: str, peer: Peer) -> None:
        super().__init__(call, caller, peer)
        self.recorder: Recorder | None = None
        self.ended = asyncio.Event()


class RecordSessions(Switchboard[_Publisher]):
    """The calls of record mode.

    Raises:
        AddressInUseError: ``webrtc.port`` is taken.
        EngineError: an address cannot be used.
    """

    def __init__(self, settings: Settings) -> None:
        self._media = settings.media
        self._keeper = Keeper(settings.media.record_dir, settings.media.record)
        self._keeping: asyncio.Task[None] | None = None
        self._recorders: dict[Recorder, None] = {}  # in the order of their calls
        self._finished = 0
        self._failed = 0
        super().__init__(settings)

    async def start(self) -> None:
        """Listen to the engine, repair what a crash left, and begin to keep the folder."""
        await super().start()
        self._keeping = asyncio.create_task(self._keep())
        self._keeping.add_done_callback(_note_end_of_keeping)

    def status(self) -> dict[str, Any]:
        """Tell how many calls there are, and how the recordings fare."""
        running = [recorder.stats for recorder in self._recorders]
        return super().status() | {
            "record": {
                "active": [
                    {
                        "file": stats.file,
                        "state": stats.state,
                        "seconds": round(stats.seconds, 1),
                        "bytes": stats.bytes,
                        "framesVideo": stats.frames_video,
                        "framesAudio": stats.frames_audio,
                        "framesLost": stats.frames_lost,
                        "gaps": stats.gaps,
                        "transcoding": stats.transcoding,
                    }
                    for stats in running
                ],
                "finished": self._finished,
                "failed": self._failed,
            }
        }

    # -- calls ------------------------------------------------------------------------------

    async def refusal(self, caller: str) -> str | None:  # noqa: ARG002 - it is the same for all
        """Refuse while nothing could be written."""
        try:
            await self._in_thread(self._keeper.check_blocking)
        except RecordingError as error:
            return f"recording unavailable: {error}"
        return None

    def open_party(self, call: str, caller: str, offer: str) -> _Publisher:  # noqa: ARG002 - any will do
        """Make a peer that receives."""
        peer: Peer = self._engine.create_peer(direction="receive")
        return _Publisher(call, caller, peer)

    def connected(self, party: _Publisher) -> None:
        """Begin to record."""
        user, _, _ = party.caller.partition("|")

        def tell(event: RecordingEvent) -> None:
            if self._loop is not None:
                self._loop.call_soon_threadsafe(self._on_recording, party, event)

        party.recorder = Recorder(
            party.peer,
            peer_name=user,
            folder=self._media.record_dir,
            media=self._media,
            codecs=party.peer.codecs,
            on_event=tell,
        )
        self._recorders[party.recorder] = None
        party.recorder.start()

    def released(self, party: _Publisher, reason: str) -> None:  # noqa: ARG002 - all are alike
        """Take what is still on its way, then finish the file."""
        self._spawn(self._finish(party))

    @property
    def close_seconds(self) -> float:
        """Files are finished, not left behind."""
        return FINISH_SECONDS

    def closing(self) -> None:
        """Stop to look after the folder."""
        if self._keeping is not None:
            self._keeping.cancel()

    async def _finish(self, party: _Publisher) -> None:
        recorder = party.recorder
        if recorder is None:  # it never connected
            party.peer.close()
            return
        await asyncio.sleep(DRAIN_SECONDS)
        await self._in_thread(party.peer.close)
        recorder.stop()
        await party.ended.wait()
        self._recorders.pop(recorder, None)

    # -- recordings -------------------------------------------------------------------------

    def _on_recording(self, party: _Publisher, event: RecordingEvent) -> None:
        match event:
            case RecordingStarted(name):
                log.info("recording to %s", name)
                self._tell(party, "record:started", {"file": name})
            case RecordingFinished(name, seconds):
                log.info("recorded %s, %.1f s", name, seconds)
                self._finished += 1
                data = {"file": name, "seconds": round(seconds, 3)}
                self._tell(party, "record:finished", data)
            case RecordingFailed(reason):
                log.error("recording failed: %s", reason)
                self._failed += 1
                self._hang_up(party, f"recording ended: {reason}")
            case RecordingEnded():
                party.ended.set()

    def _tell(self, party: _Publisher, name: str, data: dict[str, Any]) -> None:
        self._say(party.caller, {"type": "event", "name": name, "data": data})

    async def _keep(self) -> None:
        for repaired in await self._in_thread(self._keeper.repair_blocking):
            log.warning("%s", repaired)
        while True:
            for name in await self._in_thread(self._keeper.keep_blocking):
                log.info("old recording removed: %s", name)
            await asyncio.sleep(KEEP_EVERY_SECONDS)


def _note_end_of_keeping(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and task.exception() is not None:
        log.error("the recordings are no longer looked after", exc_info=task.exception())
