"""The types of settings beyond numbers and words, and what each allows.

Each is an ``Annotated`` type that carries a `Says`: the words that an error message
and the documentation use for it, so that neither can drift from what is checked.
"""

from __future__ import annotations

import contextlib
import ipaddress
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, TypeAlias
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, PlainValidator, SecretStr

Kind: TypeAlias = Literal["text", "integer", "number", "boolean", "path", "source", "list"]

_LABEL = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)")
_ORIGIN = re.compile(
    r"(?P<scheme>[a-z][a-z0-9+.-]*)://(?P<host>\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::(?P<port>\d{1,5}))?"
)
_DEFAULT_PORTS = {"http": 80, "https": 443}
_FILE_MODE = re.compile(r"0?6[0246][0246]")
_VISIBLE_ASCII = re.compile(r"[!-~]*")
_DETECTOR_USE = re.compile(
    r"(?P<where>[^:\0]*\.py|[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*):[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*"
    r"|[A-Za-z0-9][\w.-]*",
    re.ASCII,
)
DEVICE_OR_URL = re.compile(r"(?:demo|v4l2|avfoundation|dshow):|[a-z][a-z0-9+.-]*://", re.IGNORECASE)
"""The beginning of a source that is no file path."""

_OPUS_RATES = (8000, 12_000, 16_000, 24_000, 48_000)  # RFC 6716 §2.1.3
_MAX_SECRET = 1024
_MAX_SOURCE = 4096
_MAX_HOST = 253  # RFC 1035 §2.3.4, without the length octets


@dataclass(frozen=True)
class Says:
    """What a type allows.

    Attributes:
        words: in words that follow "must be".
        kind: how a text for it is read, where the Python type does not tell.
    """

    words: str
    kind: Kind | None = None


def _check_ip(text: str) -> str:
    ipaddress.ip_address(text)  # it raises a ValueError
    return text


def _check_host(text: str) -> str:
    with contextlib.suppress(ValueError):
        return _check_ip(text)
    labels = text.removesuffix(".").split(".")
    if len(text) > _MAX_HOST or not all(_LABEL.fullmatch(label) for label in labels):
        raise ValueError("not a host")
    if all(label.isdigit() for label in labels):  # 1.2.3 or 1.2.3.400: a broken address, not a name
        raise ValueError("not an address")
    return text


def _check_host_pattern(text: str) -> str:
    _check_host(text.removeprefix("*."))
    return text.lower().removesuffix(".")


def _check_network(text: str) -> str:
    ipaddress.ip_network(text, strict=False)  # it raises a ValueError
    return text


def _check_ip_or_empty(text: str) -> str:
    return _check_ip(text) if text else text


def _check_origin(text: str) -> str:
    """Return the origin as a browser writes it (RFC 6454 §6.2): lower case, no default port."""
    match = _ORIGIN.fullmatch(text.lower().removesuffix("/"))
    if match is None:
        raise ValueError("not an origin")
    scheme, host, port = match["scheme"], match["host"], match["port"]
    if port is None or int(port) == _DEFAULT_PORTS.get(scheme):
        return f"{scheme}://{host}"
    if not 0 < int(port) < 65536:
        raise ValueError("no such port")
    return f"{scheme}://{host}:{int(port)}"


def _check_visible(text: str) -> str:
    if not _VISIBLE_ASCII.fullmatch(text):
        raise ValueError("not visible ASCII")
    return text


def _check_file_mode(text: str) -> str:
    if not _FILE_MODE.fullmatch(text):
        raise ValueError("not a file mode")
    return text


def _check_secret(secret: SecretStr) -> SecretStr:
    _check_visible(secret.get_secret_value())
    return secret


def _check_printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("control characters")
    return text


def _read_switch(value: object) -> object:
    """Turn a boolean into the word: YAML reads a bare ``on`` as true."""
    return {True: "on", False: "off"}[value] if isinstance(value, bool) else value


def _check_source(value: object) -> str:
    """Check a source; a file may be called anything that the system allows.

    A name that is not UTF-8 has lone surrogates for its bytes (PEP 383), which pydantic's own
    check of a text refuses.
    """
    if not isinstance(value, str) or len(value) > _MAX_SOURCE:
        raise ValueError("no text, or too long")
    if DEVICE_OR_URL.match(value) and not value.lower().startswith("file://"):
        return _check_printable(value)
    return value


def _check_opus_rate(rate: int) -> int:
    if rate not in _OPUS_RATES:
        raise ValueError("not a rate of Opus")
    return rate


def _check_detector_use(text: str) -> str:
    if not text.isprintable() or not _DETECTOR_USE.fullmatch(text):
        raise ValueError("names no detector")
    return text


def _check_webhook(secret: SecretStr) -> SecretStr:
    text = secret.get_secret_value()
    if not text:
        return secret
    _check_visible(text)
    parts = urlsplit(text)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.port == 0:
        raise ValueError("not an http URL")
    _check_host(parts.hostname)
    return secret


FileMode: TypeAlias = Annotated[
    str,
    AfterValidator(_check_file_mode),
    Says('an octal file mode in quotes from "0600" to "0666" that lets the owner read and write'),
]
Host: TypeAlias = Annotated[str, AfterValidator(_check_host), Says("an IP address or a host name")]
IpAddress: TypeAlias = Annotated[
    str, AfterValidator(_check_ip_or_empty), Says("an IPv4 or IPv6 address, or empty")
]
IpAddresses: TypeAlias = Annotated[
    tuple[Annotated[str, AfterValidator(_check_ip)], ...],
    Field(strict=False, max_length=16),
    Says("a list of at most 16 IPv4 or IPv6 addresses"),
]
HostPatterns: TypeAlias = Annotated[
    tuple[Annotated[str, AfterValidator(_check_host_pattern)], ...],
    Field(strict=False, max_length=64),
    Says("a list of at most 64 host names such as cam.example.org or *.example.org"),
]
Networks: TypeAlias = Annotated[
    tuple[Annotated[str, AfterValidator(_check_network)], ...],
    Field(strict=False, max_length=64),
    Says("a list of at most 64 addresses or networks such as 127.0.0.1 or 10.0.0.0/8"),
]
Origins: TypeAlias = Annotated[
    tuple[Annotated[str, AfterValidator(_check_origin)], ...],
    Field(strict=False, max_length=64),
    Says("a list of at most 64 origins such as https://cam.example.org:8443"),
]
Secret: TypeAlias = Annotated[
    SecretStr,
    Field(max_length=_MAX_SECRET),
    AfterValidator(_check_secret),
    Says(f"at most {_MAX_SECRET} visible ASCII characters without spaces, or empty"),
]
"""Visible ASCII, because it travels in an HTTP header and in a URL."""
TokenText: TypeAlias = Annotated[
    str,
    Field(max_length=128),
    AfterValidator(_check_visible),
    Says("at most 128 visible ASCII characters without spaces, or empty"),
]
Realm: TypeAlias = Annotated[
    str,
    Field(min_length=1, max_length=127),  # RFC 8489 §14.9: fewer than 128 characters
    AfterValidator(_check_printable),
    Says("1 to 127 printable characters"),
]
Source: TypeAlias = Annotated[
    str,
    PlainValidator(_check_source),
    Says(
        "a file path, a device (/dev/video0, v4l2:, avfoundation:, dshow:), "
        "a URL (rtsp, rtsps, rtmp, rtmps, srt, http, https, udp), demo:, or empty",
        kind="source",
    ),
]
Switch: TypeAlias = Annotated[Literal["auto", "on", "off"], BeforeValidator(_read_switch)]
OpusRate: TypeAlias = Annotated[  # not a Literal: that would take 48000.0
    int, AfterValidator(_check_opus_rate), Says(f"one of {', '.join(map(str, _OPUS_RATES))}")
]
WebhookUrl: TypeAlias = Annotated[
    SecretStr,
    AfterValidator(_check_webhook),
    Says("an http or https URL, or empty"),
]
"""A secret, because such URLs hold one as a rule: as user and password, in path or query."""
DetectorUse: TypeAlias = Annotated[
    str,
    Field(max_length=4096),
    AfterValidator(_check_detector_use),
    Says("module:Class, a file as detector.py:Class, or the name of an installed detector"),
]
PixelFormat: TypeAlias = Annotated[
    str,
    Field(pattern=r"^[a-z0-9_]{0,32}$"),
    Says("the name of an FFmpeg pixel format such as gray or rgb24, or empty"),
]
FilePath: TypeAlias = Annotated[Path, Says("a path")]
Port: TypeAlias = Annotated[int, Field(ge=0, le=65_535)]
RelayPort: TypeAlias = Annotated[int, Field(ge=1024, le=65_535)]
Unit: TypeAlias = Annotated[float, Field(ge=0, le=1)]
PictureSide: TypeAlias = Annotated[
    int, Field(ge=32, le=3840, multiple_of=2), Says("an even integer from 32 to 3840")
]
Microseconds: TypeAlias = Annotated[int, Field(ge=0, le=60_000_000)]
