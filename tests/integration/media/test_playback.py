"""Files of every kind, played by the real FFmpeg."""

from contextlib import ExitStack
from fractions import Fraction

import av
import numpy as np
import pytest

from icey.errors import SourceError
from icey.media.events import SourceBroken, SourceEnded
from integration.media.material import GREY, WHITE, Film, bar_number, make
from integration.media.sinks import (
    Player,
    decode_audio,
    decode_video,
    pitch,
    rate_of,
    settings,
    steps,
)

FAST = {"preset": "ultrafast"}

ODD_FILES = {
    "h264-b-frames-aac.mp4": Film(options={"preset": "veryfast"}),
    "hevc-10-bit.mp4": Film(
        video="libx265", pix_fmt="yuv420p10le", options={**FAST, "x265-params": "log-level=none"}
    ),
    "h264-10-bit.mkv": Film(pix_fmt="yuv420p10le", options=FAST),
    "h264-444.mkv": Film(pix_fmt="yuv444p", options=FAST),
    "vp9-opus.webm": Film(video="libvpx-vp9", audio="libopus", options={"deadline": "realtime"}),
    "av1-opus.mkv": Film(video="libsvtav1", audio="libopus", options={"preset": "12"}),
    "mpeg4-mp3.avi": Film(video="mpeg4", audio="libmp3lame"),
    "mpeg2.ts": Film(video="mpeg2video", audio="mp2", rate=25, frames=50),
    "mjpeg-full-range.mov": Film(video="mjpeg", pix_fmt="yuvj420p", audio="pcm_s16le"),
    "odd-size.mkv": Film(video="ffv1", size=(319, 181), pix_fmt="yuv444p", audio="flac"),
    "mono-44100.mp4": Film(options=FAST, audio_rate=44_100, layout="mono"),
    "surround.mp4": Film(options=FAST, layout="5.1"),
    "slow-15.mp4": Film(options=FAST, rate=15, frames=30),
    "slow-5.mp4": Film(options=FAST, rate=5, frames=10),
    "fast-60.mp4": Film(options=FAST, rate=60, frames=120),
    "ntsc.mp4": Film(options=FAST, rate=Fraction(30000, 1001)),
}
RATES = {"mpeg2.ts": 25, "slow-15.mp4": 15, "slow-5.mp4": 15}


@pytest.fixture(scope="module")
def played(tmp_path_factory):
    """Play all odd files at the same time, for a good second each: name to (pictures, sound)."""
    folder = tmp_path_factory.mktemp("odd")
    with ExitStack() as stack:
        players = {
            name: stack.enter_context(Player(make(folder / name, film)))
            for name, film in ODD_FILES.items()
        }
        return {
            name: (player.video.wait_count(20, 30), player.audio.wait_count(50, 30))
            for name, player in players.items()
        }


@pytest.mark.parametrize("name", ODD_FILES)
def test_odd_file_plays(name, played):
    """The file plays in the size asked for, at its rate, with its light and its tone."""
    units, sound = played[name]
    assert units[0].keyframe
    assert rate_of(units) == pytest.approx(RATES.get(name, 30), rel=0.01)
    lumas = decode_video(units)
    assert lumas[0].shape == (180, 320)
    for luma in lumas[5:]:
        assert np.median(luma) == pytest.approx(16 + GREY * 219 / 255, abs=4)
        bar = luma[90, bar_number(luma) * 20 + 5 : bar_number(luma) * 20 + 15]
        assert bar.mean() == pytest.approx(16 + WHITE * 219 / 255, abs=8)
    samples = decode_audio(sound)[9600:, 0]
    # Mono is spread over both sides with the same power: 3 dB less on each.
    loud = 0.25 * 0.707 if "mono" in name else 0.25
    assert np.quantile(np.abs(samples), 0.99) == pytest.approx(loud, abs=0.03)
    assert pitch(samples) == pytest.approx(440, abs=4)


def test_pictures_come_in_order_and_none_is_missing(tmp_path):
    """The bar moves on by one each frame, over two loops and their seams."""
    path = make(tmp_path / "bar.mp4", Film(frames=48, options={"preset": "veryfast"}))
    with Player(path) as player:
        units = player.video.wait_count(110)
    numbers = [bar_number(luma) for luma in decode_video(units)]
    assert numbers == [n % 16 for n in range(len(numbers))]


@pytest.mark.parametrize("name", ["seam.mp4", "seam.mkv", "seam.ts"])
def test_loop_has_no_gap_and_no_jump(name, tmp_path):
    """Over the seam timestamps go on in even steps, of picture and sound, and on time."""
    path = make(tmp_path / name, Film(frames=40, options=FAST))
    with Player(path) as player:
        units = player.video.wait_count(130)
        sound = player.audio.wait_count(200)
    assert max(steps(units)) <= 2 * 3000
    assert set(steps(sound)) == {960}
    late = sorted((unit.pushed_ns - unit.captured_ns) / 1e6 for unit in units)
    assert late[len(late) * 9 // 10] < 60


def test_picture_and_sound_share_their_clock(tmp_path):
    """Timestamps and capture times of both are one line: within 1 ms, over a loop."""
    path = make(tmp_path / "sync.mp4", Film(frames=40, options=FAST))
    with Player(path) as player:
        units = player.video.wait_count(60)
        sound = player.audio.wait_count(100)
    origins = [u.captured_ns - u.timestamp * 1e9 / 90_000 for u in units]
    origins += [u.captured_ns - u.timestamp * 1e9 / 48_000 for u in sound]
    assert max(origins) - min(origins) < 1e6


def test_lips_and_voice(tmp_path):
    """A picture that turns white with a beep does so within 40 ms of it, in each of two rounds."""
    path = make(tmp_path / "flash.mp4", Film(frames=60, options=FAST, flash_at=(20, 40)))
    with Player(path) as player:
        units = player.video.wait_count(110)
        sound = player.audio.wait_count(180)
    lumas = decode_video(units)
    bright = [luma.mean() > 180 for luma in lumas]
    flashes = [
        units[i].timestamp / 90_000
        for i in range(1, len(bright))
        if bright[i] and not bright[i - 1]
    ]
    level = np.abs(decode_audio(sound)[:, 0])
    windows = level[: len(level) // 240 * 240].reshape(-1, 240).max(axis=1)  # 5 ms
    loud = windows > 0.15
    start = sound[0].timestamp / 48_000
    beeps = [start + i * 0.005 for i in range(1, len(loud)) if loud[i] and not loud[i - 1]]
    beeps = [b for i, b in enumerate(beeps) if i == 0 or b - beeps[i - 1] > 0.1]
    assert len(flashes) >= 3
    for flash in flashes:
        assert min(abs(flash - beep) for beep in beeps) < 0.040


def test_variable_rate_becomes_constant(tmp_path):
    """Pictures at uneven times go out at 30 a second, each near its own time."""
    times = [0, 20, 120, 140, 160, 400, 433, 466, 700, 900, 933, 1000, 1200, 1233, 1266, 1500]
    path = make(tmp_path / "vfr.mkv", Film(frames=16, times=times, options=FAST))
    with Player(path, settings(loop=False)) as player:
        player.wait_event(SourceEnded)
        units = player.video.units
    assert set(steps(units)) == {3000}
    seen = {}
    for unit, luma in zip(units, decode_video(units), strict=True):
        seen.setdefault(bar_number(luma), unit.timestamp / 90)
    assert len(seen) >= 14
    for number, at in seen.items():
        assert at == pytest.approx(times[number], abs=34)


@pytest.mark.parametrize("degrees", [90, 180, -90])
def test_rotated_file_is_upright(degrees, tmp_path):
    """A film that its container says to turn is turned, and letterboxed anew."""
    path = make(tmp_path / "turned.mp4", Film(size=(320, 180), options=FAST, rotate=degrees))
    with Player(path) as player:
        luma = decode_video(player.video.wait_count(3))[0]
    if degrees == 180:
        assert bar_number(luma) == 15  # the first bar, now at the right
        return
    assert luma[90, 5] == pytest.approx(16, abs=4)
    column = luma[:, 160]
    edge = column[175] if degrees == 90 else column[4]
    assert edge == pytest.approx(16 + WHITE * 219 / 255, abs=12)
    assert column[90] == pytest.approx(16 + GREY * 219 / 255, abs=6)


@pytest.mark.parametrize(
    ("size", "aspect", "dark", "light"),
    [
        ((240, 180), None, (90, 10), (90, 160)),
        ((320, 120), None, (5, 160), (90, 160)),
        ((180, 180), Fraction(4, 3), (90, 20), (90, 160)),
    ],
)
def test_letterbox(size, aspect, dark, light, tmp_path):
    """Another shape is laid in the middle, with black beside it, pixels square again."""
    path = make(tmp_path / "shape.mkv", Film(size=size, options=FAST, aspect=aspect))
    with Player(path) as player:
        luma = decode_video(player.video.wait_count(3))[0]
    assert luma[dark] == pytest.approx(16, abs=3)
    assert luma[light] > 60


def test_video_only_pushes_no_sound(tmp_path):
    """A silent film has no audio packets at all."""
    path = make(tmp_path / "silent.mp4", Film(options=FAST, audio=None))
    with Player(path) as player:
        player.video.wait_count(60)
        assert player.audio.units == []


def test_sound_only_shows_a_caption(tmp_path):
    """A song plays over a black picture with its name, a few times a second."""
    path = make(tmp_path / "song.mp3", Film(video=None, audio="libmp3lame", audio_seconds=3))
    with Player(path) as player:
        units = player.video.wait_count(8)
        sound = player.audio.wait_count(70)
    assert 3 <= rate_of(units) <= 15
    luma = decode_video(units)[-1]
    assert np.median(luma) == pytest.approx(16, abs=2)
    assert luma[140:].max() > 150
    assert pitch(decode_audio(sound)[9600:, 0]) == pytest.approx(440, abs=4)


def test_late_video_holds_its_first_picture(tmp_path):
    """Where the film starts after its sound, its first picture is there at once."""
    path = make(tmp_path / "late.mkv", Film(options=FAST, video_delay_ms=500))
    with Player(path) as player:
        units = player.video.wait_count(20)
    numbers = [bar_number(luma) for luma in decode_video(units)]
    assert numbers[:14] == [0] * 14
    assert numbers[-1] > 0


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("sample_rate", [16_000, 48_000])
def test_sound_settings(channels, sample_rate, tmp_path):
    """Other channels and sample rates still give 20 ms packets on the 48 kHz clock."""
    path = make(tmp_path / "tone.wav", Film(video=None, audio="pcm_s16le", audio_seconds=2))
    media = settings(channels=channels, sample_rate=sample_rate)
    with Player(path, media) as player:
        sound = player.audio.wait_count(60)
    assert set(steps(sound)) == {960}
    assert pitch(decode_audio(sound)[9600:, 0]) == pytest.approx(440, abs=4)


def test_no_loop_ends(tmp_path):
    """Without loop every picture is shown, then the source has ended."""
    path = make(tmp_path / "once.mp4", Film(frames=30, options=FAST))
    with Player(path, settings(loop=False)) as player:
        assert player.wait_event(SourceEnded).reason == "source ended"
        assert len(player.video.units) == 30
        assert player.pipeline._state == "ended"
    assert player.events == [SourceEnded()]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "No such file or directory"),
        (b"", "Invalid data found"),
        (b"this is no film " * 1000, "Invalid data found"),
    ],
)
def test_unplayable_file_is_refused(content, words, tmp_path):
    """What cannot be opened is refused in FFmpeg's words, by name and without its folder."""
    path = tmp_path / "broken.mp4"
    if content is not None:
        path.write_bytes(content)
    player = Player(path)
    with pytest.raises(SourceError, match=words) as caught:
        player.pipeline.prepare()
    assert "broken.mp4" in str(caught.value)
    assert str(tmp_path) not in str(caught.value)
    player.pipeline.stop()
    assert player.pipeline.join(1)


def test_file_that_breaks_off_is_broken(tmp_path):
    """A file cut off in the middle plays up to there, then says why it cannot go on."""
    path = make(tmp_path / "cut.mp4", Film(frames=90, options={**FAST, "g": "15"}))
    data = path.read_bytes()
    path.write_bytes(_moov_first(path, data)[: len(data) // 2])
    with Player(path) as player:
        event = player.wait_event(SourceBroken)
        assert len(player.video.units) > 10
    assert "cut.mp4" in event.reason
    assert str(tmp_path) not in event.reason


def test_damage_in_the_middle_is_played_over(tmp_path):
    """Some garbage between good frames is skipped."""
    path = make(tmp_path / "scratch.ts", Film(frames=60, options={**FAST, "g": "10"}))
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 2000] = bytes(2000)
    path.write_bytes(data)
    with Player(path) as player:
        units = player.video.wait_count(100)
    assert rate_of(units) == pytest.approx(30, rel=0.05)


def _moov_first(path, data):
    """Remux with the index at the front, so that a cut file still opens."""
    front = path.with_suffix(".front.mp4")
    with (
        av.open(str(path)) as source,
        av.open(str(front), "w", options={"movflags": "faststart"}) as out,
    ):
        streams = {s.index: out.add_stream_from_template(s) for s in source.streams}
        for packet in source.demux():
            if packet.dts is not None:
                packet.stream = streams[packet.stream_index]
                out.mux(packet)
    assert len(front.read_bytes()) >= len(data) * 0.9
    return front.read_bytes()
