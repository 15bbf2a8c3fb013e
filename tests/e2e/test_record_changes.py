"""What browsers do in the middle of a call: sizes change, sound comes and goes, tabs fall asleep.

All at once, each in a tab of its own, so that the file of one is the test of the other, too.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import numpy as np
import pytest

from e2e.chromium import AUTOPLAY, open_chromium, processes_of
from e2e.publisher import DrawnCamera, Publisher
from e2e.recording_file import read_recording
from e2e.recording_sound import loudness
from e2e.server_process import running_server

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from pathlib import Path
    from typing import Any

    from playwright.async_api import Browser

    from e2e.publisher import Sent
    from e2e.recording_file import RecordingFile

    Tab = Callable[..., Coroutine[Any, Any, Publisher]]

pytestmark = pytest.mark.alone

CAMERA = DrawnCamera(fps=15)
SIZE = CAMERA.width, CAMERA.height
PHASE_MS = 3000
SILENCE = 0.002

SCALE = """by => {
    const sender = icey.peerConnection.getSenders().find(one => one.track?.kind === "video");
    const parameters = sender.getParameters();
    parameters.encodings[0].scaleResolutionDownBy = by;
    return sender.setParameters(parameters);
}"""


@pytest.mark.parametrize("video", ["copy", "transcode"])
async def test_changes_in_mid_call(tmp_path, video):
    """Whatever changes in a call, the file plays through, at the pace at which it was filmed."""
    folder = tmp_path / "recordings"
    settings = {
        "media": {
            "mode": "record",
            "recordDir": str(folder),
            "record": {"video": video},
            "video": {"width": SIZE[0], "height": SIZE[1], "fps": CAMERA.fps},
        }
    }
    async with (
        running_server(tmp_path, settings=settings) as server,
        open_chromium(AUTOPLAY) as browser,
    ):

        async def tab(**options: Any) -> Publisher:
            context = await browser.new_context()
            publisher = await Publisher.open(context, server.url, CAMERA, **options)
            await publisher.call()
            return publisher

        await asyncio.gather(
            _size_changes(tab, folder, transcoded=video == "transcode"),
            _sound_starts_late(tab, folder),
            _sound_is_plugged_in_late(tab, folder),
            _switched_off_and_on(tab, folder),
        )
        await _throttled(tab, browser, folder)


async def _size_changes(tab: Tab, folder: Path, *, transcoded: bool) -> None:
    """The picture gets smaller and larger again."""
    publisher = await tab()
    await publisher.page.wait_for_timeout(PHASE_MS)
    await publisher.page.evaluate(SCALE, 2)
    await publisher.page.wait_for_timeout(PHASE_MS)
    smaller = await publisher.sent()
    await publisher.page.evaluate(SCALE, 1)
    await publisher.page.wait_for_timeout(PHASE_MS)
    sent, name = await publisher.hang_up()
    assert smaller.size == (SIZE[0] / 2, SIZE[1] / 2)
    recording = read_recording(folder / name)
    _assert_whole(recording, sent)
    _assert_real_time(recording)
    sizes = [picture.size for picture in recording.pictures]
    if transcoded:
        assert set(sizes) == {SIZE}
    else:
        assert set(sizes) == {SIZE, (SIZE[0] // 2, SIZE[1] // 2)}
    assert sizes[-1] == SIZE
    await _plays_through(publisher, name)


async def _sound_starts_late(tab: Tab, folder: Path) -> None:
    """The offer promises sound, and it comes three seconds after the picture."""
    publisher = await tab(microphone="late")
    await publisher.page.wait_for_timeout(PHASE_MS)
    assert (await publisher.sent()).audio_packets == 0
    await publisher.page.evaluate("publishing.unhold()")
    late_ms = (await publisher.sent()).wall_ms
    await publisher.page.wait_for_timeout(PHASE_MS)
    sent, name = await publisher.hang_up()
    recording = read_recording(folder / name)
    _assert_whole(recording, sent)
    _assert_real_time(recording)
    assert recording.codecs == ("h264", "opus")
    begins = next(i / 10 for i, level in enumerate(loudness(folder / name)) if level > SILENCE)
    assert begins == pytest.approx((late_ms - recording.clocks[0]) / 1000, abs=0.5)
    _assert_in_step(recording, after=begins)


async def _sound_is_plugged_in_late(tab: Tab, folder: Path) -> None:
    """A call without a microphone gets one: a file without sound, then a file with sound."""
    publisher = await tab(microphone="none")
    await publisher.page.wait_for_timeout(PHASE_MS)
    await publisher.page.evaluate("publishing.plug()")
    await publisher.switch("microphone")
    await publisher.page.wait_for_timeout(PHASE_MS)
    sent, name = await publisher.hang_up()
    first, second = (read_recording(path) for path in _files_of(folder, name.rsplit("-", 1)[0]))
    assert first.codecs == ("h264",)
    assert second.codecs == ("h264", "opus")
    assert sent.drawn_ms - second.clocks[-1] < 300
    assert second.clocks[0] - first.clocks[-1] < 500
    for recording in (first, second):
        _assert_real_time(recording)
        assert recording.duration > PHASE_MS / 1000 - 1.5
    _assert_in_step(second)


def _files_of(folder: Path, user: str) -> list[Path]:
    return sorted(folder.glob(f"{user}-*.mp4"))


async def _switched_off_and_on(tab: Tab, folder: Path) -> None:
    """Microphone and camera are switched off and on: silence and black, as long as it was."""
    publisher = await tab()
    await publisher.page.wait_for_timeout(PHASE_MS)
    for device in ("microphone", "camera"):
        await publisher.switch(device)
    off = (await publisher.sent()).wall_ms
    await publisher.page.wait_for_timeout(PHASE_MS)
    await publisher.switch("microphone")
    await publisher.switch("camera")
    on = (await publisher.sent()).wall_ms
    await publisher.page.wait_for_timeout(PHASE_MS)
    sent, name = await publisher.hang_up()
    recording = read_recording(folder / name)
    _assert_whole(recording, sent)
    _assert_real_time(recording)
    begin = recording.clocks[0]
    dark = [p.at for p in recording.pictures if p.wall_ms is None]
    assert dark[0] == pytest.approx((off - begin) / 1000, abs=0.3)
    assert dark[-1] <= (on - begin) / 1000 + 0.3
    loud = loudness(folder / name)
    seconds = PHASE_MS / 1000
    middle = round((off - begin) / 100) + 5
    assert max(loud[middle : middle + round(seconds * 10) - 10]) < SILENCE
    assert max(loud[:middle]) > 0.1
    assert max(loud[middle + round(seconds * 10) :]) > 0.1
    _assert_in_step(recording)


async def _throttled(tab: Tab, browser: Browser, folder: Path) -> None:
    """A tab that gets a tenth of its time: few pictures, each for as long as it was.

    What the tab had no time to say is silence: its clock of sound stood still meanwhile, and its
    next RTCP report tells by how much.
    """
    publisher = await tab()
    await publisher.page.wait_for_timeout(1500)
    before = await publisher.sent()
    renderers = await processes_of(browser, "renderer")
    for _ in range(PHASE_MS // 1000):
        for renderer in renderers:
            renderer.suspend()
        await asyncio.sleep(0.9)
        for renderer in renderers:
            renderer.resume()
        await asyncio.sleep(0.1)
    after = await publisher.sent()
    await publisher.page.wait_for_timeout(1500)
    sent, name = await publisher.hang_up()
    assert after.frames - before.frames < CAMERA.fps * PHASE_MS / 1000 / 2
    recording = read_recording(folder / name)
    _assert_whole(recording, sent)
    _assert_real_time(recording)
    assert recording.audio_seconds == pytest.approx(recording.duration, abs=0.5)


def _assert_whole(recording: RecordingFile, sent: Sent) -> None:
    """From the first frame sent to the last."""
    print(  # noqa: T201
        f"{sent.frames} frames in {sent.seconds:.2f} s sent, {len(recording.pictures)} in "
        f"{recording.duration:.2f} s written, the last of them drawn "
        f"{sent.drawn_ms - recording.clocks[-1]:.0f} ms before the last one drawn"
    )
    assert recording.duration == pytest.approx(sent.seconds, abs=0.25 + sent.slack)
    assert recording.pictures[0].at == pytest.approx(0, abs=0.1)
    assert sent.drawn_ms - recording.clocks[-1] < 300


def _assert_real_time(recording: RecordingFile) -> None:
    """The pictures are as far apart as they were when they were drawn, from first to last.

    A busy browser may draw a picture later than the time that it gives it; so few may stray.
    """
    drawn = [p for p in recording.pictures if p.wall_ms is not None]
    shift = np.array([p.at - p.wall_ms / 1000 for p in drawn])
    off = np.abs(shift - np.median(shift))
    assert np.quantile(off, 0.95) < 0.1
    third = len(shift) // 3
    assert np.median(shift[:third]) == pytest.approx(np.median(shift[-third:]), abs=0.05)


def _assert_in_step(recording: RecordingFile, after: float = 0.0) -> None:
    """The square lights up when it beeps; a picture comes up to 67 ms after what it shows."""
    late = [
        min((flash - beep for beep in recording.beeps), key=abs)
        for flash in recording.flashes
        if flash > after
    ]
    assert late
    print(f"pictures {np.median(late) * 1000:.0f} ms after the sound: {np.round(late, 3)}")  # noqa: T201
    assert abs(np.median(late)) < 0.1


async def _plays_through(publisher: Publisher, name: str) -> None:
    """The file plays in the page, every size of it."""
    page = publisher.page
    await page.locator(f'#recordings li[data-name="{name}"] button.play').click()
    sizes = await page.evaluate("""() => new Promise((done, failed) => {
        const seen = new Set();
        const note = () => seen.add(playback.videoWidth);
        playback.onresize = playback.onplaying = note;
        if (playback.videoWidth) note();
        playback.onended = () => done([...seen]);
        playback.addEventListener("error", () => failed(new Error(playback.error?.message)));
        const stuck = () => failed(new Error(`${playback.currentTime} of ${playback.duration} s`));
        setTimeout(stuck, 30_000);
    })""")
    print(f"widths played: {sizes}")  # noqa: T201
    assert SIZE[0] in sizes
