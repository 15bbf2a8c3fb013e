"""Garbage in, settings or a typed error out."""

import json
from collections.abc import Mapping
from pathlib import Path

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from icey.config.keys import bound, keys
from icey.config.load import Loaded, load
from icey.errors import ConfigError


def outcome(
    flags: Mapping[str, str], environ: Mapping[str, str], cwd: Path
) -> Loaded | ConfigError:
    """Load; anything raised but a ConfigError fails the test that called."""
    try:
        return load(flags, environ, cwd)
    except ConfigError as error:
        return error


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@st.composite
def documents(draw):
    """Documents that mostly hold known keys, with values of any kind."""
    document = {}
    known = [key for key in keys().values() if key.in_file]
    for key in draw(st.lists(st.sampled_from(known), max_size=4)):
        depth = draw(st.integers(1, len(key.path)))
        group = document
        for name in key.path[: depth - 1]:
            group = group.setdefault(name, {})
            if not isinstance(group, dict):
                break
        else:
            group[key.path[depth - 1]] = draw(JSON)
    return document


@settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(document=documents() | JSON)
@example(document={"media": {"source": "\ud800"}})
@example(document={"tls": {"cert": "\0", "key": "\0"}})
def test_any_json_document(tmp_path, document):
    """Any JSON document gives settings or a ConfigError, and nothing else."""
    (tmp_path / "config.json").write_text(json.dumps(document))
    assert isinstance(outcome({}, {}, tmp_path), Loaded | ConfigError)


@settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.binary(max_size=200), name=st.sampled_from(["c.json", "c.yaml", "c.toml"]))
@example(data=b"[" * 100_000, name="c.json")
@example(data=b"[" * 20_000, name="c.yaml")
@example(data=b"a = " + b"[" * 20_000, name="c.toml")
@example(data=b"1" * 5000, name="c.json")
@example(data=b"a = " + b"1" * 5000, name="c.toml")
@example(data=b"a: 2024-99-99", name="c.yaml")
@example(data=b"a: !!float x", name="c.yaml")
@example(data=b"a: !!timestamp x", name="c.yaml")
@example(data=b"!!python/object/apply:os.system [id]", name="c.yaml")
@example(data=b"a: &a [*a]", name="c.yaml")
@example(data=b"auth: &a {token: *a}", name="c.yaml")
@example(data=b"media: &a\n  video: *a\n", name="c.yaml")
@example(data=b"\xff\xfe{}", name="c.json")
def test_any_bytes(tmp_path, data, name):
    """Any bytes in a file of any format give settings or a ConfigError, and nothing else."""
    (tmp_path / name).write_bytes(data)
    result = outcome({"config": name}, {}, tmp_path)
    assert isinstance(result, Loaded) or str(tmp_path / name) in str(result)


TEXT = st.text(max_size=30) | st.sampled_from(["", "0", "-1", "true", "demo:", "://", "\0", "~"])


@settings(max_examples=200, deadline=None)
@given(
    flags=st.dictionaries(st.sampled_from([k.name for k in keys().values()]), TEXT, max_size=3),
    environ=st.dictionaries(
        st.sampled_from([binding.environment for _, binding in bound()]), TEXT, max_size=3
    ),
)
def test_any_text_in_flags_and_environment(tmp_path_factory, flags, environ):
    """Any text in any flag or variable gives settings or a ConfigError, and nothing else."""
    result = outcome(flags, environ, tmp_path_factory.getbasetemp() / "nowhere")
    assert isinstance(result, Loaded) or result.file.startswith(("flag ", "environment "))
