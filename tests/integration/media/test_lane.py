"""A lane between a source that is passed through and pictures of our own."""

from fractions import Fraction

from sinks import CollectingSink, settings

from icey.media.encode import VideoEncoder
from icey.media.lane import Lane
from icey.media.passthrough import AccessUnit
from icey.media.picture import black

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
