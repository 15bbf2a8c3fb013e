"""The report as a table."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from icey.config.model import Settings
from icey.preflight.finding import failed, passed, warned
from icey.preflight.report import ConfigFacts, Report
from icey.preflight.table import print_table


@pytest.fixture
def printed():
    """Print a report of these findings, 100 columns wide."""

    def run(findings):
        report = Report(
            settings=Settings(),
            config=ConfigFacts(None, exists=False),
            findings=findings,
            http_port=4500,
        )
        out = io.StringIO()
        print_table(report, Console(file=out, width=100))
        return out.getvalue()

    return run


def test_rows(printed):
    """Each check is a row with result and detail; brackets in it are no markup."""
    text = printed({"config": passed("read [bold]it"), "turn": warned("is off")})
    rows = [line for line in text.splitlines() if "config" in line or "turn" in line]
    assert "pass" in rows[0]
    assert "[bold]it" in rows[0]
    assert "warn" in rows[1]
    assert text.splitlines()[-1] == "ready"


def test_verdict(printed):
    """The last line names the failed checks."""
    text = printed({"ports": failed("taken"), "tls": failed("expired")})
    assert text.splitlines()[-1] == "not ready: ports, tls"


def test_whole_paths(printed):
    """The table has whole paths."""
    assert "/a/b" in printed({"source": passed(Path("/a/b"))})
