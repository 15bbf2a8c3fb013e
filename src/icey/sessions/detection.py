"""Runs the detectors of all streams, and brings their events to the event loop.

Events wait in a queue of `WAITING`; beyond it the oldest is dropped and counted. That is seconds of
everything that sixteen detectors can say, so it only happens where the loop itself stands still.
"""

from __future__ import annotations

import sys
import threading
from collections import deque
from typing import TYPE_CHECKING, Any

from icey.intelligence.analysis import Analysis, is_wanted
from icey.intelligence.archive import Archive
from icey.intelligence.plugins import find_plugins
from icey.intelligence.tally import Tally

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from icey.config.model import Settings
    from icey.intelligence.archive import StreamArchive
    from icey.intelligence.clip import Clips
    from icey.intelligence.events import Event
    from icey.media.source import Source

WAITING = 512
"""Events that may wait for the loop."""

SWITCH_SECONDS = 0.0002
"""How long a detector that computes in pure Python may keep the interpreter from the threads that
send, s. They need it some twenty times a picture: at Python's 5 ms two such detectors made 15
pictures a second of 30, at this they make none less."""

SHARED_STREAM = "stream/shared"
"""The stream that all viewers of a shared feed see."""


def stream_of(caller: str) -> str:
    """Return the name of a viewer's own stream."""
    return f"stream/{caller}"


class Detection:
    """The detectors of all streams.

    Args:
        settings: the settings in force.
        loop: where events are taken.
        take: takes each event.

    Raises:
        ConfigError: a configured detector cannot be had.
    """

    def __init__(
        self,
        settings: Settings,
        loop: asyncio.AbstractEventLoop,
        take: Callable[[Event], None],
    ) -> None:
        self._loop, self._take = loop, take
        self._settings = settings.media.intelligence
        self._archive = Archive(settings)
        found = find_plugins(self._settings)
        self._plugins = found.plugins
        self._warnings = found.warnings
        if self._plugins:
            sys.setswitchinterval(min(SWITCH_SECONDS, sys.getswitchinterval()))
        self._running: dict[Analysis, StreamArchive] = {}
        self._ended = Tally()
        self._events: deque[Event] = deque()
        self._lock = threading.Lock()  # guards the queue, `_waking` and `_dropped`
        self._waking = False
        self._dropped = 0

    @property
    def wanted(self) -> bool:
        """Whether there is anything to detect."""
        return is_wanted(self._settings, self._plugins)

    def start(self) -> None:
        """Begin to look after the folders of what is kept."""
        if self.wanted:
            self._archive.start()

    def close(self) -> None:
        """Look after the folders no more. Returns at once."""
        self._archive.stop()

    def begin(self, source: Source, stream_id: str) -> Analysis | None:
        """Start the detectors of a stream; None where there are none."""
        if not self.wanted:
            return None
        archive = self._archive.begin(source.public, stream_id, self._post)
        analysis = Analysis(
            self._settings,
            self._plugins,
            source=source.public,
            stream_id=stream_id,
            on_event=self._post,
            evidence=archive.evidence,
        )
        self._running[analysis] = archive
        return analysis

    def clips(self, analysis: Analysis | None) -> Clips | None:
        """Return what makes the clips of a stream, where that is on."""
        return None if analysis is None else self._running[analysis].clips

    def end(self, analysis: Analysis | None) -> None:
        """Keep the counters of a stream that is over."""
        if analysis is not None and analysis in self._running:
            self._archive.end(self._running.pop(analysis))
            self._ended.merge(analysis.tally)

    def status(self) -> dict[str, Any]:
        """Return ``vision`` and ``speech`` as the API shows them."""
        tally = self._ended.copy()
        for analysis in self._running:
            tally.merge(analysis.tally)
        takes = {plugin.takes for plugin in self._plugins}
        vision, speech = self._settings.vision.enabled, self._settings.speech.enabled
        streams = len(self._running)
        return {
            "vision": {
                "enabled": vision,
                "active": vision or "pictures" in takes,
                "streams": streams,
                "undecoded": tally.undecoded,
                **tally.vision.to_json(),
                **self._archive.status(),
            },
            "speech": {
                "enabled": speech,
                "active": speech or "sound" in takes,
                "streams": streams,
                **tally.speech.to_json(),
            },
            "eventsDropped": self._dropped,
        }

    @property
    def warnings(self) -> list[str]:
        """One line for each detector that cannot be loaded, or is switched off in a stream now."""
        said = dict.fromkeys(self._warnings)
        for analysis in self._running:
            tally = analysis.tally
            for name, off in {**tally.vision.off, **tally.speech.off}.items():
                said[f"detector {name} is {off}"] = None
        return list(said)

    def _post(self, event: Event) -> None:
        """Take an event from the thread of a branch."""
        with self._lock:
            if self._loop.is_closed():
                return
            if len(self._events) >= WAITING:
                self._events.popleft()
                self._dropped += 1
            self._events.append(event)
            if self._waking:
                return
            self._waking = True
        self._loop.call_soon_threadsafe(self._drain)

    def _drain(self) -> None:
        with self._lock:
            events, self._waking = list(self._events), False
            self._events.clear()
        for event in events:
            self._take(event)
