"""Config files on a disk."""

import os
from pathlib import Path

import pytest

from icey.config.document import MAX_BYTES, read
from icey.errors import ConfigError


def test_missing_file(tmp_path):
    """A file that is not there is None, and so is one below a file."""
    (tmp_path / "file").write_text("")
    assert read(tmp_path / "none.json") is None
    assert read(tmp_path / "file" / "none.json") is None


def test_file_that_is_too_large(tmp_path):
    """A file above the limit is refused without being read whole."""
    path = tmp_path / "c.json"
    with path.open("wb") as file:
        os.truncate(file.fileno(), MAX_BYTES + 1)
    with pytest.raises(ConfigError, match="larger than"):
        read(path)


def test_endless_file():
    """A file without an end is refused like one that is too large."""
    with pytest.raises(ConfigError, match="larger than"):
        read(Path("/dev/zero"))
