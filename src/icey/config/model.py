"""Every setting: its key, type, default, unit, range, names outside the file, and edge values.

Attributes are the snake_case of the camelCase key in a config file. The models are
frozen and read nothing: no file, environment, clock or socket. `icey.config.load` fills them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, TypeAlias

from pydantic import Field, SecretStr

from icey.config.bindings import Binding
from icey.config.group import SettingsModel
from icey.config.intelligence import IntelligenceSettings
from icey.config.limits import LimitsSettings
from icey.config.values import (
    FileMode,
    FilePath,
    Host,
    HostPatterns,
    IpAddress,
    IpAddresses,
    Networks,
    OpusRate,
    Origins,
    PictureSide,
    Port,
    Realm,
    RelayPort,
    Says,
    Secret,
    Source,
    Switch,
    TokenText,
)

MAX_CREDENTIAL_TTL_SECONDS = 86_400
"""One day: a longer ``turn.credentialTtlSeconds`` is clamped to it, with a warning."""

Mode: TypeAlias = Literal["stream", "record", "relay"]
LogLevel: TypeAlias = Literal["trace", "debug", "info", "warn", "error"]

TRACE = 5
"""The level of `logging` that ``trace`` stands for: below DEBUG."""


class HttpSettings(SettingsModel):
    """``http``: the port of the page, the API and the signalling WebSocket."""

    host: Annotated[Host, Binding("ICEY_HOST", "--host", "HOST", "address to listen on")] = (
        "0.0.0.0"  # noqa: S104 - a server for the local network is the purpose
    )
    """Address or host name to bind; ``0.0.0.0`` is every IPv4 address of this machine, ``::`` every
    IPv6 one, ``127.0.0.1`` this machine alone."""

    port: Annotated[
        Port,
        Binding(
            "ICEY_PORT",
            "--port",
            "PORT",
            "TCP port of the page, the API and the signalling; 0 takes a free one",
        ),
    ] = 4500
    """TCP port; 0 takes any free one, which the line printed at start then names."""

    hosts: HostPatterns = ()
    """Further names by which browsers reach this server, such as `cam.example.org`, or
    `*.example.org` for one label. Addresses, `localhost`, this machine's own names, those of
    `auth.allowedOrigins` and those of the certificate need not be here; a request to any other
    name gets 421."""

    trusted_proxies: Networks = ()
    """Addresses or networks of proxies whose `X-Forwarded-For` and `X-Forwarded-Proto` are
    believed, such as `127.0.0.1`. All others' clients count as one: the proxy."""


class TlsSettings(SettingsModel):
    """``tls``: HTTPS and WSS where both are set, plain HTTP where neither is."""

    cert: Annotated[
        FilePath | None,
        Binding(
            "ICEY_TLS_CERT",
            "--tls-cert",
            "FILE",
            "certificate with its chain, PEM; HTTPS where this and the key are given",
        ),
    ] = None
    """PEM file with the certificate and its chain; empty is plain HTTP."""

    key: Annotated[
        FilePath | None,
        Binding(
            "ICEY_TLS_KEY",
            "--tls-key",
            "FILE",
            "private key of the certificate, PEM, without a passphrase",
        ),
    ] = None
    """PEM file with the private key of that certificate, without a passphrase."""


class AuthSettings(SettingsModel):
    """``auth``: who may use the API and the signalling."""

    token: Annotated[Secret, Binding("ICEY_AUTH_TOKEN")] = SecretStr("")
    """The access token that clients must show; empty lets everyone in. There is no flag for it,
    because command lines are visible to every user of a machine."""

    allowed_origins: Origins = ()
    """Web origins whose pages may connect, besides the server's own; kept as browsers write them
    (lower case, without a default port)."""


class TurnSettings(SettingsModel):
    """``turn``: the built-in TURN server (RFC 8656) for browsers behind strict networks."""

    enabled: Annotated[
        bool, Binding("ICEY_TURN", help="do not run the built-in TURN server", off_flag="--no-turn")
    ] = True
    """Whether to run it."""

    port: Annotated[Port, Binding("ICEY_TURN_PORT", "--turn-port", "PORT", "port of TURN")] = 3478
    """UDP and TCP port; 0 takes one that is free for both."""

    tls_port: Port = 0
    """TCP port of TURN over TLS (``turns:``), with the certificate of ``tls.cert``; 0 is off."""

    realm: Realm = "icey"
    """The authentication realm (RFC 8489 §14.9)."""

    external_ip: Annotated[
        IpAddress,
        Binding(
            "ICEY_TURN_EXTERNAL_IP",
            "--turn-external-ip",
            "IP",
            "public address of this machine behind a NAT",
        ),
    ] = ""
    """The public address of this machine where it sits behind a NAT; also advertised as an ICE
    candidate. Empty: the addresses of its interfaces are the reachable ones."""

    secret: Annotated[Secret, Binding("ICEY_TURN_SECRET")] = SecretStr("")
    """Shared secret that signs TURN credentials; empty makes a random one at each start, so that
    credentials do not outlive the process."""

    username: TokenText = ""
    """Suffix of the user names handed out, ``<unix expiry>:<suffix>``; empty leaves it away."""

    credential_ttl_seconds: Annotated[int, Field(ge=1, le=MAX_CREDENTIAL_TTL_SECONDS)] = 3600
    """Seconds for which a credential is valid; more than 86400 (a day) is clamped to that."""

    allow_internet_relay: bool = False
    """Whether TURN may relay to anybody on the internet. Off: viewers need this server's own media
    and its relayed addresses, and these can be reached in any case; on, whoever may ask for
    ``/api/config`` has a relay that sends in this server's name."""

    allow_local_relay: bool = False
    """Whether TURN may relay to private addresses. Off, so that a credential is no door into the
    network behind the server; the server's own media can be reached in any case."""

    max_allocations: Annotated[int, Field(ge=4, le=16_384)] = 4096
    """Allocations (RFC 8656 §2) that may live at a time. A browser makes several for a call: one
    for each of its networks over UDP, TCP and TLS."""

    user_quota: Annotated[int, Field(ge=4, le=16_384)] = 8
    """Allocations that one user name may have at a time. Each page gets a name of its own."""

    address_quota: Annotated[int, Field(ge=0, le=16_384)] = 128
    """Allocations that one address may have at a time, a /64 of IPv6 as one; 0 is no limit. Behind
    one NAT, 20 viewers whose browsers try UDP, TCP and TLS over two networks have 120."""

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

    deinterlace: Switch = "auto"
    """``auto``: interlaced pictures are made whole, where they say so or are found to be; ``on``:
    all pictures are treated as interlaced; ``off``: none."""

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
    """Bytes of all finished recordings together above which the oldest are removed, of the callers'
    address first that has most of them; 0 is no limit. The newest stays, unless it alone has more
    than half. A recording goes on in a new file when it has a quarter of them."""


class RelaySettings(SettingsModel):
    """``media.relay``: one browser's media to all others."""

    max_viewers: Annotated[int, Field(ge=0, le=100_000)] = 0
    """Viewers at the most; one more is refused with this reason. 0 is no limit."""

    max_bitrate: Annotated[int, Field(ge=0, le=100_000_000)] = 0
    """Bit/s that the source may send, all its layers together; 0 leaves it to the browser."""

    return_seconds: Annotated[int, Field(ge=0, le=300)] = 10
    """Seconds for which the place of a source that is gone is kept for it, as while its page is
    loaded again; others who would broadcast wait for so long. 0 gives it to the next at once."""

    simulcast: bool = True
    """Whether the source may send its picture in several sizes at once, of which each viewer gets
    the best one that its network carries."""


class MediaSettings(SettingsModel):
    """``media``: the mode and what it works on."""

    mode: Annotated[
        Mode,
        Binding(
            "ICEY_MODE",
            "--mode",
            "MODE",
            "stream (server to browsers), record (browser to disk) or relay (browser to browsers)",
        ),
    ] = "stream"
    """``stream``: server to browsers; ``record``: browser to disk; ``relay``: browser to
    browsers."""

    source: Annotated[
        Source,
        Binding(
            "ICEY_SOURCE",
            "--source",
            "SOURCE",
            "what to stream: a file, /dev/video0, rtsp://camera/stream, or demo: (a test picture)",
        ),
    ] = ""
    """What stream mode plays; ``demo:`` is a moving test picture with a clock and a tone. Empty
    is allowed where the mode needs no source."""

    loop: Annotated[
        bool,
        Binding("ICEY_LOOP", "--loop", "", "start a file again at its end", off_flag="--no-loop"),
    ] = True
    """Whether a file starts again at its end; live sources never loop."""

    record_dir: Annotated[
        FilePath,
        Binding("ICEY_RECORD_DIR", "--record-dir", "DIR", "folder for recordings"),
    ] = Path("recordings")
    """Folder of recordings, and of snapshots and clips unless these have their own; made when
    first needed."""

    file_mode: FileMode = "0640"
    """Who may read and write recordings, snapshots and clips, as ``chmod`` takes it: by default the
    server's user, and its group reads. Folders that the server makes may be entered by whoever may
    read; what is there already stays as it is."""

    pipeline: Literal["auto", "per-peer", "shared"] = "auto"
    """``per-peer``: each viewer has decoder and encoder of its own; ``shared``: all viewers see
    one; ``auto``: per-peer for a file, shared for a live source and ``demo:``."""

    max_encoders: Annotated[
        Annotated[int, Field(ge=0, le=4096)] | Literal["auto"],
        Says("an integer from 0 to 4096, or auto"),
    ] = "auto"
    """Pipelines with an encoder of their own that may run at a time. One more viewer of a file
    shares a pipeline with others where ``media.pipeline`` is ``auto``, and is refused where it is
    ``per-peer``. ``auto`` counts the cores and measures what an encoder of ``media.video`` costs;
    0 is no bound."""

    passthrough_video: Annotated[bool | Literal["auto"], Says("true, false or auto")] = False
    """``true`` sends the H.264 of the source as it is; ``auto`` where browsers can decode it and
    nothing needs the pictures; ``false`` never. A passed-through bitrate cannot adapt."""

    rtsp_transport: Literal["auto", "tcp", "udp"] = "auto"
    """How packets of an RTSP camera travel: ``auto`` is TCP, or UDP where the camera refuses
    that."""

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
    limits: LimitsSettings = LimitsSettings()

    web_root: Annotated[
        FilePath | None,
        Binding(
            "ICEY_WEB_ROOT",
            "--web-root",
            "DIR",
            "folder of another web UI than the one inside the package",
        ),
    ] = None
    """Folder of the web UI; empty is the one inside the package."""

    log_level: Annotated[
        LogLevel,
        Binding(
            "ICEY_LOG_LEVEL",
            "--log-level",
            "LEVEL",
            "trace, debug, info, warn or error",
            in_file=False,
        ),
    ] = "info"
    """The least grave level that is logged; ``trace`` adds, once a second, what changed in the
    counters of ``/api/status``, those of frames and datagrams among them. Environment and flag
    only: no key in a config file."""

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
