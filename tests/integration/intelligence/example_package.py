"""The packages of `examples/`, installed as any package is."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

EXAMPLES = Path(__file__).parents[3] / "examples"


def install(target: Path, workplace: Path, name: str = "icey-colour-blob") -> Path:
    """Have pip build and install it into a folder; nothing comes from the network."""
    source = workplace / name
    shutil.copytree(EXAMPLES / name, source)
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    command += ["--no-build-isolation", "--disable-pip-version-check"]
    command += ["--target", str(target), str(source)]
    subprocess.run(command, check=True, timeout=120)
    return target
