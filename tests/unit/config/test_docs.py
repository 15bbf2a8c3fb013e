"""docs/configuration.md is true: it has every setting, variable and flag, and no other."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from icey import cli
from icey.config.bindings import CONFIG_ENVIRONMENT
from icey.config.document import parse
from icey.config.keys import bound, keys
from icey.config.load import load

DOCUMENT = Path(__file__).parents[3] / "docs" / "configuration.md"
TEXT = DOCUMENT.read_text()
HEADER = "| key | default | allowed | environment | flag | meaning |"
# Defaults that a model cannot hold: they follow from other settings or from where one stands.
DERIVED = {
    "media.recordDir": "`./recordings`",
    "media.intelligence.vision.snapshots.dir": "`<recordDir>/snapshots`",
    "media.intelligence.vision.clips.dir": "`<recordDir>/clips`",
}


def rows():
    """The rows of all tables of settings, by key; the log level has none and goes by its flag."""
    found = {}
    in_table = False
    for line in TEXT.splitlines():
        if line == HEADER:
            in_table = True
        elif not line.startswith("|"):
            in_table = False
        elif in_table and not line.startswith("|---"):
            cells = [cell.strip() for cell in line.strip("|").split(" | ")]
            assert len(cells) == 6, line
            name = cells[0].strip("`") if cells[0] != "–" else "logLevel"
            assert name not in found, f"{name} is documented twice"
            found[name] = cells
    return found


ROWS = rows()


def default_of(key):
    """The default as the document writes it."""
    if key.name in DERIVED:
        return DERIVED[key.name]
    value = key.default
    if hasattr(value, "get_secret_value"):
        value = value.get_secret_value()
    if value is None or value == "":
        return "empty"
    text = value if isinstance(value, str) else json.dumps(value)
    return f"`{text}`"


def test_every_setting_has_a_row_and_every_row_a_setting():
    """Every setting has a row, and every row is of a setting."""
    assert set(ROWS) == {key.name for key in keys().values()}


@pytest.mark.parametrize("key", keys().values(), ids=lambda key: key.name)
def test_facts_of_a_row(key):
    """Default, allowed values, variable and flags of a row are those of the model."""
    _, default, allowed, environment, flag, meaning = ROWS[key.name]
    binding = key.binding
    flags = [f for f in (binding.flag, binding.off_flag) if f] if binding else []
    assert default == default_of(key)
    assert allowed == key.allowed
    assert environment == (f"`{binding.environment}`" if binding else "–")
    assert flag == (", ".join(f"`{f}`" for f in flags) or "–")
    assert meaning.endswith(".")


def test_tables_are_written_from_the_model():
    """The tables are what docs/tables.py writes from the model."""
    subprocess.run([sys.executable, DOCUMENT.parent / "tables.py", "--check"], check=True)


def test_variables():
    """Every variable is documented, and every documented one exists."""
    known = {binding.environment for _, binding in bound()} | {CONFIG_ENVIRONMENT}
    assert set(re.findall(r"ICEY_[A-Z_]+", TEXT)) == known


def test_flags(capsys):
    """Every flag is documented and in the help, and every documented one exists."""
    with pytest.raises(SystemExit):
        cli.parse(["--help"])
    pattern = r"(?<![\w-])--?[a-z][a-z-]*(?![\w-])"
    in_help = set(re.findall(pattern, capsys.readouterr().out))
    code = " ".join(re.findall(r"`([^`\n]+)`", TEXT))
    assert set(re.findall(pattern, code)) == in_help


def test_level_of_the_log_has_no_key():
    """The log level, which has no key in the document, is the one setting that no file may hold."""
    assert [key.name for key in keys().values() if not key.in_file] == ["logLevel"]
    assert ROWS["logLevel"][0] == "–"


def test_exit_codes():
    """The five exit codes are documented."""
    table = TEXT.partition("## Exit codes")[2]
    assert re.findall(r"^\| (\d) \|", table, re.MULTILINE) == ["0", "1", "2", "3", "4"]


def test_example_is_accepted(tmp_path):
    """The example file of the document is one that the loader takes, without a warning."""
    example = re.search(r"```json\n(.*?)```", TEXT, re.DOTALL)[1]
    parse(example.encode(), Path("config.json"))
    (tmp_path / "config.json").write_text(example)
    (tmp_path / "config.json").chmod(0o600)
    assert load({}, {}, tmp_path).warnings == []
