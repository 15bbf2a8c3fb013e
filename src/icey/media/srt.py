"""SRT sources: what a ``srt://`` URL asks for, and the pipe that its payload comes out of.

PyAV's FFmpeg is built without libsrt, so `icey._core` speaks SRT (draft-sharabayko-srt). The
URL's options have FFmpeg's names and units: https://ffmpeg.org/ffmpeg-protocols.html#srt
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit

from icey import _core
from icey.errors import EngineError

if TYPE_CHECKING:
    from icey.media.source import Source

MAX_LATENCY_US = 60_000_000
"""More is a mistake of the unit: FFmpeg's is µs."""


@dataclass(frozen=True)
class SrtAddress:
    """What a ``srt://`` URL says.

    Attributes:
        host: name or address to call; to listen on, "" for every IPv4 address.
        port: UDP port.
        listen: wait for the sender to call.
        stream_id: what the sender chooses a stream by, "" for none.
        passphrase: 10 to 79 bytes, "" for none.
        key_bytes: length of the AES key: 16, 24, 32, or 0 for what the sender takes.
        latency_ms: how long lost packets may take to be sent again; None for SRT's 120 ms.
    """

    host: str
    port: int
    listen: bool = False
    stream_id: str = ""
    passphrase: str = field(default="", repr=False)
    key_bytes: int = 0
    latency_ms: int | None = None


def parse_srt(source: Source) -> SrtAddress:
    """Understand the URL of an SRT source. Other options are ignored, as FFmpeg ignores them.

    Raises:
        SourceError: there is no port, an option has no such value, or needs what is not there.
    """
    base, _, query = source.location.partition("?")  # a stream id may have a # in it
    parts = urlsplit(base)
    if not parts.port:
        raise source.error("it names no port: write srt://HOST:PORT")
    options = dict(parse_qsl(query))
    mode = options.get("mode", "caller" if parts.hostname else "listener")
    if mode not in {"caller", "listener"}:
        raise source.error("mode: caller or listener")
    if mode == "caller" and not parts.hostname:
        raise source.error("it names no host to call")
    if options.get("transtype", "live") != "live":
        raise source.error("transtype: live only")
    latency = _integer(source, options, "rcvlatency", _integer(source, options, "latency", -1))
    if latency > MAX_LATENCY_US:
        raise source.error(f"latency: at most {MAX_LATENCY_US} µs")
    key_bytes = _integer(source, options, "pbkeylen", 0)
    if key_bytes not in {0, 16, 24, 32}:
        raise source.error("pbkeylen: 16, 24 or 32, or 0 for what the sender takes")
    return SrtAddress(
        host=parts.hostname or "",
        port=parts.port,
        listen=mode == "listener",
        stream_id=options.get("streamid", options.get("srt_streamid", "")),
        passphrase=options.get("passphrase", ""),
        key_bytes=key_bytes,
        latency_ms=None if latency < 0 else latency // 1000,
    )


def connect(source: Source, timeout_s: float) -> _core.SrtReceiver:
    """Connect to an SRT source. Blocks.

    Args:
        source: one with the scheme ``srt``.
        timeout_s: how long connecting may take, and how long the sender may then be silent, s.

    Raises:
        SourceError: the URL is refused, nobody answers, or the other side says no.
    """
    address = parse_srt(source)
    try:
        return _core.SrtReceiver(**asdict(address), timeout_s=timeout_s)
    except EngineError as error:
        raise source.error(error) from None
    except UnicodeError:
        raise source.error("its URL is not UTF-8") from None


def _integer(source: Source, options: dict[str, str], name: str, default: int) -> int:
    text = options.get(name)
    if text is None:
        return default
    try:
        return int(text)
    except ValueError:
        raise source.error(f"{name}: not an integer") from None
