"""Recording over a path that loses, delays and reorders."""

from __future__ import annotations

from itertools import pairwise

import pytest

from e2e.aiortc_publisher import FPS, aiortc_publisher
from e2e.impaired_path import impaired_path
from e2e.recording_file import read_recording
from e2e.server_process import running_server
from e2e.waiting import until

pytestmark = pytest.mark.alone

SECONDS = 12


async def test_a_bad_path_leaves_a_playable_file_of_the_right_length(tmp_path):
    """10 % loss, 200 ms jitter and the reordering that comes of it: gaps at the most."""
    settings = {"media": {"mode": "record", "recordDir": str(tmp_path / "recordings")}}
    async with (
        running_server(tmp_path, settings=settings) as server,
        impaired_path(loss=0.1, jitter_s=0.2) as path,
    ):
        async with aiortc_publisher(server.url, path=path) as publisher:
            await until(lambda: publisher.camera.sent >= SECONDS * FPS, "sent", deadline_s=40)
            last_ms = publisher.camera.last_wall_ms
        file = await until(
            lambda: next((tmp_path / "recordings").glob("*.mp4"), None), "finished", deadline_s=20
        )
        assert path.dropped > 50
        recording = read_recording(file)
    clocks = recording.clocks
    # The length of the film is the time between its first and its last picture, whatever is
    # missing between them; so no stretch plays faster or slower than it was.
    # Sound may go on a little behind the last picture that was whole.
    shown = [picture.at for picture in recording.pictures if picture.wall_ms is not None]
    assert shown[-1] - shown[0] == pytest.approx((clocks[-1] - clocks[0]) / 1000, abs=0.2)
    assert 0 <= recording.duration - shown[-1] < 1.5
    assert last_ms - clocks[-1] < 1500
    for before, after in pairwise(p for p in recording.pictures if p.wall_ms is not None):
        passed, real = after.at - before.at, (after.wall_ms - before.wall_ms) / 1000
        assert passed == pytest.approx(real, abs=0.15)
    assert recording.audio_seconds == pytest.approx(recording.duration, abs=0.5)
