"""A lane between a source that is passed through and pictures of our own."""

from fractions import Fraction

import av
import numpy as np

from icey.media.encode import VideoEncoder
from icey.media.lane import Lane
from icey.media.passthrough import AccessUnit
from icey.media.picture import black
from integration.media.sinks import CollectingSink, settings

FRAME_NS = 33_333_333


def test_each_change_between_source_and_encoder_is_a_keyframe():
    """However soon it comes, the first picture of the other kind is an IDR, and none is lost."""
    sink = CollectingSink()
    video = settings().video
    lane = Lane(sink, None, 500_000, 2_000_000, None)
    picture = black(video.width, video.height)
    plain, key = AccessUnit(b"p", keyframe=False), AccessUnit(b"k", keyframe=True)
    script = [plain, key, plain, None, None, plain, key, plain, None, plain, key, None]
    for number, unit in enumerate(script):
        captured = number * FRAME_NS
        if unit is None:
            lane.encode(
                picture,
                number * 3000,
                captured,
                lambda bitrate: VideoEncoder(video, Fraction(30), bitrate),
            )
        else:
            lane.pass_through(unit, number * 3000, captured)
    sent = [(unit.timestamp // 3000, unit.keyframe) for unit in sink.units]
    assert sent == [
        (1, True),
        (2, False),
        (3, True),
        (4, False),
        (6, True),
        (7, False),
        (8, True),
        (10, True),
        (11, True),
    ]


def test_nothing_is_encoded_while_earlier_pictures_wait():
    """A picture left out before the encoder breaks nothing: what follows it is no keyframe."""
    sink, waiting = CollectingSink(), [0, 0, 500, 500, 100, 0]
    video = settings().video
    lane = Lane(sink, None, 500_000, 2_000_000, None, backlog_ms=lambda: waiting[number])
    picture = black(video.width, video.height)
    for number in range(len(waiting)):
        lane.encode(
            picture,
            number * 3000,
            number * FRAME_NS,
            lambda bitrate: VideoEncoder(video, Fraction(30), bitrate),
        )
    sent = [(unit.timestamp // 3000, unit.keyframe) for unit in sink.units]
    assert sent == [(0, True), (1, False), (4, False), (5, False)]


def test_keyframes_are_as_small_as_the_bitrate():
    """After a fall to a fifth, a keyframe takes less than half of what it takes at full bitrate."""
    sizes = {}
    video = settings(size=(640, 360), bitrate=1_000_000).video
    for bitrate in (video.bitrate, video.bitrate // 5):
        sink = CollectingSink()
        lane = Lane(sink, None, video.bitrate, video.bitrate, None)
        pictures = noisy_pictures(video.width, video.height, 60)
        for number, picture in enumerate(pictures):
            if number == 15:
                lane.set_bitrate(bitrate)
            if number == 45:
                lane.request_keyframe()
            lane.encode(
                picture,
                number * 3000,
                number * FRAME_NS,
                lambda aim: VideoEncoder(video, Fraction(30), aim),
            )
        assert [unit.timestamp // 3000 for unit in sink.units if unit.keyframe] == [0, 45]
        sizes[bitrate] = len(sink.units[45].data)
    assert sizes[video.bitrate // 5] < sizes[video.bitrate] / 2


def noisy_pictures(width, height, count):
    """Pictures whose keyframes need far more than any bitrate gives."""
    random = np.random.default_rng(1)
    coarse = random.integers(0, 255, (height // 4, (width + count) // 4, 3), dtype=np.uint8)
    base = coarse.repeat(4, axis=0).repeat(4, axis=1)
    for number in range(count):
        view = np.ascontiguousarray(base[:, number : number + width])
        yield av.VideoFrame.from_ndarray(view, format="rgb24").reformat(format="yuv420p")
