"""Files that begin again, and files whose time jumps: nothing is lost and nothing stands still."""

import pytest

from integration.media.dry_run import dry_run
from integration.media.material import Film, make
from integration.media.transport_stream import AUDIO, VIDEO, moved

B_FRAMES = {"preset": "veryfast", "bf": "3", "b_strategy": "0"}
PLAIN = {"preset": "ultrafast", "profile": "baseline", "g": "15"}
SMALL = (64, 64)

LOOPS = {
    "groups.ts": Film(options={**B_FRAMES, "g": "30"}),
    "one-keyframe.ts": Film(options={**B_FRAMES, "g": "600"}),
    "groups.flv": Film(options={**B_FRAMES, "g": "30"}),
    "one-keyframe.flv": Film(options={**B_FRAMES, "g": "600"}, audio=None),
    "groups.avi": Film(options={**B_FRAMES, "g": "30"}, audio="libmp3lame"),
    "groups.mpg": Film(video="mpeg2video", options={"bf": "2"}, audio="mp2", rate=25),
    "groups.mkv": Film(options={**B_FRAMES, "g": "30"}),
}


@pytest.mark.parametrize("name", LOOPS)
def test_loop_loses_no_picture(name, tmp_path):
    """Each round shows each picture: none stands for longer than two frames."""
    film = LOOPS[name]
    film.size = SMALL
    run = dry_run(make(tmp_path / name, film), 7)
    seconds = film.frames / film.rate
    assert run.longest_stand() <= 2.01 / film.rate
    assert len(run.changes()) >= 7 * film.rate - 3 * 7 / seconds
    if film.audio:
        assert run.longest_silence() < 0.1


@pytest.mark.parametrize("suffix", ["ts", "flv", "avi", "mkv", "mp4"])
def test_loop_of_access_units_loses_none(suffix, tmp_path):
    """So it is where nothing is decoded, in each container."""
    path = make(tmp_path / f"plain.{suffix}", Film(size=SMALL, options=PLAIN))
    run = dry_run(path, 7, passthrough_video=True)
    assert run.longest_stand() <= 2.01 / 30
    assert len(run.changes()) >= 7 * 30 - 6


def test_access_units_keep_the_pace_of_their_file(tmp_path):
    """What is passed through is sent at the file's times, however uneven they are."""
    times = [0, 100, 300, 350, 400, 1000, 1050, 1400]
    path = make(tmp_path / "vfr.mkv", Film(size=SMALL, frames=8, times=times, options=PLAIN))
    run = dry_run(path, 1.42, passthrough_video=True)
    assert run.changes() == pytest.approx([time / 1000 for time in times], abs=0.03)


JUMPS = {
    "forward 10 s": (0, 10),
    "forward 500 s": (0, 500),
    "back 10 s": (600, 590),
    "back 500 s": (600, 100),
    "about": (0, 500, 60, 1000, 3),
}


@pytest.mark.parametrize("passthrough", [False, True])
@pytest.mark.parametrize("name", JUMPS)
def test_joined_files_go_on(name, passthrough, tmp_path):
    """Picture and sound go on where two files were joined, in this round and in the next."""
    options = PLAIN if passthrough else {**B_FRAMES, "g": "30"}
    part = make(tmp_path / "part.ts", Film(size=SMALL, options=options)).read_bytes()
    joined = tmp_path / "joined.ts"
    joined.write_bytes(b"".join(moved(part, start) for start in JUMPS[name]))
    run = dry_run(joined, 4.5 * len(JUMPS[name]), passthrough_video=passthrough)
    assert run.error is None
    assert run.longest_stand() < 0.2
    assert run.longest_silence() < 0.2


@pytest.mark.parametrize("by_s", [20, 500, -3])
@pytest.mark.parametrize("pid", [VIDEO, AUDIO])
def test_jump_of_one_stream_stops_neither(pid, by_s, tmp_path):
    """Where only the picture's time jumps, or only the sound's, both go on."""
    whole = make(tmp_path / "whole.ts", Film(size=SMALL, frames=150, options=B_FRAMES)).read_bytes()
    path = tmp_path / "jump.ts"
    path.write_bytes(moved(whole, by_s, after_s=4.4, pids=(pid,)))
    run = dry_run(path, 12)
    assert run.longest_stand() < 0.5
    assert run.longest_silence() < 0.5


@pytest.mark.parametrize(("pictures", "sound"), [(60, 1.2), (60, 3.5)])
def test_joined_files_of_uneven_streams_go_on(pictures, sound, tmp_path):
    """Behind the jump picture and sound go on together, when the longer one has ended."""
    film = Film(size=SMALL, frames=pictures, options=B_FRAMES, audio_seconds=sound)
    part = make(tmp_path / "part.ts", film).read_bytes()
    joined = tmp_path / "joined.ts"
    joined.write_bytes(part + moved(part, 100))
    run = dry_run(joined, 7)
    assert run.longest_stand() < max(sound - 2, 0) + 0.2
    assert run.longest_silence() < max(2 - sound, 0) + 0.2


@pytest.mark.parametrize("passthrough", [False, True])
@pytest.mark.parametrize(("pictures", "sound"), [(60, 8.0), (240, 2.0)])
def test_uneven_streams_loop_on_time(pictures, sound, passthrough, tmp_path):
    """The shorter stream ends, and both begin again together; nothing comes late."""
    film = Film(size=SMALL, frames=pictures, options=PLAIN, audio_seconds=sound)
    path = make(tmp_path / "uneven.mp4", film)
    run = dry_run(path, 20, passthrough_video=passthrough)
    assert run.late < 0.05
    assert run.longest_stand() == pytest.approx(6.0 if sound > 2 else 0.04, abs=0.1)
    assert run.longest_silence() == pytest.approx(0.0 if sound > 2 else 6.0, abs=0.1)
    assert len(run.sound) == pytest.approx(1000, abs=2)  # of silence, too


def test_what_is_left_of_an_older_time_delays_nothing(tmp_path):
    """A recording whose first packet is from before a jump plays on at once."""
    whole = make(tmp_path / "whole.ts", Film(size=SMALL, options=B_FRAMES)).read_bytes()
    path = tmp_path / "left.ts"
    path.write_bytes(moved(whole, 600, after_s=0.0, pids=(VIDEO, AUDIO)))
    run = dry_run(path, 5)
    assert run.longest_stand() < 0.2
    assert run.longest_silence() < 0.2
