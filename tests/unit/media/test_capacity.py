"""The default of ``media.maxEncoders``."""

from icey.config.model import VideoSettings
from icey.media import capacity
from icey.media.capacity import cores, fitting, measured_cost_blocking, typical_cost


def test_smaller_pictures_cost_less():
    """The cost follows the pixels a second, and more fit where one costs less."""
    large, small = VideoSettings(), VideoSettings(width=640, height=360)
    assert typical_cost(large) == 4 * typical_cost(small)
    assert fitting(typical_cost(small), 4) > 3 * fitting(typical_cost(large), 4)


def test_there_is_room_for_one_and_for_those_who_share():
    """However slow the machine, two fit."""
    assert fitting(5.0, 1) == 2


def test_the_measured_cost_is_within_reason():
    """A measurement is between a quarter and four times what is typical."""
    video = VideoSettings(width=320, height=240)
    cost = measured_cost_blocking(video)
    assert typical_cost(video) / 4 <= cost <= typical_cost(video) * 4


def test_a_container_has_fewer_cores(tmp_path, monkeypatch):
    """A quota of CPU time bounds the cores; without one it is those of the machine."""
    quota = tmp_path / "cpu.max"
    monkeypatch.setattr(capacity, "_QUOTA", quota)
    all_of_them = cores()
    quota.write_text("max 100000\n")
    assert cores() == all_of_them
    quota.write_text("50000 100000\n")
    assert cores() == 0.5
    quota.write_text("odd")
    assert cores() == all_of_them
