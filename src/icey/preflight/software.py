"""Checks of OpenSSL and FFmpeg."""

from __future__ import annotations

import contextlib
import hmac
import ssl
from fractions import Fraction
from typing import TYPE_CHECKING, cast

from icey.preflight.finding import Finding, failed, passed

if TYPE_CHECKING:
    from av.audio.codeccontext import AudioCodecContext
    from av.video.codeccontext import VideoCodecContext

_VIDEO_ENCODER = "libx264"
_AUDIO_ENCODER = "libopus"
_REINSTALL_AV = "reinstall PyAV with its wheel, which has both: pip install --force-reinstall av"


def check_openssl() -> Finding:
    """Make a TLS server context, and the HMAC-SHA1 of TURN credentials (RFC 8489 §14.5)."""
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        hmac.digest(b"secret", b"1700000000", "sha1")
    except (ssl.SSLError, ValueError) as error:
        return failed(
            f"{ssl.OPENSSL_VERSION} does not do TLS 1.2 or HMAC-SHA1 ({error}): use a Python built "
            "with a full OpenSSL, and turn off its FIPS mode"
        )
    return passed(ssl.OPENSSL_VERSION)


def load_ffmpeg() -> None:
    """Load PyAV, before checks that use it run side by side.

    Its classes refer to each other, and one that another thread is loading still is missing to
    them: "SystemError: Missing type object". Where it cannot be loaded, `check_ffmpeg` tells.
    """
    with contextlib.suppress(ImportError):
        import av  # noqa: F401, PLC0415


def check_ffmpeg() -> Finding:
    """Open the two encoders, and encode a picture and 20 ms of silence with them."""
    try:
        import av  # noqa: PLC0415 - 40 ms, and a broken FFmpeg must be a finding, not a crash
    except ImportError as error:
        return failed(f"PyAV cannot be loaded ({error}): {_REINSTALL_AV}")
    found = []
    for name, encode in ((_VIDEO_ENCODER, _encode_picture), (_AUDIO_ENCODER, _encode_silence)):
        try:
            encode()
        except (av.FFmpegError, ValueError, OSError) as error:
            return failed(f"FFmpeg cannot encode with {name} ({error}): {_REINSTALL_AV}")
        found.append(name)
    return passed(f"FFmpeg {av.ffmpeg_version_info} with {', '.join(found)}")


def _encode_picture() -> None:
    import av  # noqa: PLC0415

    encoder = cast("VideoCodecContext", av.CodecContext.create(_VIDEO_ENCODER, "w"))
    encoder.width, encoder.height, encoder.pix_fmt = 320, 180, "yuv420p"
    encoder.time_base = Fraction(1, 30)
    encoder.thread_count = 1
    encoder.options = {"preset": "ultrafast", "tune": "zerolatency", "profile": "baseline"}
    frame = av.VideoFrame(320, 180, "yuv420p")
    frame.pts = 0
    if not [*encoder.encode(frame), *encoder.encode(None)]:
        raise ValueError("it gave no packet")


def _encode_silence() -> None:
    import av  # noqa: PLC0415

    encoder = cast("AudioCodecContext", av.CodecContext.create(_AUDIO_ENCODER, "w"))
    encoder.sample_rate, encoder.layout, encoder.format = 48_000, "stereo", "s16"
    encoder.time_base = Fraction(1, 48_000)
    frame = av.AudioFrame("s16", "stereo", 960)
    for plane in frame.planes:
        plane.update(bytes(plane.buffer_size))
    frame.sample_rate, frame.pts = 48_000, 0
    if not [*encoder.encode(frame), *encoder.encode(None)]:
        raise ValueError("it gave no packet")
