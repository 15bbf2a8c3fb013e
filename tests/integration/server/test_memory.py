"""The real process gives memory back."""

import sys

import pytest

from icey.server.memory import open_trimmer


@pytest.mark.skipif(sys.platform != "linux", reason="only glibc keeps what is freed")
def test_this_process_is_measured():
    """What is in memory grows with what is used, and is told in bytes."""
    trimmer = open_trimmer()
    assert trimmer is not None
    before = trimmer._look()
    block = bytearray(64 << 20)
    block[::4096] = b"x" * len(block[::4096])
    after = trimmer._look()
    assert after.resident - before.resident > 48 << 20
    assert abs(after.slack - before.slack) < 16 << 20
    trimmer._trim()
