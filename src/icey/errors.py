"""Every error that icey raises on purpose, in one tree.

::

    IceyError                     exit code 1
    ├── UsageError                exit code 2   argument
    ├── ConfigError               exit code 3   file, key, value, allowed
    ├── PreflightError            exit code 4   checks
    ├── SourceError                             source, detail
    ├── SignallingError                         status
    ├── RecordingError                          detail
    └── EngineError
        ├── AddressInUseError                   host, port
        ├── OfferError                          reason
        │   └── BusyError                       bound
        ├── CandidateError                      candidate
        ├── TurnProbeError                      step, said, code
        ├── UnsupportedError                    an RTSP stream that FFmpeg may know
        └── ClosedError                         the peer, track or engine was closed before

The message is for a person and says what to do next; the attributes are the
evidence, for code and tests. No message carries a secret: whoever puts a URL
into one takes its user and password out first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


class IceyError(Exception):
    """The root of the tree; ``exit_code`` is what the process ends with if nobody handles it."""

    exit_code = 1


class UsageError(IceyError):
    """A command line that cannot be understood; ``argument`` is the flag or word at fault."""

    exit_code = 2

    def __init__(self, message: str, *, argument: str = "") -> None:
        super().__init__(message)
        self.argument = argument


class ConfigError(IceyError):
    """A setting that is refused.

    Attributes:
        file: where the value came from: a path, ``environment ICEY_PORT`` or ``flag --port``.
        key: the dotted key, empty where the file as a whole is at fault.
        value: the offending value as text, never that of a secret.
        allowed: what would have been accepted, in words.
    """

    exit_code = 3

    def __init__(
        self, message: str, *, file: str = "", key: str = "", value: str = "", allowed: str = ""
    ) -> None:
        super().__init__(message)
        self.file = file
        self.key = key
        self.value = value
        self.allowed = allowed


class PreflightError(IceyError):
    """The check before the start failed; ``checks`` are the names of those that did."""

    exit_code = 4

    def __init__(self, message: str, *, checks: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.checks = tuple(checks)


class SourceError(IceyError):
    """A source cannot be opened or read on.

    Attributes:
        source: the source as it may be shown to anyone (no user, password or absolute path).
        detail: what FFmpeg or the system said, in its own words.
    """

    def __init__(self, message: str, *, source: str = "", detail: str = "") -> None:
        super().__init__(message)
        self.source = source
        self.detail = detail


class SignallingError(IceyError):
    """A peer broke the signalling protocol; ``status`` is the code of the ``error`` frame."""

    def __init__(self, message: str, *, status: int) -> None:
        super().__init__(message)
        self.status = status


class RecordingError(IceyError):
    """A recording cannot begin or go on.

    The message is for the caller as well: it names no path. ``detail`` is what the system said.
    """

    def __init__(self, message: str, *, detail: str = "") -> None:
        super().__init__(message)
        self.detail = detail


class EngineError(IceyError):
    """The packet engine refused a call."""


class AddressInUseError(EngineError):
    """A port could not be bound; ``host`` and ``port`` say which."""

    def __init__(self, message: str, *, host: str = "", port: int = 0) -> None:
        super().__init__(message)
        self.host = host
        self.port = port


class OfferError(EngineError):
    """An SDP offer that cannot be answered; ``reason`` is fit for ``call:reject``."""

    def __init__(self, message: str, *, reason: str = "") -> None:
        super().__init__(message)
        self.reason = reason or message


class BusyError(OfferError):
    """A call that would exceed a bound; ``bound`` is its name among the refusals."""

    def __init__(self, message: str, *, bound: str) -> None:
        super().__init__(message)
        self.bound = bound


class CandidateError(EngineError):
    """An ICE candidate line that is not one; ``candidate`` is the line, cut to 200 characters."""

    def __init__(self, message: str, *, candidate: str = "") -> None:
        super().__init__(message)
        self.candidate = candidate


class TurnProbeError(EngineError):
    """The self-test of a TURN server failed.

    Attributes:
        step: where: ``connect``, ``allocate``, ``permit``, ``relay`` or ``free``.
        said: what the server or the system said, in its own words; empty where nothing came.
        code: the STUN error code of the answer (RFC 8489 §14.8), None without one.
    """

    def __init__(
        self, message: str, *, step: str = "", said: str = "", code: int | None = None
    ) -> None:
        super().__init__(message)
        self.step = step
        self.said = said
        self.code = code


class ClosedError(EngineError):
    """The engine, peer or track was closed before this call."""


class UnsupportedError(EngineError):
    """What an RTSP camera says or sends is nothing for the engine; FFmpeg may know it."""
