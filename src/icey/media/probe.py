"""Opens a source once, decodes its beginning, and says what it is."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import av

from icey.media.input import Input

if TYPE_CHECKING:
    from icey.config.model import VideoSettings
    from icey.media.source import Source


@dataclass(frozen=True)
class SourceInfo:
    """What a source holds.

    Attributes:
        video: FFmpeg's name of the video codec, "" where there are no pictures.
        width: of the pictures as they are coded, px.
        height: likewise.
        fps: frames a second on average, 0 where unknown.
        audio: FFmpeg's name of the audio codec, "" where there is no sound.
        sample_rate: samples a second.
        channels: of the sound.
    """

    video: str = ""
    width: int = 0
    height: int = 0
    fps: float = 0.0
    audio: str = ""
    sample_rate: int = 0
    channels: int = 0


def probe(source: Source, video: VideoSettings | None = None, *, timeout_s: float) -> SourceInfo:
    """Really open a source and decode its first picture, or its first sound. Blocks.

    Args:
        source: what to open.
        video: what is sent, by which a camera's mode is chosen; None leaves it in the one it is in.
        timeout_s: how long the first picture may take once the source is open, s; opening
            has its own limit, `icey.media.input.OPEN_TIMEOUT_S`.

    Raises:
        SourceError: it cannot be opened or decoded; ``detail`` has FFmpeg's words.
    """
    if source.kind == "demo":
        return SourceInfo(
            video="rawvideo",
            width=1280,
            height=720,
            fps=30.0,
            audio="pcm",
            sample_rate=48_000,
            channels=2,
        )
    opened = Input(source, video, analyse=True)
    try:
        frame = _first_frame(opened, time.monotonic() + timeout_s)
        return _describe(opened, frame)
    finally:
        opened.close()


def _first_frame(opened: Input, deadline: float) -> av.VideoFrame | av.AudioFrame:
    wanted = av.VideoFrame if opened.video is not None else av.AudioFrame
    while (packet := opened.read()) is not None:
        for frame in opened.decode(packet):
            if isinstance(frame, wanted):
                return frame
        if time.monotonic() > deadline:
            raise opened.source.error("no picture came in time")
    raise opened.source.error("nothing in it could be decoded")


def _describe(opened: Input, frame: av.VideoFrame | av.AudioFrame) -> SourceInfo:
    video, audio = opened.video, opened.audio
    return SourceInfo(
        video=video.codec_context.name if video is not None else "",
        width=frame.width if isinstance(frame, av.VideoFrame) else 0,
        height=frame.height if isinstance(frame, av.VideoFrame) else 0,
        fps=float(video.average_rate or 0) if video is not None else 0.0,
        audio=audio.codec_context.name if audio is not None else "",
        sample_rate=audio.codec_context.sample_rate if audio is not None else 0,
        channels=audio.codec_context.layout.nb_channels if audio is not None else 0,
    )
