"""The shape of the code: who may import whom, how long a file may be, where a test lives."""

import ast
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "icey"

# cli → server → sessions → {recording, intelligence} → storage → media → {config, errors};
# what each may import of icey.
MAY_IMPORT = {
    "__init__": set(),
    "backoff": set(),
    "errors": set(),
    "network": set(),
    "quota": set(),
    "refusals": set(),
    "version": set(),
    "_core": {"errors"},
    "config": {"errors"},
    "media": {"_core", "backoff", "quota", "config", "errors"},
    "storage": {"media", "config", "errors"},
    "recording": {"_core", "storage", "media", "config", "errors"},
    "intelligence": {"storage", "media", "config", "errors"},
    "signalling": {"config", "errors", "quota"},
    "turn": {"_core", "config", "errors"},
    "web": set(),
    "preflight": {"_core", "intelligence", "media", "turn", "config", "errors"},
    "sessions": {
        "_core",
        "quota",
        "refusals",
        "backoff",
        "turn",
        "intelligence",
        "media",
        "recording",
        "storage",
        "signalling",
        "config",
        "errors",
    },
    "server": {
        "_core",
        "network",
        "quota",
        "refusals",
        "backoff",
        "sessions",
        "turn",
        "intelligence",
        "recording",
        "preflight",
        "signalling",
        "web",
        "config",
        "errors",
        "version",
    },
    "cli": {"server", "preflight", "config", "errors", "version"},
    "__main__": {"cli"},
}

# Pure logic: no event loop, no socket, no FFmpeg.
PURE = (
    "config/model.py",
    "signalling/",
    "sessions/adaptation.py",
    "intelligence/detector.py",
    "intelligence/motion.py",
    "intelligence/preroll.py",
    "intelligence/sampler.py",
    "intelligence/speech.py",
    "media/timebase.py",
    "storage/continuity.py",
    "storage/paths.py",
    "storage/retention.py",
    "recording/timeline.py",
    "turn/credentials.py",
)
IMPURE_MODULES = {"asyncio", "socket", "av", "threading", "time"}


def tracked(*patterns: str) -> list[Path]:
    """Files that git knows, or would with the next commit."""
    listing = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", *patterns],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return [path for line in listing.splitlines() if (path := ROOT / line).exists()]


def part_of(path: Path) -> str:
    """The first folder or module below ``icey``."""
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def imports(path: Path, *, at_start_only: bool = False) -> set[str]:
    """Every module that a file imports, in dotted form; what only type checkers see counts too."""
    found = set()
    tree = ast.parse(path.read_text())
    for node in tree.body if at_start_only else ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            found |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
        elif isinstance(node, ast.ImportFrom) and node.level:
            pytest.fail(f"{path.relative_to(ROOT)}: relative imports hide the direction")
    return found


@pytest.mark.parametrize(
    "path", sorted(SOURCE.rglob("*.py")), ids=lambda p: str(p.relative_to(SOURCE))
)
def test_imports_go_one_way(path):
    """A part of icey imports only what lies below it."""
    part = part_of(path)
    assert part in MAY_IMPORT, f"say in MAY_IMPORT where '{part}' stands"
    used = {name.split(".")[1] for name in imports(path) if name.startswith("icey.")}
    wrong = {name for name in used - {part} if name in MAY_IMPORT} - MAY_IMPORT[part]
    assert not wrong, f"{path.relative_to(ROOT)} imports {', '.join(sorted(wrong))}"


def test_pure_modules_have_no_input_or_output():
    """What is meant to be pure imports no loop, no socket, no clock and no FFmpeg."""
    for path in SOURCE.rglob("*.py"):
        name = str(path.relative_to(SOURCE))
        if name.startswith(PURE):
            tops = {module.split(".")[0] for module in imports(path)}
            assert not tops & IMPURE_MODULES, f"{name} imports {tops & IMPURE_MODULES}"


# One responsibility each, with more to it than 500 lines say. A split by length alone is worse.
MAY_BE_LONG = {
    "rust/engine/src/core/connection.rs": 750,
    "rust/engine/src/core/mod.rs": 600,
    "rust/engine/src/core/viewer.rs": 555,
}


def test_files_are_short():
    """A source file above 500 lines is two files."""
    long = {
        str(path.relative_to(ROOT)): lines
        for path in tracked("*.py", "*.rs", "*.js", "*.css", "*.html")
        if (lines := len(path.read_text().splitlines()))
        > MAY_BE_LONG.get(str(path.relative_to(ROOT)), 500)
    }
    assert not long


def test_no_grab_bags():
    """No folder and no module is called after nothing."""
    grab_bags = {"utils", "util", "misc", "common", "helpers", "helper", "shared", "lib"}
    named = [
        path
        for path in tracked("src", "rust", "tests", "bench")
        if path.suffix in {".py", ".js", ".rs"}
    ]
    bad = [p for p in named if (set(p.parent.relative_to(ROOT).parts) | {p.stem}) & grab_bags]
    assert [p for p in bad if p.name != "lib.rs"] == []


def test_tests_mirror_sources():
    """The path of a unit or integration test names the source that it tests."""
    for kind in ("unit", "integration"):
        base = ROOT / "tests" / kind
        for path in base.rglob("test_*.py"):
            place = path.parent.relative_to(base) / path.stem.removeprefix("test_")
            candidates = [
                SOURCE / f"{place}.py",
                SOURCE / place,
                SOURCE / f"{place}.pyi",
                SOURCE / f"_{place}.pyi",
            ]
            # A test may look at one side of a source: test_hub_limits.py belongs to hub.py.
            stem = place.name
            while "_" in stem:
                stem = stem.rpartition("_")[0]
                candidates.append(SOURCE / place.parent / f"{stem}.py")
                candidates.append(SOURCE / place.parent / stem)
                candidates.append(SOURCE / place.parent / f"_{stem}.pyi")
            # test_docs.py in a folder is about the documents of that folder's part.
            if stem == "docs":
                continue
            assert any(c.exists() for c in candidates), f"{path.relative_to(ROOT)} mirrors nothing"


def test_each_test_says_what_holds():
    """Each test has a docstring."""
    silent = [
        f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"
        for path in tracked("tests/*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("test_")
        and not ast.get_docstring(node)
    ]
    assert silent == []


def test_continuous_integration_runs_the_readme():
    """The README's test command is what `.ci/run` runs."""
    assert "make test" in (ROOT / "README.md").read_text()
    assert (ROOT / ".ci" / "run").read_text().rstrip().endswith("exec make test")
