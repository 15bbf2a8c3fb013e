"""Texts in JSON, YAML and TOML."""

from pathlib import Path

import pytest

from icey.config.document import parse
from icey.errors import ConfigError

SECRET = "hunter2hunter2"


@pytest.mark.parametrize("name", ["c.json", "c.yaml", "c.toml"])
def test_byte_order_mark(name):
    """A byte order mark, as Windows editors write it, is skipped."""
    text = {"c.json": b'{"a": 1}', "c.yaml": b"a: 1", "c.toml": b"a = 1"}[name]
    assert parse(b"\xef\xbb\xbf" + text, Path(name)) == {"a": 1}


@pytest.mark.parametrize(
    ("name", "text", "where"),
    [
        (
            "c.yaml",
            "a: 1\nb: [1, 2",
            "line 2, column 9: expected ',' or ']', but got '<stream end>'",
        ),
        ("c.yaml", "a:\n\t- 1", "line 2, column 1"),
        ("c.toml", "[a]\nb = \n", "line 2, column 5"),
        ("c.json", "[1,\n2", "line 2, column 2"),
    ],
)
def test_place_of_a_fault(name, text, where):
    """Broken text of each format is refused with line and column."""
    with pytest.raises(ConfigError, match=where) as caught:
        parse(text.encode(), Path(name))
    assert caught.value.file == name


def test_text_that_is_not_utf_8():
    """Bytes that are not UTF-8 are refused with their place."""
    with pytest.raises(ConfigError, match="line 2, column 3: not UTF-8"):
        parse(b'{"a":\n"b\xff"}', Path("c.json"))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("c.json", "[]"),
        ("c.json", "null"),
        ("c.json", '"text"'),
        ("c.yaml", "- a"),
        ("c.yaml", "just text"),
    ],
)
def test_document_that_is_no_object(name, text):
    """A document must be an object."""
    with pytest.raises(ConfigError, match="must be an object"):
        parse(text.encode(), Path(name))


def test_empty_documents():
    """YAML and TOML files with nothing but comments are empty; an empty JSON file is broken."""
    assert parse(b"# nothing\n", Path("c.yaml")) == {}
    assert parse(b"# nothing\n", Path("c.toml")) == {}
    with pytest.raises(ConfigError):
        parse(b"", Path("c.json"))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("c.yaml", f"token: *{SECRET}"),
        ("c.yaml", f"token: !{SECRET} x"),
        ("c.yaml", f"token: '{SECRET}"),
        ("c.yaml", f"token: {SECRET}\n: ]"),
        ("c.toml", f"token = {SECRET}"),
        ("c.toml", f'token = "{SECRET}'),
        ("c.json", f'{{"token": "{SECRET}'),
        ("c.json", f'{{"token": {SECRET}}}'),
    ],
)
def test_broken_text_is_not_repeated(name, text):
    """A refusal of broken text repeats none of it: it may hold a secret."""
    with pytest.raises(ConfigError) as caught:
        parse(text.encode(), Path(name))
    assert SECRET not in str(caught.value)


def test_yaml_is_loaded_safely():
    """A YAML tag that would make a Python object is refused."""
    with pytest.raises(ConfigError):
        parse(b"!!python/object/apply:os.getcwd []", Path("c.yaml"))
