"""The check of everything that a start needs: ``--doctor``, ``/api/ready``, and every start."""

from icey.preflight.report import Report
from icey.preflight.run import run_preflight, run_without_settings
from icey.preflight.running import Running, SourceState

__all__ = ["Report", "Running", "SourceState", "run_preflight", "run_without_settings"]
