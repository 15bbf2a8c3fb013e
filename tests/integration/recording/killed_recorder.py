"""A process that records a played browser in real time, until somebody kills it.

Run as ``python killed_recorder.py FOLDER``; prints when the first frame of each recorder came, in
ns on the monotonic clock, which all processes share.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

from icey._core import PeerStats
from icey.config.model import MediaSettings
from icey.recording.recorder import Recorder
from integration.recording.played_source import Browser, changed


class LiveSource:
    """Gives each frame when it is due, over and over."""

    def __init__(self, frames):
        self.frames, self.next, self.base = frames, 0, time.monotonic_ns()

    def pull(self, max_frames=512):
        taken = []
        while self.frames[self.next % len(self.frames)].arrived_ns <= self.elapsed():
            frame = self.frames[self.next % len(self.frames)]
            taken.append(changed(frame, arrived_ns=frame.arrived_ns + self.base))
            self.next += 1
            if self.next == len(self.frames):
                break
        return taken

    def elapsed(self):
        return time.monotonic_ns() - self.base

    def request_keyframe(self):
        """The frames are what they are."""

    def stats(self):
        return PeerStats()


def main():
    media = MediaSettings.model_validate({"record": {"minFreeBytes": 0}})
    browser = Browser(start_ns=0)
    source: Any = LiveSource(browser.seconds(6, keyframe_every=300))
    recorder = Recorder(
        source,
        peer_name=sys.argv[2],
        folder=Path(sys.argv[1]),
        media=media,
        codecs=("h264", "opus"),
        on_event=lambda _: None,
    )
    source.base = time.monotonic_ns()
    print(source.base, flush=True)  # noqa: T201
    recorder.start()
    recorder.join(60)


if __name__ == "__main__":
    main()
