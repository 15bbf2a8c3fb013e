"""The example detector of `examples/`, installed as any package is."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

EXAMPLE = Path(__file__).parents[3] / "examples" / "icey-colour-blob"


def install(target: Path, workplace: Path) -> Path:
    """Have pip build and install it into a folder; nothing comes from the network."""
    source = workplace / "icey-colour-blob"
    shutil.copytree(EXAMPLE, source)
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    command += ["--no-build-isolation", "--disable-pip-version-check"]
    command += ["--target", str(target), str(source)]
    subprocess.run(command, check=True, timeout=120)
    return target
