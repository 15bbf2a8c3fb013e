"""Pictures as detectors get them, in every format that settings may ask for."""

import numpy as np
import pytest

from icey.config.intelligence import NormalizeSettings
from icey.intelligence.pixels import Normalizer, is_full_range, luma_of, rgb_of
from icey.media.picture import black, fill, planes, yuv709

RED, WHITE = (255, 0, 0), (255, 255, 255)


@pytest.fixture
def picture():
    """1280 x 720: red on the left, white on the right; HD, so BT.709."""
    made = black(1280, 720)
    fill(planes(made), (0, 0, 640, 720), yuv709(RED))
    fill(planes(made), (640, 0, 1280, 720), yuv709(WHITE))
    return made


def test_nothing_to_do(picture):
    """A picture that the settings leave as it is comes back itself, uncopied."""
    assert Normalizer(NormalizeSettings()).normalize(picture) is picture
    same = NormalizeSettings(width=1280, height=720, pixel_fmt="yuv420p")
    assert Normalizer(same).normalize(picture) is picture


@pytest.mark.parametrize("name", ["", "yuv420p", "nv12", "rgb24", "bgra", "yuv420p10le", "gray"])
def test_size_format_luma_and_colours(picture, name):
    """In any format white is white, red is darker, and colours stay, but for gray."""
    settings = NormalizeSettings(width=320, height=180, pixel_fmt=name)
    made = Normalizer(settings).normalize(picture)
    assert (made.width, made.height, made.format.name) == (320, 180, name or "yuv420p")

    luma = luma_of(made).astype(int)
    white = 255 if is_full_range(made) else 235
    assert luma.shape == (180, 320)
    assert luma[90, 240] == pytest.approx(white, abs=3)
    assert luma[90, 80] < white / 2

    rgb = rgb_of(made)
    assert rgb.dtype == np.uint8
    rgb = rgb.astype(int)
    assert rgb.shape == (180, 320, 3)
    assert rgb[90, 240] == pytest.approx(WHITE, abs=4)
    if name != "gray":
        assert rgb[90, 80] == pytest.approx(RED, abs=6)


def test_a_detector_may_write_into_its_picture(picture):
    """RGB is a copy of the detector's own: what it draws is not seen by anybody else."""
    before = planes(picture)[0].copy()
    rgb_of(picture)[:] = 0
    assert (planes(picture)[0] == before).all()


def test_smaller_pictures_are_means(picture):
    """A pixel of the smaller picture is the mean of what it covers."""
    y, _, _ = planes(picture)
    y[:, ::2], y[:, 1::2] = 50, 150
    made = Normalizer(NormalizeSettings(width=320, height=180)).normalize(picture)
    assert luma_of(made).astype(int) == pytest.approx(100, abs=3)


def test_luma_of_an_odd_width():
    """Padding at the ends of lines is not part of the picture."""
    made = Normalizer(NormalizeSettings(width=99, height=51, pixel_fmt="gray")).normalize(
        black(640, 360)
    )
    assert luma_of(made).shape == (51, 99)
