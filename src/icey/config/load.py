"""Loads the settings: defaults < config file < environment < flags.

Each source is checked by itself and then all together, so a wrong value is refused and
named with the place that it came from, even where a later source would have hidden it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from icey.config import document
from icey.config.bindings import (
    BOOLEAN_WORDS,
    CONFIG_ENVIRONMENT,
    CONFIG_FLAG,
    read_text,
    resolve_path,
    resolve_source,
)
from icey.config.keys import Key, KeyPath, bound, keys, nearest, sections
from icey.config.model import MAX_CREDENTIAL_TTL_SECONDS, Settings
from icey.config.secrecy import open_to_others, secrets_of_url
from icey.config.showing import printable, shown, type_name
from icey.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

DEFAULT_CONFIG = "config.json"
_TTL: KeyPath = ("turn", "credentialTtlSeconds")
_NEAREST_VARIABLE_SCORE = 75.0  # other programs may own variables that begin with ICEY_ too


@dataclass(frozen=True)
class Loaded:
    """The settings and where they were read from.

    Attributes:
        settings: the settings in force; every path in them is absolute.
        warnings: what the operator should know: unknown keys, clamped values. The API serves
            them, so they name the file without its folder.
        path: the config file: named, or the default one.
        exists: whether that file is there.
    """

    settings: Settings
    warnings: list[str] = field(default_factory=list)
    path: Path | None = None
    exists: bool = False


@dataclass
class _Layer:
    """The values of one source by key, and for each the name of the place that it came from."""

    values: dict[KeyPath, object] = field(default_factory=dict)
    places: dict[KeyPath, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def put(self, key: Key, value: object, place: str) -> None:
        self.values[key.path] = value
        self.places[key.path] = place

    def over(self, below: _Layer) -> _Layer:
        return _Layer(
            below.values | self.values,
            below.places | self.places,
            below.warnings + self.warnings,
        )


def load(flags: Mapping[str, Any], environ: Mapping[str, str], cwd: Path) -> Loaded:
    """Read the settings.

    Args:
        flags: values by dotted key (``{"http.port": "8080", "media.loop": False}``), as text or
            already typed; ``config`` is the path of the file. None is "not given".
        environ: the environment variables; an empty one is "not given".
        cwd: what relative paths in flags and environment are relative to.

    Raises:
        ConfigError: a value, key or file is refused; the message names file, key, value and
            what is allowed, one line for each fault, the attributes those of the first.
    """
    cwd = cwd.absolute()
    path, named = locate(flags, environ, cwd)
    from_file, exists = _file_layer(path, named)
    environment = _environment_layer(environ, cwd)
    command_line = _flag_layer(flags, cwd)
    for layer in (from_file, environment, command_line):
        _validate(layer)
    merged = command_line.over(environment.over(from_file))
    for key in keys().values():
        if isinstance(key.default, Path):
            merged.values.setdefault(key.path, cwd / key.default)
    settings = _validate(merged)
    _refuse_contradictions(settings, merged)
    return Loaded(settings, merged.warnings, path, exists)


def locate(flags: Mapping[str, Any], environ: Mapping[str, str], cwd: Path) -> tuple[Path, str]:
    """Return the path of the config file, which need not exist, and who named it, if anybody."""
    if flags.get("config") is not None:
        return cwd / str(flags["config"]), f"flag {CONFIG_FLAG}"
    if environ.get(CONFIG_ENVIRONMENT):
        return cwd / environ[CONFIG_ENVIRONMENT], f"environment {CONFIG_ENVIRONMENT}"
    return cwd / DEFAULT_CONFIG, ""


def _file_layer(path: Path, named: str) -> tuple[_Layer, bool]:
    content = document.read(path)
    if content is None:
        if named:
            raise ConfigError(
                f"{path}: no such file (named by {named})",
                file=str(path),
                allowed="a config file that exists",
            )
        return _Layer(), False
    layer = _Layer()
    _collect(content, (), layer, path)
    held = [".".join(name) for name, value in layer.values.items() if _is_secret(name, value)]
    others = open_to_others(path) if held else ""
    if others:
        layer.warnings.append(
            f"{path.name}: holds {', '.join(held)}, and {others}: chmod 600 {path.name}"
        )
    return layer, True


def _is_secret(path: KeyPath, value: object) -> bool:
    key = keys()[path]
    if key.kind == "source" and isinstance(value, str):
        return bool(secrets_of_url(value))
    return key.secret and bool(value)


def _collect(content: Mapping[Any, Any], prefix: KeyPath, layer: _Layer, file: Path) -> None:
    """Copy known keys of a document into a layer, and warn of unknown ones."""
    for name, value in content.items():
        path = (*prefix, str(name))
        key = keys().get(path)
        if key is not None and key.in_file:
            layer.put(key, _from_file(key, value, layer, file), str(file))
        elif path not in sections():
            layer.warnings.append(_unknown(path, file))
        elif isinstance(value, dict):
            _collect(value, path, layer, file)
        elif value is not None:  # in YAML a section whose lines are all comments is null
            raise _refusal(str(file), ".".join(path), type_name(value), "an object")


def _from_file(key: Key, value: object, layer: _Layer, file: Path) -> object:
    """Resolve a path against its file, and clamp what is clamped rather than refused."""
    if isinstance(value, str) and key.kind == "path":
        return resolve_path(key, value, file.parent)
    if isinstance(value, str) and key.kind == "source":
        return resolve_source(value, file.parent)
    if key.members and isinstance(value, list):
        return [_object_from_file(key, index, one, layer, file) for index, one in enumerate(value)]
    if key.path == _TTL and type(value) is int and value > MAX_CREDENTIAL_TTL_SECONDS:
        layer.warnings.append(
            f"{file.name}: '{key.name}' is {shown(value)}, more than a day: "
            f"{MAX_CREDENTIAL_TTL_SECONDS} is used"
        )
        return MAX_CREDENTIAL_TTL_SECONDS
    return value


def _object_from_file(key: Key, index: int, value: object, layer: _Layer, file: Path) -> object:
    """Copy known members of an object of a list; make the file of a detector absolute."""
    if not isinstance(value, dict):
        return value
    known = {}
    for name, member in value.items():
        if name not in key.members:
            guess = nearest(str(name), key.members)
            layer.warnings.append(
                f"{file.name}: unknown key '{key.name}[{index}].{printable(str(name))}'"
                + (f", did you mean '{guess}'?" if guess else "")
            )
        elif name == "use" and isinstance(member, str) and ".py:" in member:
            known[name] = str(file.parent / member)
        else:
            known[name] = member
    return known


def _unknown(path: KeyPath, file: Path) -> str:
    name = printable(".".join(path))
    key = keys().get(path)
    if key is not None and key.binding is not None:
        instead = f"use {key.binding.flag} or {key.binding.environment}"
        return f"{file.name}: '{name}' cannot be set in a file; {instead}"
    known = [key.name for key in keys().values() if key.in_file]
    known += [".".join(section) for section in sections() if section]
    guess = nearest(name, known)
    return f"{file.name}: unknown key '{name}'" + (f", did you mean '{guess}'?" if guess else "")


def _environment_layer(environ: Mapping[str, str], cwd: Path) -> _Layer:
    layer = _Layer()
    for key, binding in bound():
        text = environ.get(binding.environment)
        if text:
            layer.put(key, read_text(key, text, cwd), f"environment {binding.environment}")
    known = {binding.environment for _, binding in bound()} | {CONFIG_ENVIRONMENT}
    for name in environ:
        if name.startswith("ICEY_") and name not in known:
            guess = nearest(name, known, score=_NEAREST_VARIABLE_SCORE)
            if guess:
                layer.warnings.append(
                    f"unknown environment variable {printable(name)}, did you mean {guess}?"
                )
    return layer


def _flag_layer(flags: Mapping[str, Any], cwd: Path) -> _Layer:
    layer = _Layer()
    for name, value in flags.items():
        if name == "config" or value is None:
            continue
        key = keys()[tuple(name.split("."))]
        flag = (key.binding and (key.binding.flag or key.binding.off_flag)) or name
        typed = read_text(key, value, cwd) if isinstance(value, str) else value
        layer.put(key, typed, f"flag {flag}")
    return layer


def _validate(layer: _Layer) -> Settings:
    """Check the values of a layer against the model.

    Raises:
        ConfigError: at least one is refused.
    """
    nested: dict[str, Any] = {}
    for path, value in layer.values.items():
        group = nested
        for name in path[:-1]:
            group = group.setdefault(name, {})
        group[path[-1]] = value
    try:
        return Settings.model_validate(nested)
    except ValidationError as error:
        faults = [fault["loc"] for fault in error.errors(include_url=False, include_input=False)]
        raise _refusals(faults, layer) from None


def _refusals(faults: Iterable[tuple[int | str, ...]], layer: _Layer) -> ConfigError:
    """Return one error for all faults, each key named once."""
    found: dict[KeyPath, ConfigError] = {}
    for location in faults:
        path = next(location[:n] for n in range(1, len(location) + 1) if location[:n] in keys())
        key = keys()[path]  # type: ignore[index]
        if key.path in found:
            continue
        value = layer.values[key.path]
        name, value, allowed = _at_fault(key, value, location[len(path) :])
        place = layer.places[key.path]
        if key.kind == "boolean" and place.startswith("environment "):
            allowed = f"one of {', '.join(BOOLEAN_WORDS)}"
        text = f"this {type_name(value).split()[-1]} (not shown)" if key.secret else shown(value)
        found[key.path] = _refusal(place, name, text, allowed)
    first, *others = found.values()
    if not others:
        return first
    return ConfigError(
        "\n".join(str(error) for error in found.values()),
        file=first.file,
        key=first.key,
        value=first.value,
        allowed=first.allowed,
    )


def _at_fault(key: Key, value: object, within: tuple[int | str, ...]) -> tuple[str, object, str]:
    """Return the part of a list that is at fault: its name, its value, and what it may be."""
    if not (within and isinstance(within[0], int) and isinstance(value, (list, tuple))):
        return key.name, value, key.allowed
    name, value = f"{key.name}[{within[0]}]", value[within[0]]
    if len(within) > 1 and isinstance(value, dict) and within[1] in key.members:
        member = str(within[1])
        return f"{name}.{member}", value.get(member), key.members[member]
    return name, value, key.allowed


def _refusal(place: str, key: str, value: str, allowed: str) -> ConfigError:
    return ConfigError(
        f"{place}: '{key}' must be {allowed}, not {value}",
        file=place,
        key=key,
        value=value,
        allowed=allowed,
    )


def _refuse_contradictions(settings: Settings, layer: _Layer) -> None:
    """Refuse values that are allowed alone but not together."""
    tls = settings.tls
    if (tls.cert is None) != (tls.key is None):
        given, missing = ("cert", "key") if tls.key is None else ("key", "cert")
        place = layer.places[("tls", given)]
        raise ConfigError(
            f"{place}: 'tls.{given}' is set but 'tls.{missing}' is not: set both, or neither "
            "for plain HTTP",
            file=place,
            key=f"tls.{missing}",
            allowed="both tls.cert and tls.key, or neither",
        )
    turn = settings.turn
    if turn.enabled and turn.tls_port and not settings.tls_active:
        place = layer.places[("turn", "tlsPort")]
        raise ConfigError(
            f"{place}: 'turn.tlsPort' is {turn.tls_port}, but there is no certificate: set "
            "'tls.cert' and 'tls.key', or 'turn.tlsPort' to 0",
            file=place,
            key="turn.tlsPort",
            value=str(turn.tls_port),
            allowed="0 without tls.cert and tls.key",
        )
    if turn.relay_port_max < turn.relay_port_min:
        allowed = f"at least the relayPortMin of {turn.relay_port_min}"
        raise _beside(layer, ("turn", "relayPortMax"), "relayPortMin", turn.relay_port_max, allowed)
    speech = settings.media.intelligence.speech
    if speech.stop_threshold > speech.start_threshold:
        path = ("media", "intelligence", "speech", "stopThreshold")
        allowed = f"at most the startThreshold of {speech.start_threshold}"
        raise _beside(layer, path, "startThreshold", speech.stop_threshold, allowed)


def _beside(layer: _Layer, path: KeyPath, other: str, value: object, allowed: str) -> ConfigError:
    """Return the refusal of a value beside another of its group; either may have its default."""
    place = layer.places.get(path) or layer.places[(*path[:-1], other)]
    return _refusal(place, ".".join(path), shown(value), allowed)
