"""Runs the checks: concurrently where they wait, reported in their fixed order."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeAlias

from icey.config.model import Settings
from icey.preflight.certificate import check_tls
from icey.preflight.finding import Detail, Finding, failed, passed, warned
from icey.preflight.folders import check_record_dir, check_web_root
from icey.preflight.intelligence import check_intelligence
from icey.preflight.network import check_ports
from icey.preflight.report import ConfigFacts, Report
from icey.preflight.software import check_ffmpeg, check_openssl, load_ffmpeg
from icey.preflight.source import check_source
from icey.preflight.turn import check_turn

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from icey.config.load import Loaded
    from icey.errors import ConfigError
    from icey.preflight.running import Running

log = logging.getLogger(__name__)

_Check: TypeAlias = "Callable[[Settings, Running | None], Finding]"

CHECKS: dict[str, _Check] = {
    "openssl": lambda _settings, _running: check_openssl(),
    "ffmpeg": lambda _settings, _running: check_ffmpeg(),
    "web_root": lambda settings, _running: check_web_root(settings),
    "ports": check_ports,
    "source": check_source,
    "record_dir": check_record_dir,
    "tls": lambda settings, _running: check_tls(settings),
    "turn": check_turn,
    "intelligence": lambda settings, _running: check_intelligence(settings),
}
"""Every check in the order of the report; ``config`` comes before them."""

_NEED_NO_SETTINGS = frozenset({"openssl", "ffmpeg"})
_WORKERS = 4


def run_preflight(loaded: Loaded, *, running: Running | None = None) -> Report:
    """Run every check. Blocks: call it in a thread.

    Args:
        loaded: the settings.
        running: what the server that asks holds already; None before it holds anything.
    """
    settings = loaded.settings
    if loaded.warnings:
        config = warned(f"{len(loaded.warnings)} warning(s): {'; '.join(loaded.warnings)}")
    elif loaded.exists and loaded.path is not None:
        config = passed("read ", loaded.path)
    else:
        config = passed("no config file; defaults, environment and flags")
    load_ffmpeg()
    with ThreadPoolExecutor(_WORKERS, thread_name_prefix="icey-preflight") as pool:
        futures = {
            name: pool.submit(_guard, name, check, settings, running)
            for name, check in CHECKS.items()
            if name != "turn"
        }
        # Both bind the ports of TURN, so one after the other.
        futures["ports"].result()
        futures["turn"] = pool.submit(_guard, "turn", CHECKS["turn"], settings, running)
        findings = {name: futures[name].result() for name in CHECKS}
    port = running.http_port if running is not None else None
    return Report(
        settings=settings,
        config=ConfigFacts(loaded.path, loaded.exists, warnings=loaded.warnings),
        findings={"config": config, **findings},
        http_port=settings.http.port if port is None else port,
    )


def run_without_settings(error: ConfigError, path: Path) -> Report:
    """Report a configuration that is refused: run only the checks that depend on no setting.

    Args:
        error: why it is refused.
        path: the config file that was read or looked for.
    """
    settings = Settings()
    findings = {
        name: _guard(name, check, settings, None)
        if name in _NEED_NO_SETTINGS
        else warned("not checked, because the configuration is refused")
        for name, check in CHECKS.items()
    }
    return Report(
        settings=settings,
        config=ConfigFacts(path, path.exists(), str(error)),
        findings={"config": failed(*_with_path(str(error), path)), **findings},
        http_port=settings.http.port,
    )


def _with_path(text: str, path: Path) -> Detail:
    """Return a message as a `Detail`, the config file's path a part of its own."""
    parts: list[str | Path] = []
    for piece in text.split(str(path)):
        parts += [piece, path]
    return tuple(parts[:-1])


def _guard(name: str, check: _Check, settings: Settings, running: Running | None) -> Finding:
    """Run one check; an exception in it fails the check, with the traceback in the log."""
    try:
        return check(settings, running)
    except Exception as error:
        log.exception("the check %s broke", name)
        return failed(
            f"the check itself broke ({type(error).__name__}): see the log, and report it"
        )
