"""Branches: bounded, never in the way, off after repeated failures."""

import logging
import threading
import time

import pytest

from icey.intelligence.branch import MAX_FAILURES, Branch
from icey.intelligence.sampler import Sampler


@pytest.fixture
def branches():
    """Makes branches, and ends them."""
    made = []

    def make(handle, emit=lambda _: None, **options):
        branch = Branch("test", handle, emit, **{"depth": 8, **options})
        made.append(branch)
        return branch

    yield make
    for branch in made:
        branch.stop()
    assert all(branch.join(5) for branch in made)


def until(condition):
    """Wait for a condition, at most five seconds."""
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def test_samples_are_handled_in_order(branches):
    """What is offered is handled in its order, and what comes out is emitted."""
    heard = []
    branch = branches(lambda sample: [sample * 10, sample * 10 + 1], heard.append)
    for sample in range(1, 4):
        branch.offer(sample, 0)
    until(lambda: branch.status.processed == 3)
    assert heard == [10, 11, 20, 21, 30, 31]
    assert (branch.status.seen, branch.status.sampled, branch.status.emitted) == (3, 3, 6)


def test_the_oldest_gives_way(branches):
    """While a detector is slow the oldest samples are dropped and counted, the newest stay."""
    gate, handled = threading.Event(), []

    def slow(sample):
        assert gate.wait(5)
        handled.append(sample)
        return []

    branch = branches(slow, depth=3)
    branch.offer(0, 0)
    until(lambda: not branch.waiting)
    for sample in range(1, 11):
        branch.offer(sample, 0)
    assert (branch.waiting, branch.status.dropped) == (3, 7)
    gate.set()
    until(lambda: branch.status.processed == 4)
    assert handled == [0, 8, 9, 10]


def test_offering_does_not_wait(branches):
    """Offering to a detector that sleeps takes no time to speak of."""
    gate = threading.Event()

    def slow(_):
        gate.wait(5)
        return []

    branch = branches(slow, depth=2)
    began = time.perf_counter()
    for sample in range(10_000):
        branch.offer(sample, 0)
    spent = time.perf_counter() - began
    gate.set()
    assert branch.status.sampled == 10_000
    assert spent < 2  # 3 s would be 0.3 ms each; a few µs are usual


def test_the_sampler_chooses(branches):
    """Only what the sampler chooses is handled; all is counted as seen."""
    handled = []
    branch = branches(lambda s: handled.append(s) or [], sampler=Sampler(3, 0))
    for sample in range(7):
        branch.offer(sample, sample)
    until(lambda: branch.status.processed == 3)
    assert handled == [0, 3, 6]
    assert (branch.status.seen, branch.status.sampled) == (7, 3)


@pytest.mark.parametrize("error", [ValueError("no good"), KeyError(), SystemExit(3)])
def test_switched_off_after_failures_in_a_row(branches, caplog, error):
    """A detector that keeps failing is switched off, with a warning that says why."""

    def fail(_):
        raise error

    branch = branches(fail)
    with caplog.at_level(logging.WARNING):
        for sample in range(MAX_FAILURES):
            branch.offer(sample, 0)
            until(lambda count=sample: branch.status.failed == count + 1)
    until(lambda: branch.status.off)
    name = type(error).__name__
    assert branch.status.off == (
        f"switched off after {MAX_FAILURES} failures in a row ({name}): see the log"
    )
    assert "test is switched off" in caplog.text
    branch.offer(99, 0)
    assert (branch.status.sampled, branch.waiting) == (MAX_FAILURES, 0)


def test_a_success_forgives(branches):
    """Failures that are not in a row switch nothing off."""

    def moody(sample):
        if sample % MAX_FAILURES:
            raise ValueError(sample)
        return []

    branch = branches(moody)
    for sample in range(1, 4 * MAX_FAILURES):
        branch.offer(sample, 0)
        until(lambda: branch.status.failed + branch.status.processed == branch.status.sampled)
    assert branch.status.off == ""
    assert branch.status.failed == 4 * (MAX_FAILURES - 1)


def test_what_is_wrong_with_an_output_counts_as_a_failure(branches):
    """A generator that breaks off has failed, and what it gave before was emitted."""
    heard = []

    def half(sample):
        yield sample
        raise ValueError

    branch = branches(half, heard.append)
    branch.offer(1, 0)
    until(lambda: branch.status.failed == 1)
    assert heard == [1]


def test_stop_while_it_works(branches):
    """Stopping returns at once and forgets what waits; the thread ends when the handler does."""
    gate, heard = threading.Event(), []
    branch = branches(lambda s: [s] if gate.wait(5) else [], heard.append)
    for sample in range(3):
        branch.offer(sample, 0)
    until(lambda: branch.waiting == 2)
    branch.stop()
    assert branch.waiting == 0
    assert not branch.join(0.01)
    branch.offer(4, 0)
    assert branch.waiting == 0
    gate.set()
    assert branch.join(5)
    assert heard == []
