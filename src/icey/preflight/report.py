"""The preflight report, in the shape of the HTTP API."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from icey.errors import PreflightError
from icey.preflight.access import access_warnings
from icey.preflight.finding import Finding, render
from icey.preflight.folders import web_root
from icey.preflight.source import describe_source

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from icey.config.model import Settings

PRODUCT = "icey"
SERVICE = "icey-server"


@dataclass(frozen=True)
class ConfigFacts:
    """The config file.

    Attributes:
        path: where it is, or would be.
        exists: whether it is there.
        error: why it is refused; empty where it is not.
        warnings: what the loader warned of.
    """

    path: Path | None
    exists: bool
    error: str = ""
    warnings: Sequence[str] = ()


@dataclass(frozen=True)
class Report:
    """The result of all checks, in order.

    Attributes:
        settings: what was checked; defaults where the configuration is refused.
        config: where the settings came from.
        findings: what each check found, by its name, in the order of the checks.
        http_port: the port listened on, or to be listened on.
    """

    settings: Settings
    config: ConfigFacts
    findings: dict[str, Finding]
    http_port: int

    @property
    def ready(self) -> bool:
        """Whether the server can run: no check failed."""
        return not self.failures

    @property
    def failures(self) -> list[str]:
        """The names of the checks that failed."""
        return [name for name, finding in self.findings.items() if finding.result == "fail"]

    @property
    def status(self) -> Literal["ok", "degraded", "error"]:
        """``error``: not ready; ``degraded``: ready, but a check warns; ``ok``: neither."""
        if self.failures:
            return "error"
        warns = any(finding.result == "warn" for finding in self.findings.values())
        return "degraded" if warns else "ok"

    @property
    def web_root(self) -> Path:
        """The folder of the web UI."""
        return web_root(self.settings)

    def checks(self, *, public: bool = True) -> list[dict[str, str]]:
        """Return the checks as the API shows them."""
        return [
            {
                "name": name,
                "result": finding.result,
                "detail": render(finding.detail, public=public),
            }
            for name, finding in self.findings.items()
        ]

    def warnings(self, *, public: bool = True) -> list[str]:
        """Return what the operator should know: of the configuration, then of the checks."""
        if self.config.error:
            return []  # the other checks could only say that there was nothing to check
        of_checks = [
            f"{name}: {render(finding.detail, public=public)}"
            for name, finding in self.findings.items()
            if finding.result == "warn" and name != "config"  # whose reasons these are already
        ]
        return [*self.config.warnings, *of_checks]

    def raise_unless_ready(self) -> None:
        """Refuse to go on where a check failed.

        Raises:
            PreflightError: names each failed check, why, and what to do; for the operator, so with
                whole paths.
        """
        if self.ready:
            return
        lines = [
            f"  {check['name']}: {check['detail']}"
            for check in self.checks(public=False)
            if check["result"] == "fail"
        ]
        raise PreflightError("\n".join(["cannot start:", *lines]), checks=self.failures)

    def to_json(self, *, public: bool = True) -> dict[str, Any]:
        """Return the report as plain values, keys in the order of the specification.

        Args:
            public: as the HTTP API shows it, with the names of files and folders; False is for the
                operator's own terminal, with whole paths. Neither shows a secret.
        """
        settings = self.settings
        tls = settings.tls

        def shown(path: Path | None) -> str:
            return "" if path is None else render((path,), public=public)

        config: dict[str, Any] = {
            "path": shown(self.config.path),
            "exists": self.config.exists,
            "valid": not self.config.error,
        }
        if self.config.error:
            config["error"] = render(self.findings["config"].detail, public=public)
        return {
            "product": PRODUCT,
            "service": SERVICE,
            "mode": settings.media.mode,
            "status": self.status,
            "ready": self.ready,
            "source": describe_source(settings.media, public=public),
            "http": {
                "host": settings.http.host,
                "port": self.http_port,
                "scheme": "https" if settings.tls_active else "http",
                "tls": settings.tls_active,
            },
            "turn": {
                "enabled": settings.turn.enabled,
                "port": settings.turn.port,
                "externalIp": settings.turn.external_ip,
                "localRelay": settings.turn.allow_local_relay,
            },
            "tls": {
                "configured": tls.cert is not None or tls.key is not None,
                "enabled": settings.tls_active and self.findings["tls"].result != "fail",
                "certFile": shown(tls.cert),
            },
            "web": {"root": shown(self.web_root)},
            "config": config,
            "checks": self.checks(public=public),
            "warnings": [*self.warnings(public=public), *access_warnings(settings)],
        }
