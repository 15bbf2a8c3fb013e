"""A file that cannot be finished is tried again, and given up in the end."""

import errno
import os
from pathlib import Path

import pytest

from icey.errors import RecordingError
from icey.storage.closing import PAUSES_S, Closing, Delayed, Lost, Saved
from icey.storage.take import FinishedFile, Take

FILE = FinishedFile("a.mp4", 2.0)
SAVED = FinishedFile("a.recovered.mp4", 1.0)


class PlayedTake(Take):
    """A take that fails as the test wants."""

    name, part = "a.mp4", Path("a.mp4.part")

    def __init__(self, *failures, is_whole=True, rescue=SAVED):  # no file is made
        self.failures, self.is_whole, self.saved = list(failures), is_whole, rescue
        self.tries, self.released = 0, False

    def finish(self, *, quickly=False):
        self.tries += 1
        if self.failures:
            raise self.failures.pop(0)
        return FILE

    def rescue(self):
        if isinstance(self.saved, Exception):
            raise self.saved
        return self.saved

    def release(self):
        self.released = True


def failure(number):
    return OSError(number, os.strerror(number))


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENOSPC])
def test_what_passes_is_waited_for(number):
    """Without descriptors or room for a moment, the file is finished at a later try, and told."""
    told = []
    closing = Closing(told.append)
    closing.finish(PlayedTake(failure(number), failure(number)), 100.0)
    [delayed] = told
    assert isinstance(delayed, Delayed)
    assert closing.due == 100.0 + PAUSES_S[0]
    closing.step(100.1)
    closing.step(100.5)
    assert closing.due == 100.5 + PAUSES_S[1]
    closing.step(101.5)
    assert told == [delayed, FILE]
    assert closing.due is None


def test_what_does_not_pass_is_saved_and_told():
    """The end is not bounded by hope: after the last try the file is saved as it is."""
    told, now = [], 0.0
    closing = Closing(told.append)
    take = PlayedTake(*[failure(errno.EMFILE)] * 99)
    closing.finish(take, now)
    while closing.due is not None:
        now = closing.due
        closing.step(now)
    assert isinstance(told[-1], Saved)
    assert told[-1].file == SAVED
    assert take.tries == 1 + len(PAUSES_S)
    assert now == sum(PAUSES_S) < 60


def test_what_cannot_even_be_saved_is_lost():
    """A file that is given up is unlocked for a repair, and its caller hears why."""
    told, now = [], 0.0
    closing = Closing(told.append)
    take = PlayedTake(*[failure(errno.EMFILE)] * 99, rescue=failure(errno.EMFILE))
    closing.finish(take, now)
    while closing.due is not None:
        now = closing.due
        closing.step(now)
    assert isinstance(told[-1], Lost)
    assert "Too many open files" in told[-1].reason
    assert take.released


@pytest.mark.parametrize("error", [failure(errno.EIO), RecordingError("FFmpeg refuses")])
def test_a_broken_file_is_saved_at_once(error):
    """Another try makes no broken file whole."""
    told = []
    Closing(told.append).finish(PlayedTake(error, is_whole=False), 0.0)
    [saved] = told
    assert isinstance(saved, Saved)
    assert saved.file == SAVED
