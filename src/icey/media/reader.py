"""What all sources look like to a pipeline, and what those have in common that FFmpeg opens."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from fractions import Fraction
from typing import TYPE_CHECKING

from icey.media.deinterlace import Deinterlacer
from icey.media.passthrough import open_passthrough
from icey.media.scale import Scaler
from icey.media.sound import SoundConverter

if TYPE_CHECKING:
    import av

    from icey._core import Track
    from icey.config.model import MediaSettings
    from icey.media.buffer import MediaBuffer
    from icey.media.input import Input
    from icey.media.passthrough import AnnexB
    from icey.media.scale import Matrix
    from icey.media.source import Source

log = logging.getLogger(__name__)


class Reader(ABC):
    """Fills a `MediaBuffer` with pictures, sized and on media time, and with sound.

    Used by one thread at a time. `step` does a small piece of work, so that whoever calls it
    can send what is due in between.

    Attributes:
        rate: frames a second that it gives, at most.
        matrix: what U and V of its pictures mean.
        threaded: `step` may block, so it runs in a thread of its own.
        immediate: what it gives happened just now and is not to wait for its time.
        opened: times that it could feed tracks; each time they are to be named anew.
        still: what to show where the source has no pictures at all; "" where it has.
    """

    rate: Fraction
    matrix: Matrix = "bt709"
    threaded: bool
    immediate: bool
    opened = 0
    still = ""

    @property
    def passthrough(self) -> bool:
        """Whether it gives access units instead of pictures."""
        return False

    @property
    def forwards(self) -> bool:
        """Whether it can feed tracks of the engine by itself now, see `forward`."""
        return False

    @property
    def forwards_sound(self) -> bool:
        """Whether its sound can go to a track as it is."""
        return False

    @property
    def losses(self) -> tuple[int, int]:
        """How many frames found no room here, and how many a loss on the way made useless."""
        return 0, 0

    def forward(self, video: Track, audio: Track | None) -> None:
        """Feed tracks of the engine from now on, until the source is closed.

        Raises:
            NotImplementedError: it does not feed tracks (`forwards`); asking is a bug.
        """
        raise NotImplementedError

    def copy(self, *, pictures: bool, sound: bool) -> None:
        """Say whether what it feeds to tracks is to come into the buffer.

        Raises:
            NotImplementedError: it does not feed tracks (`forwards`); asking is a bug.
        """
        raise NotImplementedError

    def take_units(self) -> list[bytes]:
        """Return, once, the last group of pictures that it fed to tracks before it was closed."""
        return []

    @abstractmethod
    def open(self) -> None:
        """Open the source, or open it anew. Blocks.

        Raises:
            SourceError: it cannot be opened.
        """

    @abstractmethod
    def step(self, now_ns: int) -> bool:
        """Read, decode or draw a little; returns whether there was anything to do.

        Args:
            now_ns: the media time.

        Raises:
            SourceError: the source failed.
        """

    def next_step_ns(self) -> int | None:
        """Return when `step` has something to do even if nothing was taken from the buffer.

        None: a file waits for room alone, and of a live source only the source knows.
        """
        return None

    @abstractmethod
    def lagging(self, *, behind: bool) -> None:
        """Take note that pictures come too late, or no longer."""

    @abstractmethod
    def close(self) -> None:
        """Free everything; harmless when closed."""


class InputReader(Reader):
    """The part of a `Reader` that files and live sources share.

    Args:
        source: what to open.
        media: size and rates.
        buffer: where pictures and sound go.
    """

    def __init__(self, source: Source, media: MediaSettings, buffer: MediaBuffer) -> None:
        self.source = source
        self.rate = Fraction(media.video.fps)
        self._media = media
        self._buffer = buffer
        self._input: Input | None = None
        self._annexb: AnnexB | None = None
        self._scaler = Scaler(media.video.width, media.video.height)
        self._deinterlacer = Deinterlacer(media.video.deinterlace)
        self._converter = SoundConverter(media.audio.sample_rate, media.audio.channels)

    @property
    def passthrough(self) -> bool:
        """Whether it gives access units instead of pictures."""
        return self._annexb is not None

    def _open_passthrough(self, opened: Input) -> AnnexB | None:
        """Decide whether a source just opened is passed through; see `open_passthrough`."""
        wanted = self._media.passthrough_video
        if wanted == "auto" and opened.interlaced and self._media.video.deinterlace != "off":
            log.info("%s: encoding, as the source is interlaced", self.source.public)
            return None
        return open_passthrough(opened, wanted)

    def _scaled(self, opened: Input, picture: av.VideoFrame) -> av.VideoFrame:
        """Return a picture of the source as it is sent."""
        return self._scaler.scale(
            picture, opened.sample_aspect, self.matrix, mirrored=opened.mirrored
        )

    def lagging(self, *, behind: bool) -> None:
        """Leave away pictures that no other needs while the machine cannot follow."""
        video = self._input.video if self._input is not None else None
        if video is not None:
            video.codec_context.skip_frame = "NONREF" if behind else "DEFAULT"

    def close(self) -> None:
        """Close the source."""
        self._deinterlacer.drop()
        if self._input is not None:
            self._input.close()
            self._input = None
