"""Finds the user's own detectors: installed packages, and entries of the configuration.

A package offers its detectors in the entry point group ``icey.detectors``; it is enough to install
it. ``media.intelligence.detectors`` names others, or gives an installed one its options. Nothing
here makes a detector: its class is imported and looked at, and made by the branch that runs it. A
class that has a static method ``check`` is asked by it about its options, at each preflight check.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import logging
import re
import sys
from dataclasses import dataclass, field, replace
from functools import reduce
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

from icey.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from types import ModuleType

    from icey.config.intelligence import DetectorSettings, IntelligenceSettings
    from icey.intelligence.detector import Detector, SoundDetector

log = logging.getLogger(__name__)

GROUP = "icey.detectors"
"""The entry point group of packages with detectors."""

LIST = "media.intelligence.detectors"

Takes: TypeAlias = Literal["pictures", "sound"]

_FOLDERS = re.compile(r"(?:/[^\s/:'\"()]+)+/")
_MAX_REASON = 200


@dataclass(frozen=True, slots=True)
class Plugin:
    """A detector of the user's own, before an instance is made.

    Attributes:
        name: what its events, its branch and the status call it.
        takes: what its ``process`` wants; the class says so by ``takes = "sound"``.
        target: the class, or whatever else makes a detector.
        options: keyword arguments for it.
        every_nth_frame: sample one frame of so many; None: as ``vision.everyNthFrame``.
        min_interval_usec: µs between two samples; None: as ``vision.minIntervalUsec``.
    """

    name: str
    takes: Takes
    target: Callable[..., Any]
    options: Mapping[str, Any] = field(default_factory=dict)
    every_nth_frame: int | None = None
    min_interval_usec: int | None = None

    def make(self) -> Detector | SoundDetector:
        """Make an instance for one stream. May take seconds, and raise anything.

        Raises:
            TypeError: what it made cannot ``process`` anything.
        """
        made: Detector | SoundDetector = self.target(**self.options)
        if not callable(getattr(made, "process", None)):
            raise TypeError(f"{self.name} made a {type(made).__name__}, which has no 'process'")
        return made


@dataclass(frozen=True, slots=True)
class Found:
    """The detectors to run, and warnings of installed ones that cannot be loaded."""

    plugins: tuple[Plugin, ...]
    warnings: tuple[str, ...] = ()


def find_plugins(settings: IntelligenceSettings) -> Found:
    """Import all detectors that are to run: configured ones first, then installed ones.

    Args:
        settings: ``media.intelligence``.

    Raises:
        ConfigError: a configured one cannot be had. The message names the entry and what is
            allowed, and no folder of this machine.
    """
    installed = _installed()
    plugins, mentioned = [], set()
    for index, entry in enumerate(settings.detectors):
        mentioned.add(entry.use)
        if entry.enabled:
            plugins.append(_configured(f"{LIST}[{index}]", entry, installed))
    warnings = []
    for name, point in installed.items():
        if name in mentioned:
            continue
        try:
            plugins.append(_plugin(name, point.load()))
        except (Exception, SystemExit) as error:  # noqa: BLE001 - it is somebody else's code
            warnings.append(
                f"the installed detector '{name}' cannot be loaded: {_reason(error)}; mend or "
                f"remove its package, or turn it off with an entry in {LIST}: "
                f'{{"use": "{name}", "enabled": false}}'
            )
    return Found(tuple(plugins), tuple(warnings))


def _installed() -> dict[str, EntryPoint]:
    """Return all installed detectors by name; of two of one name, the first on the path."""
    found: dict[str, EntryPoint] = {}
    for point in entry_points(group=GROUP):
        other = found.setdefault(point.name, point)
        if other.value != point.value:
            log.warning(
                "two packages offer a detector '%s': %s is used, not %s",
                point.name,
                other.value,
                point.value,
            )
    return found


def _configured(place: str, entry: DetectorSettings, installed: Mapping[str, EntryPoint]) -> Plugin:
    """Import the detector of an entry of the configuration, and check its options."""
    where, _, attribute = entry.use.rpartition(":")
    use = _public(entry.use)

    def refused(member: str, reason: str, allowed: str) -> ConfigError:
        key = f"{place}.{member}"
        value = use if member == "use" else ", ".join(entry.options) or "{}"
        text = f"'{key}' is \"{value}\": {reason}; allowed: {allowed}"
        return ConfigError(text, key=key, value=value, allowed=allowed)

    try:
        if not where and entry.use not in installed:
            raise LookupError("no such detector is installed")  # noqa: TRY301
        if not where:
            target = installed[entry.use].load()
        elif where.endswith(".py"):
            target = _attribute(_load_file(Path(where)), attribute)
        else:
            target = _attribute(importlib.import_module(where), attribute)
        plugin = _plugin(
            entry.name or (entry.use if not where else attribute.rpartition(".")[2]), target
        )
    except (Exception, SystemExit) as error:
        raise refused("use", _reason(error), _allowed(installed)) from error
    try:
        inspect.signature(target).bind(**entry.options)
    except TypeError as error:
        allowed = f"keyword arguments of {use}: {_parameters(target)}"
        raise refused("options", f"{use}: {_reason(error)}", allowed) from error
    except ValueError as error:  # some classes written in C do not say what they take
        log.debug("%s does not tell its arguments: %s", entry.use, error)
    check = getattr(target, "check", None)
    if callable(check):
        try:
            check(**entry.options)
        except (Exception, SystemExit) as error:
            reason = f"{use}: {_reason(error).removeprefix('ValueError: ')}"
            raise refused("options", reason, f"what {use} can work with") from error
    return replace(
        plugin,
        options=entry.options,
        every_nth_frame=entry.every_nth_frame,
        min_interval_usec=entry.min_interval_usec,
    )


def _plugin(name: str, target: Any) -> Plugin:  # noqa: ANN401 - it is looked at here
    """Check the class of a detector.

    Raises:
        TypeError: it cannot be one.
    """
    if not callable(target):
        raise TypeError(f"it is a {type(target).__name__}, and makes no detector")
    if inspect.isclass(target) and not callable(getattr(target, "process", None)):
        raise TypeError(f"the class {target.__name__} has no method 'process'")
    says = getattr(target, "takes", "pictures")
    if says not in get_args(Takes):
        raise TypeError(f"its 'takes' is {says!r}, neither 'pictures' nor 'sound'")
    takes: Takes = "sound" if says == "sound" else "pictures"
    return Plugin(name, takes, target)


def _load_file(path: Path) -> ModuleType:
    """Import a file as a module; two entries that name it share the module."""
    name = f"icey_detector_{path.stem}_{abs(hash(str(path)))}"
    known = sys.modules.get(name)
    if known is not None:
        return known
    if not path.is_file():
        raise FileNotFoundError("no such file")
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError("it cannot be loaded as Python")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look themselves up there
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _attribute(module: ModuleType, path: str) -> Any:  # noqa: ANN401
    try:
        return reduce(getattr, path.split("."), module)
    except AttributeError:
        raise AttributeError(f"it has no '{path}'") from None


def _public(use: str) -> str:
    """Return what an entry names, without the folder of a file."""
    where, colon, attribute = use.rpartition(":")
    return f"{Path(where).name}{colon}{attribute}" if where.endswith(".py") else use


def _reason(error: BaseException) -> str:
    """Return the first line of an error, without folders of this machine."""
    text = _FOLDERS.sub("", str(error).strip().partition("\n")[0])[:_MAX_REASON]
    plain = isinstance(
        error, FileNotFoundError | ModuleNotFoundError | LookupError | AttributeError | TypeError
    )
    return text if plain and text else f"{type(error).__name__}: {text}".removesuffix(": ")


def _allowed(installed: Iterable[str]) -> str:
    names = ", ".join(sorted(installed)) or "none is"
    return f"module:Class that Python can import, file.py:Class, or an installed one ({names})"


def _parameters(target: Callable[..., Any]) -> str:
    names = [
        name
        for name, parameter in inspect.signature(target).parameters.items()
        if parameter.kind in {parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY}
    ]
    return ", ".join(names) or "none"
