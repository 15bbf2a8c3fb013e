"""How long a file is: until its played streams end, whatever else is in it."""

import io
from fractions import Fraction
from typing import Any

import av
import numpy as np
import pytest

from integration.media.dry_run import dry_run
from integration.media.material import Film, make

SMALL = (64, 64)
FAST = {"preset": "ultrafast", "g": "30"}
REORDERED = {"preset": "veryfast", "bf": "3", "b_strategy": "0"}


def remux(path, source, *, offset_s=0, subtitle=False, second_sound=None, options=None):
    """Copy a film's streams, later by `offset_s`, beside a long subtitle or another's sound."""
    with av.open(str(source)) as film, av.open(str(path), "w", options=options or {}) as out:
        streams = {s.index: out.add_stream_from_template(s) for s in film.streams}
        texts = av.open(io.BytesIO(b"1\n00:00:00,000 --> 00:00:09,000\na word\n"), format="srt")
        words = out.add_stream_from_template(texts.streams[0]) if subtitle else None
        other = av.open(str(second_sound)) if second_sound else None
        second = out.add_stream_from_template(other.streams.audio[0]) if other else None
        packets: list[tuple[Any, Any]] = [
            (p, streams[p.stream_index]) for p in film.demux() if p.dts is not None
        ]
        if other:
            packets += [(p, second) for p in other.demux(audio=0) if p.dts is not None]
            packets.sort(key=lambda pair: pair[0].dts * pair[0].time_base)
        if words:
            packets = [(p, words) for p in texts.demux() if p.dts is not None] + packets
        for packet, stream in packets:
            packet.stream = stream
            moved = round(offset_s / packet.time_base)
            packet.pts, packet.dts = packet.pts + moved, packet.dts + moved
            out.mux(packet)
        if other:
            other.close()
    return path


@pytest.mark.parametrize("passthrough", [False, "auto"])
@pytest.mark.parametrize("case", ["subtitle.mkv", "second.mkv", "second.mp4", "later.mkv"])
def test_what_is_not_played_has_no_say(case, passthrough, tmp_path):
    """Longer subtitles, a longer second sound, a beginning at an hour: it plays and loops."""
    film = make(tmp_path / "film.mkv", Film(size=SMALL, frames=60, options=FAST))
    long = make(tmp_path / "long.mkv", Film(video=None, audio_seconds=6))
    extras: dict[str, dict[str, Any]] = {
        "subtitle.mkv": {"subtitle": True},
        "second.mkv": {"second_sound": long},
        "second.mp4": {"second_sound": long},
        "later.mkv": {"offset_s": 3600},
    }
    path = remux(tmp_path / case, film, **extras[case])
    run = dry_run(path, 7, passthrough_video=passthrough)
    assert run.error is None
    assert run.longest_stand() < 0.1
    assert run.longest_silence() < 0.1
    assert len(run.changes()) > 6.8 * 30


@pytest.mark.parametrize("case", ["plain.mp4", "plain.mkv", "second.mkv", "later.mkv"])
def test_what_is_cut_off_says_so(case, tmp_path):
    """A file that was cut in the middle plays to there, and is then called partial."""
    film = make(tmp_path / "film.mkv", Film(size=SMALL, frames=180, options=FAST))
    whole = remux(
        tmp_path / case,
        film,
        offset_s=3600 if case == "later.mkv" else 0,
        second_sound=film if case == "second.mkv" else None,
        options={"movflags": "faststart"} if case.endswith("mp4") else None,
    )
    data = whole.read_bytes()
    whole.write_bytes(data[: len(data) // 2])
    run = dry_run(whole, 9)
    assert run.pictures[-1][0] > 1
    assert "partial file" in str(run.error)
    assert "of 6." in str(run.error)


@pytest.mark.parametrize("sound", [None, 20.0])
@pytest.mark.parametrize("options", [FAST, REORDERED])
@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts"])
def test_slides_are_shown_their_whole_time(suffix, options, sound, tmp_path):
    """Each picture of 5 s is shown for 5 s, the last too, and the sound goes on."""
    audio = "aac" if sound else None
    film = Film(
        size=SMALL, rate=Fraction(1, 5), frames=4, options=options, audio=audio, audio_seconds=sound
    )
    run = dry_run(make(tmp_path / f"slides.{suffix}", film), 41)
    assert run.error is None
    assert run.changes() == pytest.approx([0, 5, 10, 15, 20, 25, 30, 35, 40], abs=0.2)
    assert run.late < 0.05
    if sound:
        assert run.longest_silence() < 0.2


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts"])
def test_still_in_a_recording_is_no_jump(suffix, tmp_path):
    """Where the picture stands for 40 s the sound goes on, in each round, and then both do."""
    times = [*range(0, 2000, 100), *range(42_000, 44_000, 100)]
    film = Film(size=SMALL, rate=10, frames=40, times=times, options=REORDERED, audio="mp2")
    run = dry_run(make(tmp_path / f"still.{suffix}", film), 90)
    assert run.error is None
    assert run.longest_stand() == pytest.approx(40.1, abs=0.2)
    assert run.longest_silence() < 0.2
    assert len(run.changes()) >= 80


@pytest.mark.parametrize("suffix", ["mkv", "ts"])
def test_pause_of_the_sound_is_no_jump(suffix, tmp_path):
    """Where the sound is missing for 12 s the picture goes on, and silence is sent for it."""
    sounded = make(tmp_path / "sound.mkv", Film(video=None, audio="mp2", audio_seconds=18))
    film = make(tmp_path / "film.mkv", Film(size=SMALL, frames=540, options=FAST, audio=None))
    path = tmp_path / f"pause.{suffix}"
    with (
        av.open(str(film)) as pictures,
        av.open(str(sounded)) as sound,
        av.open(str(path), "w") as out,
    ):
        streams = [out.add_stream_from_template(c.streams[0]) for c in (pictures, sound)]
        packets = [(p, streams[0]) for p in pictures.demux() if p.dts is not None]
        packets += [
            (p, streams[1])
            for p in sound.demux()
            if p.dts is not None and not 3 < p.pts * p.time_base < 15
        ]
        for packet, stream in sorted(packets, key=lambda pair: pair[0].dts * pair[0].time_base):
            packet.stream = stream
            out.mux(packet)
    run = dry_run(path, 19)
    assert run.longest_stand() < 0.1
    assert run.longest_silence() == pytest.approx(12, abs=0.2)
    assert np.diff([at for at, _ in run.sound]).max() < 0.021


def test_one_picture_and_a_long_sound(tmp_path):
    """The cover of a song stands there from the beginning, and on, while the song plays."""
    film = Film(size=SMALL, frames=1, options=FAST, audio_seconds=9)
    run = dry_run(make(tmp_path / "song.mp4", film), 20)
    assert run.pictures[0][0] == 0
    assert run.late < 0.05
    assert run.longest_silence() < 0.1
