"""Decodes a passed-through source for the detectors."""

from __future__ import annotations

import logging
from collections import deque
from typing import TYPE_CHECKING

import av
from av.codec.context import Flags
from av.packet import Packet

from icey.intelligence.sample import PictureSample

if TYPE_CHECKING:
    from collections.abc import Iterable

    from icey.intelligence.sample import Moment, UnitSample

log = logging.getLogger(__name__)


class UnitDecoder:
    """Decodes the access units of one stream; waits for a keyframe after one that is missing.

    The units have no reordering, so pictures come out in the order in which units went in.
    """

    def __init__(self) -> None:
        self._next: int | None = None
        self._waiting = True
        self._moments: deque[Moment] = deque(maxlen=16)
        self._open()

    def decode(self, sample: UnitSample) -> Iterable[PictureSample]:
        """Decode an access unit; yield its picture, none where it or a reference is damaged."""
        number = sample.moment.number
        missing = self._next is not None and number != self._next
        self._next = number + 1
        if missing:
            self._waiting = True
        if self._waiting:
            if not sample.unit.keyframe:
                return
            self._open()
            self._waiting = False
        self._moments.append(sample.moment)
        try:
            frames = self._decoder.decode(Packet(sample.unit.data))
        except av.FFmpegError as error:
            log.debug("damaged access unit: %s", error)
            self._waiting = True
            return
        for frame in frames:
            if self._moments:
                yield PictureSample(frame, self._moments.popleft())

    def _open(self) -> None:
        self._decoder = av.CodecContext.create("h264", "r")
        self._decoder.thread_count = 1
        self._decoder.flags |= Flags.low_delay
        self._moments.clear()
