"""An independent client: lips and voice together, feedback obeyed."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from e2e.aiortc_viewer import aiortc_viewer
from e2e.waiting import until

pytestmark = pytest.mark.alone

SYNC_S = 0.08


async def beeps(reception, seconds):
    """RTP timestamps at which the loud tone of the demo begins."""
    onsets: list[int] = []
    loud_before = True
    async with asyncio.timeout(seconds + 10):
        while len(onsets) < seconds:
            frame = await reception.receiver.track.recv()
            samples = np.abs(frame.to_ndarray().reshape(-1, len(frame.layout.channels))[:, 0])
            loud = np.flatnonzero(samples > 0.3 * 32767)
            if loud.size and not loud_before:
                onsets.append(frame.pts + int(loud[0]))
            loud_before = bool(loud.size)
    return onsets


async def flashes(reception, seconds):
    """RTP timestamps of the pictures in which the demo's white square appears."""
    onsets: list[int] = []
    lit_before = True
    async with asyncio.timeout(seconds + 10):
        while len(onsets) < seconds:
            frame = await reception.receiver.track.recv()
            side = frame.height * 3 // 20
            column = frame.width - side // 3 - side // 2
            row = frame.height * 35 // 40
            plane = frame.planes[0]
            lit = bytes(plane)[row * plane.line_size + column] > 126
            if lit and not lit_before:
                onsets.append(frame.pts)
            lit_before = lit
    return onsets


async def test_lips_and_voice_stay_together(demo):
    """Over 30 s, beep and flash of each second are within 80 ms, by clock and by arrival."""
    async with aiortc_viewer(demo.url) as viewer:
        video, audio = viewer.video, viewer.audio
        seen, heard = await asyncio.gather(flashes(video, 30), beeps(audio, 30))
        assert len(video.reports) >= 3
        assert len(audio.reports) >= 3
    # By sender reports: what a browser synchronises by.
    by_clock = offsets([video.wall(t) for t in seen], [audio.wall(t) for t in heard])
    # By arrival: what is seen and heard by whoever does not synchronise at all.
    by_arrival = offsets([video.arrival(t) for t in seen], [audio.arrival(t) for t in heard])
    print(f"by clock {spread(by_clock)}, by arrival {spread(by_arrival)}")  # noqa: T201
    assert max(abs(offset) for offset in by_clock) < SYNC_S
    # Arrival is measured by this process's own, shared clock: one late wake-up is not the server's.
    assert np.percentile(np.abs(by_arrival), 90) < SYNC_S
    assert all(0.9 < later - earlier < 1.1 for earlier, later in pairwise(map(video.wall, seen)))


def offsets(seen, heard):
    """For each flash, how much later the nearest beep is, in seconds."""
    pairs = [min((h - s for h in heard), key=abs) for s in seen]
    # The first flash or the last may have its beep outside of what was recorded.
    return [offset for offset in pairs if abs(offset) < 0.5]


def spread(values):
    """Least, median and greatest in ms, for the report."""
    return " / ".join(f"{1000 * np.percentile(values, p):.0f} ms" for p in (0, 50, 100))


async def test_bandwidth_limit_is_obeyed(demo):
    """A REMB of 250 kb/s brings the rate below that within 2 s, and it goes up again after it."""
    limit = 250_000
    clock = asyncio.get_running_loop().time
    async with aiortc_viewer(demo.url) as viewer:
        video = viewer.video

        async def rate_of_last_second():
            await asyncio.sleep(0.25)
            return video.bitrate(clock() - 1, clock())

        async def full():
            await video.send_remb(10_000_000)
            return await rate_of_last_second() > 1.6 * limit

        await until(full, "far more than the limit flows without it", deadline_s=20)
        began = clock()
        while clock() < began + 2:
            await video.send_remb(limit)
            await asyncio.sleep(0.1)
        before, after = video.bitrate(began - 1, began), video.bitrate(began + 1.5, began + 2)
        print(f"{before / 1000:.0f} kb/s, then {after / 1000:.0f} kb/s")  # noqa: T201
        assert after < 1.2 * limit  # of one half second, in which a keyframe may fall

        began = clock()
        await until(full, "the rate goes up again", deadline_s=30)


async def test_lost_picture_brings_a_keyframe(demo):
    """Each of five PLIs brings an IDR within 300 ms."""
    clock = asyncio.get_running_loop().time
    delays = []
    async with aiortc_viewer(demo.url) as viewer:
        video = viewer.video

        def since_last_idr():
            return clock() - max(p.arrival for p in video.packets if p.idr)

        for _ in range(5):
            # An IDR may have been asked for, or made by the rhythm, just now.
            await until(lambda: since_last_idr() > 0.5, "half a second without an IDR")
            asked = clock()

            def idrs(since: float = asked) -> list[Any]:
                return [p for p in video.packets if p.idr and p.arrival > since]

            await video.send_pli()
            found = await until(idrs, "an IDR after a PLI", every_s=0.005)
            delays.append(found[0].arrival - asked)
    print([f"{1000 * delay:.0f} ms" for delay in delays])  # noqa: T201
    assert max(delays) < 0.3
