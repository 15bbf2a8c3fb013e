"""Every setting: its key, default, unit, range, and what its edge values mean.

Attributes are the snake_case of the camelCase key in a config file. The models are
frozen and read nothing: no file, environment, clock or socket. `icey.config.load` fills them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, JsonValue, SecretStr
from pydantic.alias_generators import to_camel

from icey.config.values import (
    DetectorUse,
    FilePath,
    Host,
    IpAddress,
    IpAddresses,
    OpusRate,
    Origins,
    PixelFormat,
    Realm,
    Says,
    Secret,
    Source,
    TokenText,
    WebhookUrl,
)

__all__ = [
    "MAX_CREDENTIAL_TTL_SECONDS",
    "AudioSettings",
    "AuthSettings",
    "ClipSettings",
    "DetectorSettings",
    "HttpSettings",
    "IntelligenceSettings",
    "LogLevel",
    "MediaSettings",
    "Mode",
    "MotionSettings",
    "NormalizeSettings",
    "RecordSettings",
    "RelaySettings",
    "Settings",
    "SettingsModel",
    "SnapshotSettings",
    "SpeechSettings",
    "TlsSettings",
    "TurnSettings",
    "VideoSettings",
    "VisionSettings",
    "WebrtcSettings",
]

MAX_CREDENTIAL_TTL_SECONDS = 86_400
"""One day: a longer ``turn.credentialTtlSeconds`` is clamped to it, with a warning."""

Mode: TypeAlias = Literal["stream", "record", "relay"]
LogLevel: TypeAlias = Literal["trace", "debug", "info", "warn", "error"]
Port: TypeAlias = Annotated[int, Field(ge=0, le=65_535)]
RelayPort: TypeAlias = Annotated[int, Field(ge=1024, le=65_535)]
Unit: TypeAlias = Annotated[float, Field(ge=0, le=1)]
PictureSide: TypeAlias = Annotated[
    int, Field(ge=32, le=3840, multiple_of=2), Says("an even integer from 32 to 3840")
]
Microseconds: TypeAlias = Annotated[int, Field(ge=0, le=60_000_000)]


class SettingsModel(BaseModel):
    """What all groups of settings share: frozen, strict about types, camelCase keys."""

    model_config = ConfigDict(
        frozen=True,
        strict=True,
        extra="forbid",
        alias_generator=to_camel,
        populate_by_name=True,
        allow_inf_nan=False,
        hide_input_in_errors=True,  # an input may be a secret
    )


class HttpSettings(SettingsModel):
    """``http``: the port of the page, the API and the signalling WebSocket."""

    host: Host = "0.0.0.0"  # noqa: S104 - a server for the local network is the purpose
    """Address or host name to bind; ``0.0.0.0`` is every IPv4 address of this machine, ``::`` every
    IPv6 one, ``127.0.0.1`` this machine alone."""

    port: Port = 4500
    """TCP port; 0 takes any free one, which the line printed at start then names."""


class TlsSettings(SettingsModel):
    """``tls``: HTTPS and WSS where both are set, plain HTTP where neither is."""

    cert: FilePath | None = None
    """PEM file with the certificate and its chain; empty is plain HTTP."""

    key: FilePath | None = None
    """PEM file with the private key of that certificate, without a passphrase."""


class AuthSettings(SettingsModel):
    """``auth``: who may use the API and the signalling."""

    token: Secret = SecretStr("")
    """The access token that clients must show; empty lets everyone in. There is no flag for it,
    because command lines are visible to every user of a machine."""

    allowed_origins: Origins = ()
    """Web origins whose pages may connect, besides the server's own; kept as browsers write them
    (lower case, without a default port)."""


class TurnSettings(SettingsModel):
    """``turn``: the built-in TURN server (RFC 8656) for browsers behind strict networks."""

    enabled: bool = True
    """Whether to run it."""

    port: Port = 3478
    """UDP and TCP port; 0 takes one that is free for both."""

    tls_port: Port = 0
    """TCP port of TURN over TLS (``turns:``), with the certificate of ``tls.cert``; 0 is off."""

    realm: Realm = "icey"
    """The authentication realm (RFC 8489 §14.9)."""

    external_ip: IpAddress = ""
    """The public address of this machine where it sits behind a NAT; also advertised as an ICE
    candidate. Empty: the addresses of its interfaces are the reachable ones."""

    secret: Secret = SecretStr("")
    """Shared secret that signs TURN credentials; empty makes a random one at each start, so that
    credentials do not outlive the process."""

    username: TokenText = ""
    """Suffix of the user names handed out, ``<unix expiry>:<suffix>``; empty leaves it away."""

    credential_ttl_seconds: Annotated[int, Field(ge=1, le=MAX_CREDENTIAL_TTL_SECONDS)] = 3600
    """Seconds for which a credential is valid; more than 86400 (a day) is clamped to that."""

    allow_local_relay: bool = False
    """Whether TURN may relay to private addresses. Off, so that a credential is no door into the
    network behind the server; the server's own media can be reached in any case."""

    max_allocations: Annotated[int, Field(ge=4, le=16_384)] = 4096
    """Allocations (RFC 8656 §2) that may live at a time. A browser makes several for a call: one
    for each of its networks over UDP, TCP and TLS."""

    user_quota: Annotated[int, Field(ge=4, le=16_384)] = 64
    """Allocations that one user name may have at a time. Each page gets a name of its own, save
    where very many ask at once."""

    max_bitrate: Annotated[int, Field(ge=0, le=1_000_000_000)] = 20_000_000
    """Bit/s of one allocation in each direction, beyond which its datagrams are dropped; 0 is no
    limit."""

    relay_port_min: RelayPort = 49_152
    """First UDP port of relayed addresses. Nobody needs to reach these ports to see the server's
    own media."""

    relay_port_max: RelayPort = 65_535
    """Last UDP port of relayed addresses."""


class WebrtcSettings(SettingsModel):
    """``webrtc``: the transport of all peers."""

    port: Port = 4501
    """UDP port that all peers share; 0 takes any free one."""

    additional_hosts: IpAddresses = ()
    """Further addresses to advertise as ICE candidates, such as that of a port forwarding."""


class VideoSettings(SettingsModel):
    """``media.video``: what viewers are sent."""

    codec: Literal["h264"] = "h264"
    """H.264 Constrained Baseline, which every browser decodes."""

    width: PictureSide = 1280
    """Width in pixels; the source is scaled into width x height with its aspect ratio kept."""

    height: PictureSide = 720
    """Height in pixels."""

    fps: Annotated[int, Field(ge=1, le=120)] = 30
    """Frames a second, at most; a slower source is sent at its own pace."""

    bitrate: Annotated[int, Field(ge=150_000, le=50_000_000)] = 2_000_000
    """Bit/s, the upper limit; the bitrate falls below it, to 150000, as a viewer's network
    demands."""


class AudioSettings(SettingsModel):
    """``media.audio``: what viewers are sent."""

    codec: Literal["libopus"] = "libopus"
    """Opus, by libopus."""

    channels: Annotated[int, Field(ge=1, le=2)] = 2
    """1 is mono, 2 stereo; a source with more is mixed down."""

    sample_rate: OpusRate = 48_000
    """Samples a second that the encoder is fed with; the RTP clock is 48000 always (RFC 7587
    §4.1)."""

    bitrate: Annotated[int, Field(ge=6000, le=510_000)] = 128_000
    """Bit/s, all channels together (RFC 6716 §2.1.1)."""


class RecordSettings(SettingsModel):
    """``media.record``: how record mode writes, and how long it keeps."""

    video: Literal["copy", "transcode"] = "copy"
    """``copy`` writes the browser's H.264 as it is; ``transcode`` decodes it and encodes it again
    with ``media.video``, in one size. What cannot be copied is transcoded in any case."""

    audio: Literal["opus", "aac"] = "opus"
    """``opus`` writes the browser's Opus as it is; ``aac`` encodes it again, for players that know
    no Opus in MP4."""

    sync_interval_ms: Annotated[int, Field(ge=0, le=60_000)] = 1000
    """ms between two moments at which the disk is told to keep what was written (fsync); a power
    cut loses no more than that. 0 leaves it to the system until the end of the file."""

    segment_seconds: Annotated[int, Field(ge=0, le=86_400)] = 0
    """Seconds after which a recording goes on in a new file, at the next keyframe; 0 is never."""

    min_free_bytes: Annotated[int, Field(ge=0, le=2**50)] = 512 * 2**20
    """Bytes of the disk that stay free: below, recordings end and none begins. 0 records until the
    disk is full."""

    max_age_seconds: Annotated[int, Field(ge=0, le=10**9)] = 0
    """Seconds after its start at which a finished recording is removed; 0 is never."""

    max_total_bytes: Annotated[int, Field(ge=0, le=2**60)] = 0
    """Bytes of all finished recordings together above which the oldest are removed; 0 is no
    limit. The newest stays in any case."""


class RelaySettings(SettingsModel):
    """``media.relay``: one browser's media to all others."""

    max_viewers: Annotated[int, Field(ge=0, le=100_000)] = 0
    """Viewers at the most; one more is refused with this reason. 0 is no limit."""

    max_bitrate: Annotated[int, Field(ge=0, le=100_000_000)] = 0
    """Bit/s that the source may send, all its layers together; 0 leaves it to the browser."""

    simulcast: bool = True
    """Whether the source may send its picture in several sizes at once, of which each viewer gets
    the best one that its network carries."""


class NormalizeSettings(SettingsModel):
    """``media.intelligence.vision.normalize``: the pictures that the detectors get."""

    width: Annotated[int, Field(ge=0, le=3840)] = 0
    """Pixels; 0 leaves the width of the source."""

    height: Annotated[int, Field(ge=0, le=3840)] = 0
    """Pixels; 0 leaves the height of the source."""

    pixel_fmt: PixelFormat = ""
    """FFmpeg pixel format; empty leaves that of the source."""


class SnapshotSettings(SettingsModel):
    """``media.intelligence.vision.snapshots``: a still picture of a detection."""

    enabled: bool = False
    """Whether to write them."""

    dir: FilePath | None = None
    """Folder; empty is ``<recordDir>/snapshots``."""

    min_interval_usec: Microseconds = 1_000_000
    """Microseconds between two snapshots of a stream, at least; 0 is no limit."""


class ClipSettings(SettingsModel):
    """``media.intelligence.vision.clips``: a short film around a detection."""

    enabled: bool = False
    """Whether to write them."""

    dir: FilePath | None = None
    """Folder; empty is ``<recordDir>/clips``."""

    pre_roll_usec: Microseconds = 1_000_000
    """Microseconds kept from before the detection; 0 starts with it."""

    post_roll_usec: Microseconds = 3_000_000
    """Microseconds recorded after the last detection; 0 ends with it."""


class MotionSettings(SettingsModel):
    """``media.intelligence.vision.motion``: the motion detector."""

    grid_width: Annotated[int, Field(ge=1, le=256)] = 32
    """Cells across into which a picture is divided."""

    grid_height: Annotated[int, Field(ge=1, le=256)] = 18
    """Cells down."""

    warmup_frames: Annotated[int, Field(ge=0, le=10_000)] = 2
    """Sampled frames that are only learnt from before anything is reported; 0 reports at once."""

    threshold: Unit = 0.08
    """Score from which a frame counts as motion; 0 is every frame, 1 practically none."""

    cooldown_usec: Microseconds = 500_000
    """Microseconds between two reports of a stream, at least; 0 is no limit."""

    ignore_global_change: bool = True
    """Whether what lights or the exposure of the camera do to the whole picture is taken out of the
    score."""

    small_objects: bool = True
    """Whether a single cell that changes by the threshold is motion too. Without it only the score
    of the whole picture counts, which a person in the distance hardly moves."""


class VisionSettings(SettingsModel):
    """``media.intelligence.vision``: detectors on sampled pictures, in stream mode."""

    enabled: bool = False
    """Whether to run it."""

    every_nth_frame: Annotated[int, Field(ge=1, le=10_000)] = 6
    """Sample one frame of so many; 1 is every frame."""

    min_interval_usec: Microseconds = 200_000
    """Microseconds between two samples, at least; 0 is no limit."""

    queue_depth: Annotated[int, Field(ge=1, le=1024)] = 8
    """Frames that may wait for the detectors; beyond it the oldest is dropped and counted."""

    normalize: NormalizeSettings = NormalizeSettings()
    snapshots: SnapshotSettings = SnapshotSettings()
    clips: ClipSettings = ClipSettings()
    motion: MotionSettings = MotionSettings()


class SpeechSettings(SettingsModel):
    """``media.intelligence.speech``: voice activity by energy, in stream mode."""

    enabled: bool = False
    """Whether to run it."""

    queue_depth: Annotated[int, Field(ge=1, le=1024)] = 32
    """Audio frames that may wait for the detector; beyond it the oldest is dropped and counted."""

    start_threshold: Unit = 0.045
    """Level (mean absolute sample, 0 to 1) at which speech starts."""

    stop_threshold: Unit = 0.02
    """Level below which it ends after the silence; at most the start threshold."""

    min_silence_usec: Microseconds = 250_000
    """Microseconds below the stop threshold that end speech; 0 ends it at once."""

    update_interval_usec: Microseconds = 250_000
    """Microseconds between two updates while speech goes on; 0 is one for every audio frame."""


class DetectorSettings(SettingsModel):
    """One of ``media.intelligence.detectors``: a detector of the user's own."""

    use: DetectorUse
    """``module:Class`` that Python can import, ``file.py:Class``, or the name of an installed one
    (entry point group ``icey.detectors``)."""

    name: Annotated[
        str, Field(pattern=r"^[A-Za-z0-9_.-]{0,64}$"), Says("at most 64 of A-Z a-z 0-9 _ . -")
    ] = ""
    """What its events call it; empty is the installed one's name, or that of the class."""

    enabled: bool = True
    """Whether to run it; ``false`` also turns off one that is installed."""

    options: Annotated[dict[str, JsonValue], Says("an object")] = {}
    """Keyword arguments of the class."""

    every_nth_frame: Annotated[int, Field(ge=1, le=10_000)] | None = None
    """Sample one frame of so many; left out: as ``vision.everyNthFrame``."""

    min_interval_usec: Microseconds | None = None
    """Microseconds between two samples, at least; left out: as ``vision.minIntervalUsec``."""


class IntelligenceSettings(SettingsModel):
    """``media.intelligence``: side branches on decoded media, active in stream mode only."""

    vision: VisionSettings = VisionSettings()
    speech: SpeechSettings = SpeechSettings()

    detectors: Annotated[
        tuple[DetectorSettings, ...],
        Field(strict=False, max_length=16),
        Says(
            "a list of at most 16 objects with use, name, enabled, options, everyNthFrame, "
            "minIntervalUsec"
        ),
    ] = ()
    """Detectors of the user's own, beside those installed as packages; see detectors.md."""

    webhook: WebhookUrl = SecretStr("")
    """URL to which every event is posted as JSON; empty posts none."""


class MediaSettings(SettingsModel):
    """``media``: the mode and what it works on."""

    mode: Mode = "stream"
    """``stream``: server to browsers; ``record``: browser to disk; ``relay``: browser to
    browsers."""

    source: Source = ""
    """What stream mode plays; ``demo:`` is a moving test picture with a clock and a tone. Empty
    is allowed where the mode needs no source."""

    loop: bool = True
    """Whether a file starts again at its end; live sources never loop."""

    record_dir: FilePath = Path("recordings")
    """Folder of recordings, and of snapshots and clips unless these have their own; made when
    first needed."""

    pipeline: Literal["auto", "per-peer", "shared"] = "auto"
    """``per-peer``: each viewer has decoder and encoder of its own; ``shared``: all viewers see
    one; ``auto``: per-peer for a file, shared for a live source and ``demo:``."""

    passthrough_video: Annotated[bool | Literal["auto"], Says("true, false or auto")] = False
    """``true`` sends the H.264 of the source as it is; ``auto`` where browsers can decode it and
    nothing needs the pictures; ``false`` never. A passed-through bitrate cannot adapt."""

    video: VideoSettings = VideoSettings()
    audio: AudioSettings = AudioSettings()
    record: RecordSettings = RecordSettings()
    relay: RelaySettings = RelaySettings()
    intelligence: IntelligenceSettings = IntelligenceSettings()


class Settings(SettingsModel):
    """All settings of one server."""

    http: HttpSettings = HttpSettings()
    tls: TlsSettings = TlsSettings()
    auth: AuthSettings = AuthSettings()
    turn: TurnSettings = TurnSettings()
    webrtc: WebrtcSettings = WebrtcSettings()
    media: MediaSettings = MediaSettings()

    web_root: FilePath | None = None
    """Folder of the web UI; empty is the one inside the package."""

    log_level: LogLevel = "info"
    """The least grave level that is logged; ``trace`` logs frames and packets. Environment and
    flag only: no key in a config file."""

    @property
    def tls_active(self) -> bool:
        """Whether HTTP and WebSocket are served over TLS."""
        return self.tls.cert is not None and self.tls.key is not None

    @property
    def snapshots_dir(self) -> Path:
        """Folder of snapshots, its default resolved."""
        return self.media.intelligence.vision.snapshots.dir or self.media.record_dir / "snapshots"

    @property
    def clips_dir(self) -> Path:
        """Folder of clips, its default resolved."""
        return self.media.intelligence.vision.clips.dir or self.media.record_dir / "clips"
