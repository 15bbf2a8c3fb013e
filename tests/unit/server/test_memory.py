"""Memory that was freed is given back, and not for little."""

from icey.server.memory import WORTH_BYTES, Memory, Trimmer

MIB = 1 << 20


class Process:
    """A process whose memory the test plays."""

    def __init__(self):
        self.resident, self.in_use = 100 * MIB, 20 * MIB
        self.kept = 0
        self.trimmer = Trimmer(lambda: Memory(self.resident, self.in_use), self.trim)

    def use(self, count):
        self.resident += count
        self.in_use += count

    def free(self, count):
        """Free it, and let the C library keep it."""
        self.in_use -= count
        self.kept += count

    def trim(self):
        self.resident -= self.kept
        self.kept = 0


def test_a_storm_that_is_over_leaves_nothing():
    """While more is freed it waits; then all goes back, once."""
    process = Process()
    process.trimmer.step_blocking()
    process.use(600 * MIB)
    process.trimmer.step_blocking()
    process.free(300 * MIB)
    process.trimmer.step_blocking()
    process.free(300 * MIB)
    process.trimmer.step_blocking()
    assert process.trimmer.trims == 0
    process.trimmer.step_blocking()
    assert process.resident == 100 * MIB
    for _ in range(5):
        process.trimmer.step_blocking()
    assert process.trimmer.trims == 1


def test_what_is_in_use_is_left_alone():
    """Growth that is in use, and a little that is free, are no reason."""
    process = Process()
    for _ in range(5):
        process.use(50 * MIB)
        process.trimmer.step_blocking()
        process.trimmer.step_blocking()
    process.free(WORTH_BYTES // 2)
    process.trimmer.step_blocking()
    process.trimmer.step_blocking()
    assert process.trimmer.trims == 0


def test_garbage_is_looked_for_once_after_growth():
    """A storm is followed by a collection; what stays resident afterwards causes no second one."""
    resident, collections = [100 * MIB], []

    def collect():
        collections.append(resident[0])
        resident[0] -= 20 * MIB

    trimmer = Trimmer(lambda: Memory(resident[0], resident[0]), lambda: None, collect)
    for _ in range(10):
        trimmer.step_blocking()
    assert collections == []
    resident[0] = 160 * MIB
    for _ in range(50):
        trimmer.step_blocking()
    assert collections == [160 * MIB]
    resident[0] = 200 * MIB
    for _ in range(50):
        trimmer.step_blocking()
    assert collections == [160 * MIB, 200 * MIB]
