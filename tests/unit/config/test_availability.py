"""Features that this version lacks."""

import pytest

from icey.config.availability import UNAVAILABLE, available, unavailable
from icey.config.keys import keys


def test_rows_name_settings():
    """Each row names a setting that exists, and not its default unless that is off in effect."""
    names = {key.name: key.default for key in keys().values()}
    for feature in UNAVAILABLE:
        assert feature.key in names
    defaults_on = {f.key for f in UNAVAILABLE if names[f.key] == f.value}
    assert defaults_on == {"turn.enabled"}


@pytest.mark.parametrize(("key", "value"), [("media.mode", "stream"), ("turn.enabled", False)])
def test_what_is_there(key, value):
    """Other values of the same settings are available."""
    assert available(key, value)


def test_values_are_compared_with_their_type():
    """1 is not true: a wrong type is the model's to refuse."""
    assert unavailable("turn.enabled", True)
    assert unavailable("turn.enabled", 1) is None
