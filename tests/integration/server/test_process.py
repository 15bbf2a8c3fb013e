"""Descriptors and memory of the process."""

import ctypes
import subprocess
import sys

import pytest

ASK = """
import resource
from icey.server.process import raise_descriptor_limit, refuse_huge_pages
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
raise_descriptor_limit()
refuse_huge_pages()
print(resource.getrlimit(resource.RLIMIT_NOFILE)[0], hard)
print(open("/proc/self/status").read())
"""


@pytest.fixture(scope="module")
def told():
    """What a process of its own says after asking: it would be the tests' own process otherwise."""
    return subprocess.run(
        [sys.executable, "-c", ASK], capture_output=True, text=True, check=True, timeout=30
    ).stdout.splitlines()


def test_descriptor_limit(told):
    """The soft limit is raised to what the server wants, or to the hard one."""
    soft, hard = map(int, told[0].split())
    assert soft == (16_384 if hard < 0 else min(16_384, hard))


@pytest.mark.skipif(sys.platform != "linux", reason="huge pages are asked about on Linux only")
def test_huge_pages(told):
    """The process has transparent huge pages off."""
    assert "THP_enabled:\t0" in told


WRITE = """
import os, stat, sys
from pathlib import Path
from icey.server.process import create_files_with
create_files_with(int(sys.argv[1], 8))
Path(sys.argv[2], "made").mkdir()
Path(sys.argv[2], "made", "file").touch()
for path in ("made", "made/file"):
    print(oct(stat.S_IMODE(Path(sys.argv[2], path).stat().st_mode)))
"""


@pytest.mark.parametrize(
    ("mode", "folder", "file"),
    [("0640", "0o751", "0o640"), ("0600", "0o711", "0o600"), ("0666", "0o777", "0o666")],
)
def test_file_mode(tmp_path, mode, folder, file):
    """What the process creates has the mode, whatever umask it was started with."""
    told = subprocess.run(
        [sys.executable, "-c", WRITE, mode, tmp_path],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
        umask=0o077,
    )
    assert told.stdout.split() == [folder, file]


ROOM = """
import logging, resource, sys
from icey.server.process import room_for_connections
logging.basicConfig(stream=sys.stdout, format="%(message)s")
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[1]), hard))
print(room_for_connections(int(sys.argv[2])))
"""


@pytest.mark.parametrize(
    ("descriptors", "wanted", "room", "warned"),
    [
        (1024, 4096, 384, True),
        (10_000, 4096, 4096, False),
        (1024, 0, 384, False),
        (64, 100, 24, True),
    ],
)
def test_connections_leave_descriptors_for_files(descriptors, wanted, room, warned):
    """Connections get no more than half of the descriptors beyond a reserve, and it is said."""
    told = subprocess.check_output(
        [sys.executable, "-c", ROOM, str(descriptors), str(wanted)], text=True, timeout=30
    )
    assert int(told.splitlines()[-1]) == room
    assert ("raise the limit" in told) is warned


KEEP = """
import ctypes, gc, sys
import psutil
if sys.argv[1] == "given back":
    from icey.server.process import give_back_large_buffers
    give_back_large_buffers()
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
libc.free.argtypes = [ctypes.c_void_p]
libc.free(libc.malloc(24 << 20))  # from this, glibc learns
before = psutil.Process().memory_info().rss
large, pins = [], []
for _ in range(20):
    large.append(libc.malloc(2 << 20))
    ctypes.memset(large[-1], 1, 2 << 20)
    pins.append(libc.malloc(2000))  # what stays, between what goes
for buffer in large:
    libc.free(buffer)
print(psutil.Process().memory_info().rss - before)
"""


@pytest.mark.skipif(
    not hasattr(ctypes.CDLL(None), "mallopt"), reason="this C library has no mallopt"
)
def test_large_buffers_are_given_back():
    """Freed large buffers go back to the system, which they do not without the call."""
    stays, given_back = (
        int(subprocess.check_output([sys.executable, "-c", KEEP, how], text=True, timeout=30))
        for how in ("stays", "given back")
    )
    assert given_back < 4 << 20
    assert stays > 8 << 20, "this C library needs no asking: the setting can go"
