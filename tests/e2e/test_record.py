"""A browser's camera and microphone, from the click on Call to the film in the page."""

from __future__ import annotations

import subprocess
from itertools import pairwise
from typing import TYPE_CHECKING

import av
import numpy as np
import pytest
from playwright.async_api import expect

from e2e.chromium import AUTOPLAY, FAKE_CAMERA, open_chromium
from e2e.publisher import Publisher
from e2e.recording_sound import loudness
from e2e.server_process import running_server
from e2e.waiting import until

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.alone

SECONDS = 20
LITTLE = 160, 90
LUMA = np.array([0.2126, 0.7152, 0.0722])


async def test_a_camera_becomes_a_film(tmp_path):
    """20 s of picture and sound: all of it is in the file, undamaged, and plays in the page."""
    folder = tmp_path / "recordings"
    async with (
        running_server(tmp_path, "--mode", "record", "--record-dir", str(folder)) as server,
        open_chromium(AUTOPLAY, *FAKE_CAMERA) as browser,
    ):
        publisher = await Publisher.open(await browser.new_context(), server.url)
        await publisher.call()
        await publisher.page.wait_for_timeout(SECONDS / 2 * 1000)
        script = "([w, h]) => publishing.timedGlimpse(w, h)"
        glimpse, glimpsed = await publisher.page.evaluate(script, LITTLE)
        await publisher.page.wait_for_timeout(SECONDS / 2 * 1000)
        sent, name = await publisher.hang_up()
        path = folder / name
        assert [file.name for file in folder.iterdir()] == [name]

        duration, pictures = _pictures(path)
        print(  # noqa: T201
            f"sent {sent.frames} frames in {sent.seconds:.3f} s; in the file {len(pictures)} "
            f"in {duration:.3f} s, {path.stat().st_size} bytes"
        )
        assert sent.seconds > SECONDS - 1
        assert duration == pytest.approx(sent.seconds, abs=0.15 + sent.slack)
        assert len(pictures) >= 0.95 * sent.frames
        _assert_clean(path)
        _assert_moving(pictures)
        # What the person saw of themselves is there, at its time, and at no other.
        unlike = [np.abs(picture - _grey(glimpse)).mean() for _, picture in pictures]
        best = int(np.argmin(unlike))
        assert unlike[best] < 6
        seen = (glimpsed - sent.first_ms) / 1000
        assert pictures[best][0] == pytest.approx(seen, abs=0.25 + sent.slack)
        assert np.median(unlike) > unlike[best] + 1

        loud = loudness(path)
        assert len(loud) == pytest.approx(duration * 10, abs=3)
        assert max(loud) > 0.01  # beeps, and what is between them
        assert sum(level > 0.001 for level in loud) > SECONDS - 2

        await _plays_in_the_page(publisher, name, duration)
        assert publisher.errors == []


async def _plays_in_the_page(publisher: Publisher, name: str, duration: float) -> None:
    """Play its beginning, its middle and its end."""
    page = publisher.page
    row = page.locator(f'#recordings li[data-name="{name}"] button.play')
    await expect(row).to_contain_text(f"0:{int(duration):02}")
    await expect(row).to_contain_text("1280 × 720 · H.264 + Opus")
    await row.click()
    await until(lambda: page.evaluate("playback.currentTime > 1"), "it plays", deadline_s=20)
    size = await page.evaluate("[playback.videoWidth, playback.videoHeight]")
    assert size == [1280, 720]
    assert await page.evaluate("playback.duration") == pytest.approx(duration, abs=0.1)
    assert await page.evaluate("playback.currentSrc.includes('/artifacts/')")
    for share in (0.5, 0.1, 0.92):
        moved = await page.evaluate(
            """share => new Promise(done => {
                const at = playback.duration * share;
                playback.onseeked = () => playback.requestVideoFrameCallback(
                    (_, frame) => done(frame.mediaTime - at));
                playback.currentTime = at;
            })""",
            share,
        )
        assert abs(moved) < 0.3
    await until(lambda: page.evaluate("playback.ended"), "it plays to its end", deadline_s=20)
    assert await page.evaluate("playback.currentTime") == pytest.approx(duration, abs=0.2)
    decoded = "[playback.webkitVideoDecodedByteCount, playback.webkitAudioDecodedByteCount]"
    assert all(await page.evaluate(decoded))
    await expect(page.locator("#playback-problem")).to_be_hidden()


def _pictures(path: Path) -> tuple[float, list[tuple[float, np.ndarray]]]:
    """The duration, and every picture with its time, small and grey."""
    with av.open(str(path)) as container:
        container.streams.video[0].codec_context.options = {"err_detect": "explode"}
        duration = (container.duration or 0) / 1e6
        pictures = []
        for frame in container.decode(video=0):
            assert (frame.width, frame.height) == (1280, 720)
            small = frame.reformat(*LITTLE, format="rgb24").to_ndarray()
            pictures.append((float(frame.time or 0), small @ LUMA))
    return duration, pictures


def _grey(values: list[int]) -> np.ndarray:
    width, height = LITTLE
    return np.array(values).reshape(height, width)


def _assert_moving(pictures: list[tuple[float, np.ndarray]]) -> None:
    """Time begins at 0 and goes on evenly, and every half second the picture is another."""
    assert pictures[0][0] == pytest.approx(0, abs=0.1)
    assert all(0 < b[0] - a[0] < 0.5 for a, b in pairwise(pictures))
    shown = pictures[:: max(1, round(len(pictures) / pictures[-1][0] / 2))]
    assert len(shown) > SECONDS
    for (_, before), (_, after) in pairwise(shown):
        assert np.abs(after - before).mean() > 0.5


def _assert_clean(path: Path) -> None:
    """FFmpeg's own programs find nothing to complain of."""
    # A busy browser may send two pictures 5 ms apart. They are so in the file, and the null muxer
    # is told to have room for both: by itself it counts in frames of the rate that it guessed.
    ffmpeg = ["ffmpeg", "-v", "error", "-i", str(path), "-fps_mode", "vfr", "-f", "null", "-"]
    decoding = subprocess.run(ffmpeg, capture_output=True, text=True, check=True)
    assert decoding.stdout + decoding.stderr == ""
    ffprobe = [
        "ffprobe",
        "-v",
        "error",
        "-show_entries",
        "stream=codec_name",
        "-of",
        "csv=p=0",
        str(path),
    ]
    probing = subprocess.run(ffprobe, capture_output=True, text=True, check=True)
    assert probing.stdout.split() == ["h264", "opus"]
    assert probing.stderr == ""
