"""Which documented features this version does not have yet.

The settings of such a feature are read and checked as all others are; only turning the
feature on is refused. An issue that builds a feature deletes its row here, and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["UNAVAILABLE", "Feature", "available", "unavailable"]


@dataclass(frozen=True)
class Feature:
    """One feature, and the setting that turns it on.

    Attributes:
        key: the dotted key of that setting.
        value: the value of it that turns the feature on.
        name: the feature in words, for "… is not available yet".
        instead: what to do instead.
    """

    key: str
    value: str | bool
    name: str
    instead: str


UNAVAILABLE: tuple[Feature, ...] = (
    Feature("turn.enabled", True, "the built-in TURN server", "set it to false or use --no-turn"),
)


def unavailable(key: str, value: object) -> Feature | None:
    """Return the missing feature that this value of this key would turn on, if it is one."""
    for feature in UNAVAILABLE:
        if feature.key == key and type(feature.value) is type(value) and feature.value == value:
            return feature
    return None


def available(key: str, value: object) -> bool:
    """Tell whether what this value of this key turns on is there."""
    return unavailable(key, value) is None
