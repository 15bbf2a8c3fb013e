"""The shape of the Rust code: no circle between files, and who may name what."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

RUST = Path(__file__).parents[2] / "rust"
CRATES = sorted(path.parent for path in RUST.glob("*/Cargo.toml"))

# Protocol as a state machine: datagrams and `now` are handed in, so that tests simulate both.
SANS_IO = (RUST / "turn" / "src", RUST / "engine" / "src" / "core")
IO = re.compile(
    r"\b(UdpSocket|TcpListener|TcpStream|Unix(?:Datagram|Stream|Listener)|icey_udp|libc"
    r"|thread::spawn|Instant::now|SystemTime::now|elapsed\(\))"
)

COMMENTS = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
STRINGS = re.compile(r'b?r?"(?:\\.|[^"\\])*"', re.DOTALL)
TEST_MODULE = re.compile(r"#\[cfg\(test\)\]\s*(?:#\[[^\]]*\]\s*)*mod \w+\s*([{;])")
USE = re.compile(r"\buse\s+([^;]+);")
MODULE = re.compile(r"\bmod (\w+);")
PATH = re.compile(r"\b(?:crate|super|self)(?:::\w+)+")


def without_tests(code: str) -> str:
    """Leave out the modules of tests, up to the brace that ends each."""
    while found := TEST_MODULE.search(code):
        end = found.end()
        depth = 1 if found[1] == "{" else 0
        while depth:
            depth += {"{": 1, "}": -1}.get(code[end], 0)
            end += 1
        code = code[: found.start()] + code[end:]
    return code


def code_of(path: Path) -> str:
    """Read what a file says to the compiler, without its tests."""
    code = COMMENTS.sub("", path.read_text())
    code = STRINGS.sub('""', code)
    code = re.sub(r"b?'(?:\\.|[^'\\])'", "' '", code)
    return without_tests(code)


def sources(folder: Path) -> list[Path]:
    """Find the files below a folder that are no tests."""
    return sorted(p for p in folder.rglob("*.rs") if not p.stem.endswith("_tests"))


def expand(tree: str) -> list[str]:
    """Write out the paths of a `use` tree: ``a::{b, c::d}`` names ``a::b`` and ``a::c::d``."""
    tree = re.sub(r"\s+as\s+\w+", "", tree)
    tree = re.sub(r"\s+", "", tree)
    brace = tree.find("{")
    if brace < 0:
        return [tree]
    prefix, inner = tree[:brace], tree[brace + 1 : tree.rindex("}")]
    parts, depth, start = [], 0, 0
    for at, char in enumerate(inner):
        depth += {"{": 1, "}": -1}.get(char, 0)
        if char == "," and not depth:
            parts.append(inner[start:at])
            start = at + 1
    parts.append(inner[start:])
    return [prefix + path for part in parts if part for path in expand(part)]


class Crate:
    """The modules of a crate, and which file names which."""

    def __init__(self, source: Path) -> None:
        self.files: dict[tuple[str, ...], Path] = {}
        for path in sources(source):
            parts = path.relative_to(source).with_suffix("").parts
            if parts[-1] in ("mod", "lib", "main"):
                parts = parts[:-1]
            self.files[parts] = path

    def named_by(self, module: tuple[str, ...]) -> set[tuple[str, ...]]:
        """Find the modules whose file this one names."""
        code = code_of(self.files[module])
        paths = [path for tree in USE.findall(code) for path in expand(tree)]
        paths += PATH.findall(USE.sub("", code))
        named = {target for path in paths if (target := self.resolve(module, path)) is not None}
        named |= {(*module, name) for name in MODULE.findall(code)}
        return (named & self.files.keys()) - {module}

    def resolve(self, module: tuple[str, ...], path: str) -> tuple[str, ...] | None:
        """Follow a path to the module that it leads into."""
        head, *rest = path.split("::")
        if head == "crate":
            at: tuple[str, ...] = ()
        elif head == "self":
            at = module
        elif head == "super":
            at = module[:-1]
            while rest and rest[0] == "super":
                at, rest = at[:-1], rest[1:]
        elif (*module, head) in self.files:
            at = (*module, head)
        else:
            return None
        for name in rest:
            if (*at, name) not in self.files:
                break
            at = (*at, name)
        return at


def circles(crate: Crate) -> list[list[str]]:
    """Find the groups of files that name each other, directly or by others (Tarjan)."""
    named = {module: crate.named_by(module) for module in crate.files}
    order: dict[tuple[str, ...], int] = {}
    low: dict[tuple[str, ...], int] = {}
    stack: list[tuple[str, ...]] = []
    found = []

    def visit(module: tuple[str, ...]) -> None:
        order[module] = low[module] = len(order)
        stack.append(module)
        for other in named[module]:
            if other not in order:
                visit(other)
                low[module] = min(low[module], low[other])
            elif other in stack:
                low[module] = min(low[module], order[other])
        if low[module] == order[module]:
            group = stack[stack.index(module) :]
            del stack[stack.index(module) :]
            if len(group) > 1:
                found.append(sorted("::".join(("crate", *name)) for name in group))

    for module in named:
        if module not in order:
            visit(module)
    return found


@pytest.mark.parametrize("crate", CRATES, ids=lambda path: path.name)
def test_no_circle_between_files(crate):
    """Of two files of a crate at most one names the other, directly or by others."""
    assert circles(Crate(crate / "src")) == []


def test_circles_are_found(tmp_path):
    """A parent that names its child, and a child that names what its parent has, are a circle."""
    (tmp_path / "lib.rs").write_text("mod a;\nmod b;\n")
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "mod.rs").write_text("mod c;\npub struct Thing;\n")
    (tmp_path / "a" / "c.rs").write_text("use crate::{a::Thing, b};\n")
    (tmp_path / "b.rs").write_text("#[cfg(test)]\nmod tests { use crate::a::Thing; }\n")
    assert circles(Crate(tmp_path)) == [["crate::a", "crate::a::c"]]
    (tmp_path / "a" / "c.rs").write_text("// use super::Thing;\nuse crate::b;\n")
    assert circles(Crate(tmp_path)) == []


def test_the_core_names_no_io():
    """The core of the engine knows nothing of what drives it."""
    crate = Crate(RUST / "engine" / "src")
    wrong = {
        "::".join(module)
        for module in crate.files
        if module[:1] == ("core",) and any(name[:1] == ("io",) for name in crate.named_by(module))
    }
    assert not wrong


@pytest.mark.parametrize("folder", SANS_IO, ids=lambda path: str(path.relative_to(RUST)))
def test_protocols_have_no_socket_and_no_clock(folder):
    """What is sans-IO opens nothing and reads no clock."""
    wrong = {
        str(path.relative_to(RUST)): sorted(set(IO.findall(code)))
        for path in sources(folder)
        if IO.search(code := code_of(path))
    }
    assert not wrong


def test_only_the_border_knows_python():
    """Only `rust/python` names PyO3."""
    named = [
        str(path.relative_to(RUST))
        for path in [*RUST.rglob("*.rs"), *RUST.glob("*/Cargo.toml")]
        if RUST / "python" not in path.parents and re.search(r"\bpyo3\b", path.read_text())
    ]
    assert not named
