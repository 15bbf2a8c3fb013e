"""Finished files in a browser's video element, which forgives less than FFmpeg."""

from __future__ import annotations

from collections import deque
from typing import Any

import pytest

from e2e.chromium import AUTOPLAY, open_chromium
from icey.config.model import MediaSettings
from icey.recording.recorder import Recorder
from icey.storage.repair import repair_folder
from integration.recording.played_source import Browser, PlayedSource

PLAY = """async () => {
  const video = document.querySelector("video");
  const sizes = new Set();
  const ended = new Promise((resolve, reject) => {
    video.onended = resolve;
    video.onerror = () => reject(new Error(video.error.message));
    setTimeout(() => reject(new Error(`stuck at ${video.currentTime}`)), 20000);
  });
  const look = () => {
    sizes.add(`${video.videoWidth}x${video.videoHeight}`);
    video.requestVideoFrameCallback(look);
  };
  video.requestVideoFrameCallback(look);
  await video.play();
  await ended;
  const quality = video.getVideoPlaybackQuality();
  return {
    duration: video.duration,
    time: video.currentTime,
    sizes: [...sizes],
    pictures: quality.totalVideoFrames,
    dropped: quality.droppedVideoFrames,
    sound: video.webkitAudioDecodedByteCount,
  };
}"""

SIZES = ["160x120", "640x360", "320x180"]

SEEK = """async (time) => {
  const video = document.querySelector("video");
  const sought = new Promise((resolve) => { video.onseeked = resolve; });
  video.currentTime = time;
  await sought;
  return [video.currentTime, `${video.videoWidth}x${video.videoHeight}`];
}"""


async def test_calls_of_many_sizes_play_in_chromium(tmp_path):
    """Finished and repaired files play to the end, with sound, in each size, and can seek."""
    files = [
        (_record(tmp_path / "copy", {}), 4.0, SIZES),
        (_record(tmp_path / "anew", {"audio": "aac", "video": "transcode"}), 4.0, ["320x240"]),
        (*_recover(tmp_path / "crash"), SIZES),
    ]
    async with open_chromium(AUTOPLAY) as browser:
        page = await browser.new_page()
        for path, seconds, sizes in files:
            (tmp_path / "page.html").write_text(f'<video src="{path.relative_to(tmp_path)}">')
            await page.goto((tmp_path / "page.html").as_uri())
            played = await page.evaluate(PLAY)
            at, size = await page.evaluate(SEEK, 1.25)
            assert played["duration"] == pytest.approx(seconds, abs=0.1), path
            assert played["time"] == pytest.approx(seconds, abs=0.1)
            assert played["sizes"] == sizes
            assert played["pictures"] >= 30 * seconds - 5
            assert played["sound"] > 1000
            assert at == pytest.approx(1.25, abs=0.05)
            assert size == sizes[len(sizes) // 2]


def _recorder(folder, settings):
    browser = Browser((160, 120))
    frames = browser.seconds(1)
    for size, seconds in (((640, 360), 1), ((320, 180), 2)):
        browser.resize(size)
        frames += browser.seconds(seconds)
    media = {"record": {"minFreeBytes": 0, **settings}, "video": {"width": 320, "height": 240}}
    source: Any = PlayedSource(deque(frames))
    return Recorder(
        source,
        peer_name="alice",
        folder=folder,
        media=MediaSettings.model_validate(media),
        codecs=("h264", "opus"),
        on_event=lambda _: None,
    )


def _record(folder, settings):
    recorder = _recorder(folder, settings)
    recorder.start()
    recorder.stop()
    assert recorder.join(20)
    return next(folder.glob("*.mp4"))


def _recover(folder):
    """What a crash in the fourth second leaves, repaired, and its seconds."""
    recorder = _recorder(folder, {})
    recorder._pull()
    [part] = folder.glob("*.part")
    crashed = folder.parent / "crashed"
    crashed.mkdir()
    (crashed / part.name).write_bytes(part.read_bytes()[:-100])
    recorder._finish()
    [repaired] = repair_folder(crashed)
    assert repaired.seconds > 2.5
    return crashed / repaired.name, repaired.seconds
