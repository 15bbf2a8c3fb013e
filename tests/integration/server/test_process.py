"""What the process asks of the system."""

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
    """Memory comes in small pages."""
    assert "THP_enabled:\t0" in told
