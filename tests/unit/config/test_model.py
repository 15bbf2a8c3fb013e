"""The settings as models."""

import ast
import inspect
from itertools import chain

import pytest
from pydantic import ValidationError

from icey.config import intelligence, model
from icey.config.model import HttpSettings, Settings, TurnSettings


def test_each_setting_is_described():
    """Each setting has a docstring of its own: unit, range, meaning of the edge values."""
    silent = []
    groups = [ast.parse(inspect.getsource(module)).body for module in (model, intelligence)]
    for group in chain(*groups):
        if not isinstance(group, ast.ClassDef):
            continue
        assert ast.get_docstring(group), group.name
        for statement, following in zip(group.body, [*group.body[1:], None], strict=True):
            if not isinstance(statement, ast.AnnAssign):
                continue
            is_group = isinstance(statement.annotation, ast.Name) and (
                statement.annotation.id.endswith("Settings")
            )
            described = isinstance(following, ast.Expr) and isinstance(
                following.value, ast.Constant
            )
            if not is_group and not described:
                silent.append(f"{group.name}.{ast.unparse(statement.target)}")
    assert silent == []


def test_settings_are_frozen():
    """Settings cannot be changed."""
    with pytest.raises(ValidationError):
        Settings().http.port = 1


def test_settings_by_attribute_name():
    """Code makes settings by attribute names, files by camelCase keys."""
    by_name = Settings(turn=TurnSettings(external_ip="192.0.2.1"))
    assert by_name == Settings.model_validate({"turn": {"externalIp": "192.0.2.1"}})
    assert by_name.turn.external_ip == "192.0.2.1"


def test_unknown_name():
    """A setting that does not exist is refused when code makes it."""
    with pytest.raises(ValidationError):
        HttpSettings.model_validate({"prot": 1})


@pytest.mark.parametrize(
    ("text", "origin"),
    [
        ("https://Example.ORG", "https://example.org"),
        ("https://example.org:443", "https://example.org"),
        ("http://example.org:80/", "http://example.org"),
        ("http://example.org:8080", "http://example.org:8080"),
        ("https://[2001:DB8::1]:8443", "https://[2001:db8::1]:8443"),
        ("capacitor://localhost", "capacitor://localhost"),
    ],
)
def test_origins_are_kept_as_browsers_write_them(text, origin):
    """An allowed origin is compared as browsers write it: lower case, no default port."""
    settings = Settings.model_validate({"auth": {"allowedOrigins": [text]}})
    assert settings.auth.allowed_origins == (origin,)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "::1", "localhost", "cam-1.example.org", "a_b"])
def test_hosts(host):
    """Addresses and names are hosts."""
    assert HttpSettings(host=host).host == host


@pytest.mark.parametrize("host", ["", "-a", "a b", "1.2.3", "256.0.0.1", "a..b", "x" * 64, "[::1]"])
def test_texts_that_are_no_hosts(host):
    """What is neither an address nor a name is refused."""
    with pytest.raises(ValidationError):
        HttpSettings(host=host)


def test_validation_errors_hide_the_input():
    """Not even pydantic's own message repeats a secret."""
    with pytest.raises(ValidationError) as caught:
        Settings.model_validate({"auth": {"token": ["hunter2"]}})
    assert "hunter2" not in str(caught.value)
