"""Several browsers record at once: each into a file of its own, from first moment to last."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import av
import pytest

from e2e.chromium import AUTOPLAY, open_chromium
from e2e.publisher import DrawnCamera, Publisher
from e2e.recording_file import read_recording
from e2e.server_process import running_server

if TYPE_CHECKING:
    from pathlib import Path

    from e2e.publisher import Sent

pytestmark = pytest.mark.alone

SECONDS = 8
CAMERAS = {
    "red": DrawnCamera(640, 360, 15, "#801010"),
    "green": DrawnCamera(960, 540, 15, "#106010"),
    "blue": DrawnCamera(480, 360, 15, "#101080"),
    "grey": DrawnCamera(1280, 720, 15, "#404040"),
}
CHANNELS = {"red": 0, "green": 1, "blue": 2}


async def test_four_browsers_at_once(tmp_path):
    """Each file shows its own camera in full size, from time 0 to the picture of the hang-up."""
    folder = tmp_path / "recordings"
    async with (
        running_server(tmp_path, "--mode", "record", "--record-dir", str(folder)) as server,
        open_chromium(AUTOPLAY) as browser,
    ):

        async def record(camera: DrawnCamera) -> tuple[Sent, str]:
            publisher = await Publisher.open(await browser.new_context(), server.url, camera)
            await publisher.call()
            await publisher.page.wait_for_timeout(SECONDS * 1000)
            sent, name = await publisher.hang_up()
            assert publisher.errors == []
            return sent, name

        results = await asyncio.gather(*(record(camera) for camera in CAMERAS.values()))
        listed = (await server.get("/api/recordings"))["recordings"]
    assert len({name for _, name in results}) == len(CAMERAS)
    assert {one["name"] for one in listed} == {name for _, name in results}
    for (colour, camera), (sent, name) in zip(CAMERAS.items(), results, strict=True):
        recording = read_recording(folder / name)
        last_ms = sent.drawn_ms - recording.clocks[-1]
        sizes = [picture.size for picture in recording.pictures]
        wanted = camera.width, camera.height
        full = next((i for i, size in enumerate(sizes) if size == wanted), None)
        print(  # noqa: T201
            f"{colour}: {sent.frames} frames in {sent.seconds:.2f} s sent, {len(sizes)} in "
            f"{recording.duration:.2f} s written, sizes {sizes[0]} to {sizes[-1]}, full from "
            f"picture {full}, limited by {sent.limitation}, the last one is {last_ms:.0f} ms old"
        )
        assert _colour(folder / name) == colour
        assert recording.pictures[0].at == pytest.approx(0, abs=0.05)
        assert recording.duration == pytest.approx(sent.seconds, abs=0.25 + sent.slack)
        assert len(sizes) >= 0.95 * sent.frames
        assert last_ms < 300
        assert recording.audio_seconds == pytest.approx(recording.duration, abs=0.3)
        assert sizes[-1] == sent.size
        assert sent.size == wanted
        assert full is not None


def _colour(path: Path) -> str:
    """The name of the colour in the middle of the first picture."""
    with av.open(str(path)) as container:
        picture = next(container.decode(video=0)).to_ndarray(format="rgb24")
    pixel = [int(value) for value in picture[picture.shape[0] // 2, picture.shape[1] // 2]]
    strongest = max(pixel)
    if strongest - min(pixel) < 30:
        return "grey"
    return next(name for name, channel in CHANNELS.items() if pixel[channel] == strongest)
