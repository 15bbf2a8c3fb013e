"""Prints the report as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from icey.config.exposure import access_warnings
from icey.preflight.finding import render

if TYPE_CHECKING:
    from icey.preflight.report import Report

_STYLES = {"pass": "green", "warn": "yellow", "fail": "bold red"}


def print_table(report: Report, console: Console | None = None) -> None:
    """Print the checks, one a row, and whether the server is ready.

    Args:
        report: what to print.
        console: where to; stderr by default.
    """
    console = console or Console(stderr=True)
    table = Table("check", "result", "detail", title="icey-server preflight")
    for name, finding in report.findings.items():
        # Text, not markup: a detail may hold brackets of its own.
        detail = Text(render(finding.detail, public=False))
        table.add_row(name, Text(finding.result, _STYLES[finding.result]), detail)
    console.print(table)
    for warning in access_warnings(report.settings):
        console.print(Text(warning, _STYLES["warn"]))
    if report.ready:
        console.print(Text("ready", _STYLES["pass"]))
    else:
        console.print(Text(f"not ready: {', '.join(report.failures)}", _STYLES["fail"]))
