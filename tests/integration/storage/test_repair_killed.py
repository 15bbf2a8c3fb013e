"""A process that is killed while it records, at any moment."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import av

from icey.storage.paths import parse_name
from icey.storage.repair import repair_folder

TESTS = Path(__file__).parents[2]
KILLS = 20
AT_ONCE = 10
WORST_LOSS_S = 1.5


def test_kill_dash_nine_at_any_moment(tmp_path):
    """Twenty processes are killed: each file keeps all but its last 1.5 s, and plays to its end."""
    chance = random.Random()
    lived_s = {}
    for first in range(0, KILLS, AT_ONCE):
        names = [f"k{number}" for number in range(first, first + AT_ONCE)]
        processes = {name: _record(tmp_path, name) for name in names}
        begun_ns = {name: int(one.stdout.readline()) for name, one in processes.items()}
        due_ns = {name: begun_ns[name] + chance.uniform(1.5, 3.5) * 1e9 for name in names}
        for name in sorted(names, key=due_ns.__getitem__):
            time.sleep(max(0.0, (due_ns[name] - time.monotonic_ns()) / 1e9))
            processes[name].kill()
            lived_s[name] = (time.monotonic_ns() - begun_ns[name]) / 1e9
            processes[name].wait()
            processes[name].stdout.close()

    repaired = repair_folder(tmp_path)
    assert len(repaired) == KILLS
    assert repair_folder(tmp_path) == []
    lost = {}
    for path in tmp_path.iterdir():
        parsed = parse_name(path.name)
        assert parsed is not None
        assert parsed.recovered
        kept = _played_s(path)
        lost[parsed.peer] = max(lived_s[parsed.peer] - seconds for seconds in kept)
    worst = max(lost.values())
    print(f"worst loss of {KILLS} kills: {worst:.2f} s")  # noqa: T201
    assert len(lost) == KILLS
    assert worst <= WORST_LOSS_S


def _played_s(path):
    """To where pictures and sound can be decoded, with every error taken seriously."""
    ends = {"video": 0.0, "audio": 0.0}
    with av.open(str(path)) as container:
        for stream in container.streams:
            stream.codec_context.options = {"err_detect": "explode"}
        for frame in container.decode():
            kind = "video" if isinstance(frame, av.VideoFrame) else "audio"
            ends[kind] = max(ends[kind], frame.time)
    return ends.values()


def _record(folder, name):
    return subprocess.Popen(
        [sys.executable, TESTS / "integration" / "recording" / "killed_recorder.py", folder, name],
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": f"{TESTS.parent / 'src'}:{TESTS}"},
    )
