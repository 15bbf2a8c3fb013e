"""What a recorder is fed with; `icey._core.Peer` is such a source."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Frame", "FrameSource", "SourceStats"]


class Frame(Protocol):
    """One access unit or Opus packet; `icey._core.ReceivedFrame` says what each field means."""

    @property
    def kind(self) -> Literal["video", "audio"]:
        """Picture or sound."""

    @property
    def codec(self) -> Literal["h264", "vp8", "opus"]:
        """How ``data`` is encoded."""

    @property
    def data(self) -> bytes:
        """An Annex B access unit, a VP8 frame or an Opus packet."""

    @property
    def timestamp(self) -> int:
        """RTP timestamp that never wraps."""

    @property
    def arrived_ns(self) -> int:
        """When it was complete, on `time.monotonic_ns`'s clock."""

    @property
    def report(self) -> tuple[int, int] | None:
        """The stream's newest sender report: wall clock in ns, and RTP timestamp."""

    @property
    def keyframe(self) -> bool:
        """Whether it stands alone."""

    @property
    def after_loss(self) -> bool:
        """Whether something before it is missing."""


class SourceStats(Protocol):
    """What a source has counted; `icey._core.PeerStats` is such a one."""

    @property
    def frames_lost(self) -> int:
        """Pictures and packets that never came, or that were of no use without what was lost."""


class FrameSource(Protocol):
    """Where a recorder takes its frames from."""

    def pull(self, max_frames: int = 512) -> Sequence[Frame]:
        """Take what has come, oldest first."""

    def request_keyframe(self) -> None:
        """Ask the sender for a picture that stands alone."""

    def stats(self) -> SourceStats:
        """Tell what was counted.

        Raises:
            ClosedError: the source is closed.
        """
