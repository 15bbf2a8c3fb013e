"""What ``media.source`` means: a demo, a file, a device or a URL. Parsing only, nothing is opened.

`Source.public` is the one form that may be shown to anybody; `Source.location` is for
FFmpeg's eyes, and kept out of ``repr``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Literal, TypeAlias
from urllib.parse import unquote, urlsplit

from icey.config.secrecy import KEYS_IN_PATHS, secrets_of_url
from icey.errors import SourceError
from icey.media.rtsp_url import encode_user

SourceKind: TypeAlias = Literal["demo", "file", "device", "url"]

URL_SCHEMES = frozenset({"rtsp", "rtsps", "rtmp", "rtmps", "srt", "http", "https", "udp"})
"""URL schemes that are sources."""

DEVICE_SCHEMES = frozenset({"v4l2", "avfoundation", "dshow"})
"""FFmpeg's capture devices: Linux, macOS, Windows."""

FILE_SUFFIXES = frozenset(
    [
        ".3gp",
        ".aac",
        ".avi",
        ".flac",
        ".gif",
        ".jpeg",
        ".jpg",
        ".m4a",
        ".m4v",
        ".mka",
        ".mkv",
        ".mov",
        ".mp3",
        ".mp4",
        ".mpg",
        ".oga",
        ".ogg",
        ".ogv",
        ".opus",
        ".png",
        ".wav",
        ".webm",
        ".webp",
        ".wmv",
    ]
)
"""An HTTP URL that ends like this is a file on another machine: it has a beginning and an end."""

_WORDS = {
    "Immediate exit requested": "no answer in time",  # our own deadline, in FFmpeg's words
    "Protocol not found": "this FFmpeg cannot read this kind of URL",
}

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_DEVICE_PATH = re.compile(r"/dev/(?:video\d+|v4l/by-(?:id|path)/[^/]+)")
_DEVICE_NAME = re.compile(r"video\d+")


@dataclass(frozen=True)
class Source:
    """Where pictures and sound come from.

    Attributes:
        kind: what it is.
        live: it happens now: it can be opened once only, never loops, never waits for a viewer.
        scheme: ``demo``, ``file``, ``v4l2``, or the URL's, in lower case.
        public: what may be shown to anybody: no user, password or query of a URL, no folder
            of a file, no serial number of a camera, no path that may be a stream key.
        location: what FFmpeg opens; may hold a password, so it is never printed.
    """

    kind: SourceKind
    live: bool
    scheme: str
    public: str
    location: str = field(repr=False)

    def scrub(self, text: str) -> str:
        """Return FFmpeg's words with the location, and any URL's user, replaced by `public`."""
        for secret in (f"file:{self.location}", self.location):
            text = text.replace(secret, self.public)
        for secret in secrets_of_url(self.location):
            text = text.replace(secret, "…")
        return re.sub(r"(?<=://)[^/@\s]+@", "", text)

    def error(self, error: BaseException | str) -> SourceError:
        """Say in one line, fit for anyone's eyes, what FFmpeg said about the source."""
        words = error if isinstance(error, str) else getattr(error, "strerror", None) or str(error)
        words = self.scrub(_WORDS.get(words, words)) or type(error).__name__
        return SourceError(f"{self.public}: {words}", source=self.public, detail=words)


def escaped(text: str) -> str:
    r"""Return a file's name for one line of a log or of JSON.

    What cannot be printed is written as in Python: a line feed as ``\n``, a byte that is not
    UTF-8 as ``\xff`` (such bytes are lone surrogates, PEP 383).
    """
    return "".join(c if c.isprintable() else _escape(c) for c in text)


def _escape(character: str) -> str:
    if "\udc80" <= character <= "\udcff":
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode()


def parse_source(text: str) -> Source:
    """Understand ``media.source``.

    Args:
        text: a file path; ``/dev/video0``, ``/dev/v4l/by-id/…`` or ``v4l2:/dev/video0``
            (``avfoundation:…`` and ``dshow:…`` elsewhere); a URL of `URL_SCHEMES`; or ``demo:``.

    Returns:
        The source, not opened, and a file not looked for.

    Raises:
        SourceError: the text is empty, or looks like a URL of another scheme.
    """
    if not text.strip():
        raise SourceError(
            "no source is set: give a file, a device, a URL or demo: as media.source or --source",
            detail="empty",
        )
    if "\0" in text:
        raise SourceError("a source cannot contain a NUL character", detail="NUL character")
    if text == "demo:":
        return Source("demo", live=True, scheme="demo", public="demo:", location=text)
    if text.lower().startswith("demo:"):
        raise SourceError("the demo source is written 'demo:', with nothing after it", source=text)
    if _DEVICE_PATH.fullmatch(text):
        return _device("v4l2", text)
    head, colon, rest = text.partition(":")
    if colon and head.lower() in DEVICE_SCHEMES:
        if not rest:
            raise SourceError(f"{head}: names no device: write {head}:DEVICE", source=text)
        return _device(head.lower(), rest)
    if text.lower().startswith("file://"):
        return _file(unquote(text[len("file://") :], errors="surrogateescape"))
    if match := _SCHEME.match(text):
        return _url(match[1].lower(), text)
    return _file(text)


def _device(scheme: str, location: str) -> Source:
    name = location
    if scheme == "v4l2":
        name = PurePath(location).name
        # What udev calls a camera by contains its serial number.
        name = name if _DEVICE_NAME.fullmatch(name) else "camera"
    return Source("device", live=True, scheme=scheme, public=f"{scheme}:{name}", location=location)


def _file(path: str) -> Source:
    public = escaped(PurePath(path).name) or "file"
    return Source("file", live=False, scheme="file", public=public, location=path)


def _url(scheme: str, text: str) -> Source:
    if scheme not in URL_SCHEMES:
        raise SourceError(
            f"a source cannot be a {scheme}:// URL; use one of {', '.join(sorted(URL_SCHEMES))}",
            source=f"{scheme}://",
            detail=f"scheme {scheme}",
        )
    if scheme in {"rtsp", "rtsps"}:
        text = encode_user(text)
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise SourceError(
            f"the {scheme}:// URL is not well formed", source=f"{scheme}://", detail=str(error)
        ) from None
    if ":" in host:
        host = f"[{host}]"
    where = f"{host}:{port}" if port is not None else host
    is_file = scheme in {"http", "https"} and PurePath(parts.path).suffix.lower() in FILE_SUFFIXES
    path = parts.path
    if scheme in KEYS_IN_PATHS and path not in {"", "/"}:
        path = "/…"
    public = f"{scheme}://{where}{path}"
    if "@" in f"{parts.path}{parts.query}{parts.fragment}":
        # Maybe a password with a / or ? in it, not encoded: then even the host is a part of it.
        public = f"{scheme}://{where if '@' in parts.netloc else '…'}"
    return Source(
        "url",
        live=not is_file,
        scheme=scheme,
        public=public,
        location=text,
    )
