# ruff: noqa: PYI021, S104 - this stub is the documentation of a binary without docstrings
"""The packet engine: ICE, DTLS, SRTP, RTP and RTCP for every peer on one UDP port. TURN, RTSP, SRT.

Written in Rust (``rust/engine``); this file is its documentation and is checked
against the binary. Every call releases the GIL, and none but the receivers' and `probe_turn` waits
for the network. `Peer.accept_offer`, `Peer.stats`, and ``close`` of an engine, a TURN server or a
receiving peer wait for the engine's or the server's thread.
Packets never cross this border: encoded access units go in or come out, and events come out.

Events, frames and counters are made by the engine; their constructors, which take each field by
name, are for tests.
"""

from collections.abc import Sequence
from typing import Final, Literal, TypeAlias, final

__all__ = [
    "BitrateEstimated",
    "Engine",
    "EngineStats",
    "Event",
    "KeyframeRequested",
    "MediaStarted",
    "Peer",
    "PeerCongested",
    "PeerConnected",
    "PeerDisconnected",
    "PeerReached",
    "PeerStats",
    "ReceivedFrame",
    "RtspFrame",
    "RtspSource",
    "SrtReceiver",
    "Track",
    "TurnProbe",
    "TurnServer",
    "TurnStats",
    "__version__",
    "probe_turn",
]

__version__: str

@final
class PeerReached:
    """The first connectivity check with the call's credentials came, and was answered.

    Whoever offered has the answer and is there on UDP. Sent once for a peer, before
    `PeerConnected`.
    """

    def __new__(cls, *, peer: int) -> PeerReached: ...
    peer: Final[int]

@final
class PeerConnected:
    """ICE and DTLS are up: media may flow. Sent once for a peer."""

    def __new__(cls, *, peer: int) -> PeerConnected: ...
    peer: Final[int]

@final
class PeerDisconnected:
    """The peer is gone and its resources are freed; the last event that names it.

    ``reason``: ``"closed by peer"`` (DTLS close_notify), ``"connection lost"`` (nothing heard for
    15 to 20 s), ``"connection failed"`` (never came up within 15 s) or ``"internal error: …"``.
    A peer that Python closed gets no such event. Every later call on the peer raises
    `icey.errors.ClosedError`.
    """

    def __new__(cls, *, peer: int, reason: str, pairs: Sequence[str] = ...) -> PeerDisconnected: ...
    peer: Final[int]
    reason: Final[str]
    pairs: Final[list[str]]
    """Of ``"connection failed"``: what was tried, one line a remote candidate, for people.

    ``"browser host 192.168.1.7:50022 to 192.0.2.1:4501: 9 checks sent, none answered"``. Each
    line has the candidate's type and address, this server's address and what was seen. The
    first line says so where the browser sent no candidate that can be used, or nothing was
    heard of it at all. At most 32 lines; [] for every other reason.
    """

@final
class KeyframeRequested:
    """A viewer needs a keyframe of this video track.

    It sent a PLI or FIR (RFC 4585 §6.3.1, RFC 5104 §4.3.1), it has just been attached or
    connected, it can follow again after frames were dropped for it, or the track's own queue was
    full. Equal requests that wait are one. Not told of routed tracks, see `Engine.route`.
    """

    def __new__(cls, *, peer: int, track: int) -> KeyframeRequested: ...
    peer: Final[int]
    track: Final[int]

@final
class BitrateEstimated:
    """What the path to this peer carries, in bit/s, all its tracks together.

    The smaller one of the peer's REMB and the send-side estimate (TWCC), where there are both, and
    less where receiver reports tell of losses (not of a relay's viewers).
    Sent when it changes by more than 3 %, at most ten times a second for a peer.
    """

    def __new__(cls, *, peer: int, bitrate: int) -> BitrateEstimated: ...
    peer: Final[int]
    bitrate: Final[int]

@final
class MediaStarted:
    """The first packet of a stream of a peer made with ``deliver="packets"``.

    Told again when the stream was silent for more than two seconds.
    """

    def __new__(
        cls, *, peer: int, kind: Literal["video", "audio"], layer: str = ...
    ) -> MediaStarted: ...
    peer: Final[int]
    kind: Final[Literal["video", "audio"]]
    layer: Final[str]
    """The simulcast layer, one of `Peer.layers`; "" without simulcast, and of audio."""

@final
class PeerCongested:
    """Video to this peer is dropped to a later keyframe, or goes on again.

    Dropped because its path loses packets and carries less than is sent (routed tracks), because
    the pacer's queue is too old (``estimation="twcc"``), or because the socket was full. Of events
    that wait for one peer, only the newest is kept.
    """

    def __new__(cls, *, peer: int, congested: bool) -> PeerCongested: ...
    peer: Final[int]
    congested: Final[bool]

Event: TypeAlias = (
    PeerReached
    | PeerConnected
    | PeerDisconnected
    | KeyframeRequested
    | BitrateEstimated
    | MediaStarted
    | PeerCongested
)

@final
class EngineStats:
    """Counters since the start of the engine; all but ``peers`` and ``tracks`` only grow."""

    def __new__(
        cls,
        *,
        peers: int = ...,
        tracks: int = ...,
        packets_sent: int = ...,
        bytes_sent: int = ...,
        packets_received: int = ...,
        bytes_received: int = ...,
        packets_dropped: int = ...,
        packets_unknown: int = ...,
        frames_dropped: int = ...,
        checks_refused: int = ...,
        events_dropped: int = ...,
        panics: int = ...,
    ) -> EngineStats: ...
    peers: Final[int]
    tracks: Final[int]
    packets_sent: Final[int]
    bytes_sent: Final[int]
    packets_received: Final[int]
    bytes_received: Final[int]
    packets_dropped: Final[int]
    """Outgoing packets thrown away because the socket's queue was full."""
    packets_unknown: Final[int]
    """Incoming packets that belong to no peer, or that make no sense."""
    frames_dropped: Final[int]
    """Access units thrown away: a full command queue, or a viewer that cannot keep up."""
    checks_refused: Final[int]
    """ICE checks not sent, because there were too many to addresses that never answered."""
    events_dropped: Final[int]
    """Bitrate events merged away; state events are never dropped."""
    panics: Final[int]
    """Peers closed by a caught panic. Anything but 0 is a bug."""

@final
class PeerStats:
    """One peer's path and traffic."""

    def __new__(
        cls,
        *,
        connected: bool = ...,
        pairs: Sequence[str] = ...,
        remote_address: str = ...,
        packets_sent: int = ...,
        bytes_sent: int = ...,
        packets_resent: int = ...,
        nacks: int = ...,
        plis: int = ...,
        frames_dropped: int = ...,
        rtt_ms: float | None = ...,
        loss: float | None = ...,
        bitrate_estimate: int | None = ...,
        packets_received: int = ...,
        bytes_received: int = ...,
        packets_lost: int = ...,
        frames_received: int = ...,
        frames_lost: int = ...,
        nacks_sent: int = ...,
        plis_sent: int = ...,
    ) -> PeerStats: ...
    connected: Final[bool]
    pairs: Final[list[str]]
    """What was tried, as in `PeerDisconnected.pairs`; [] once it is connected."""
    remote_address: Final[str]
    """``ip:port`` of the chosen path; empty before ICE is up."""
    packets_sent: Final[int]
    bytes_sent: Final[int]
    packets_resent: Final[int]
    """RTX packets (RFC 4588)."""
    nacks: Final[int]
    plis: Final[int]
    """Keyframe requests: PLI and FIR."""
    frames_dropped: Final[int]
    """Access units not sent because this viewer could not keep up."""
    rtt_ms: Final[float | None]
    loss: Final[float | None]
    """Fraction lost, 0..1, from the newest receiver report."""
    bitrate_estimate: Final[int | None]
    packets_received: Final[int]
    """RTP packets of media from the browser, resent ones too, without second copies."""
    bytes_received: Final[int]
    """The bytes of their payloads."""
    packets_lost: Final[int]
    """Packets that were missing for too long: 1 s for video, 400 ms for audio."""
    frames_received: Final[int]
    """Frames put into the queue of `Peer.pull`."""
    frames_lost: Final[int]
    """Frames that were not.

    Incomplete, dependent on one that is missing, or without room in the queue. Of pictures of
    which no packet came at all, nothing is known, and they are not counted.
    """
    nacks_sent: Final[int]
    """NACK messages for video (RFC 4585 §6.2.1); counted each second."""
    plis_sent: Final[int]
    """Keyframes asked for (RFC 4585 §6.3.1)."""

@final
class ReceivedFrame:
    """One access unit of video, or one packet of audio, from a browser."""

    def __new__(
        cls,
        *,
        codec: Literal["h264", "vp8", "opus"],
        data: bytes,
        timestamp: int,
        arrived_ns: int,
        report: tuple[int, int] | None = None,
        keyframe: bool = True,
        after_loss: bool = False,
    ) -> ReceivedFrame: ...
    kind: Final[Literal["video", "audio"]]
    codec: Final[Literal["h264", "vp8", "opus"]]
    data: Final[bytes]
    """H.264: one access unit, Annex B. VP8: one frame. Opus: one packet."""
    timestamp: Final[int]
    """RTP timestamp extended past 32 bits; 90000 (video) or 48000 (audio) a second.

    It never wraps. Where the sender starts anew (another SSRC after `replaceTrack` or a
    renegotiation, or a clock that jumps by more than 10 s against the time that passed), it
    goes on by the clock of arrival, and that frame has ``after_loss``.
    """
    arrived_ns: Final[int]
    """When the last of its packets arrived, on `time.monotonic_ns`'s clock."""
    report: Final[tuple[int, int] | None]
    """The newest RTCP sender report of this stream (RFC 3550 §6.4.1).

    The sender's wallclock in ns since the Unix epoch, and the same moment on ``timestamp``'s
    axis. None before the first, and before the first after the sender started anew.
    """
    keyframe: Final[bool]
    """H.264: an IDR, with its SPS and PPS in front. VP8: a key frame. Audio: always True."""
    after_loss: Final[bool]
    """Between this frame and the one of its kind before it, something is missing.

    Lost packets, frames that found no room, a pause by renegotiation, or a sender that
    started anew. Video then goes on with a keyframe, always.
    """

@final
class Engine:
    """The UDP port, its thread and every peer behind it."""

    def __new__(
        cls, *, host: str = "0.0.0.0", port: int = 0, additional_hosts: Sequence[str] = ()
    ) -> Engine:
        """Bind the port and start the thread.

        Args:
            host: the address to bind; ``0.0.0.0`` advertises every local address, loopback too.
            port: UDP port; 0 takes a free one.
            additional_hosts: further IP addresses to advertise (a NAT's public address).

        Raises:
            AddressInUseError: the port is taken.
            EngineError: an address is not one of this machine, or not an IP address.
        """
    @property
    def port(self) -> int: ...
    @property
    def event_fd(self) -> int:
        """An eventfd that is readable while events wait; `poll_events` clears it."""
    @property
    def addresses(self) -> list[str]:
        """The advertised IP addresses."""
    def poll_events(self) -> list[Event]:
        """Take every waiting event, oldest first."""
    def create_track(self, kind: Literal["video", "audio"]) -> Track:
        """Make a track of H.264 (Annex B access units) or of Opus packets, without viewers yet."""
    def create_peer(
        self,
        *,
        direction: Literal["send", "receive", "both"] = "send",
        deliver: Literal["frames", "packets"] = "frames",
        simulcast: bool = False,
        estimation: Literal["remb", "twcc"] = "remb",
        max_bitrate: int | None = None,
        start_bitrate: int | None = None,
    ) -> Peer:
        """Make a peer that waits for an offer.

        Args:
            direction: ``send`` sends it tracks; ``receive`` takes what the browser sends; ``both``
                does both on one connection, each in the sections that the browser offers for it.
            deliver: of a peer that receives: ``frames`` puts them together for `Peer.pull`;
                ``packets`` leaves them as they are, for `route`, and `Peer.pull` stays empty. Then
                only H.264 of a Baseline profile in packetization mode 1 is accepted, which every
                viewer takes, and Opus.
            simulcast: with ``packets``: accept up to three simulcast layers, see `Peer.layers`.
            estimation: ``remb`` leaves the estimate to the browser, and is the cheapest; it is
                the one for routed tracks. ``twcc`` estimates here and paces the packets, for
                peers whose encoder follows.
            max_bitrate: of a peer that sends, with ``twcc`` only: bit/s that its tracks may reach
                together, None for 2 500 000. The estimate probes no further.
                Of a peer that receives: what the browser may send of video, in bit/s; None or 0
                leaves it to the path. Told in the answer (``b=TIAS``) and by REMB, see
                `Peer.limit_bitrate`.
            start_bitrate: with ``twcc`` only: bit/s that its path is taken to carry at first, None
                for ``max_bitrate``. Probes for three and six times as much follow at once.
        """
    def attach(self, peer: Peer, track: Track) -> None:
        """Send this track to this peer, in place of its earlier track of that kind.

        Allowed at any time: media starts once the peer is connected, and video at the first
        keyframe after that. On a change of track, sequence numbers and timestamps go on
        without a jump, and the old track is sent until the new one has a keyframe.
        """
    def detach(self, peer: Peer, kind: Literal["video", "audio"]) -> None: ...
    def route(self, source: Peer, track: Track, layer: str = "") -> None:
        """Send what this source sends of the track's kind to the track's viewers from now on.

        In place of what fed the track before. Packets are forwarded as they come, with the
        viewer's own payload type, SSRC, numbers and timestamps, which go on without a jump over
        changes of source and of track; video begins at a keyframe. Viewers' NACKs are answered
        here, and what they need of keyframes goes to the source, at most one request in 500 ms.
        When the source is closed or gone, the track waits for the next; its viewers stay.

        Args:
            source: a peer made with ``direction="receive"`` and ``deliver="packets"``.
            track: what is pushed to it is dropped and counted from now on.
            layer: one of `Peer.layers`; "" for the only or the first one.

        Raises:
            ClosedError: the track or the engine was closed.
        """
    def unroute(self, track: Track) -> None:
        """Feed a track from no source any more; its viewers stay.

        Raises:
            ClosedError: the track or the engine was closed.
        """
    def stats(self) -> EngineStats: ...
    def close(self) -> None:
        """Close every peer (the browsers get a DTLS close), free the port, end the thread."""

@final
class Peer:
    """One browser. A peer that is garbage collected is closed."""

    @property
    def id(self) -> int: ...
    def accept_offer(self, sdp: str) -> str:
        """Answer an offer; a later one on the same peer is a renegotiation or an ICE restart.

        The answer carries every host candidate; none is trickled.

        Raises:
            OfferError: broken SDP, or no codec in common: ``codec: browser offers no H.264`` (of a
                peer that receives: ``… no H.264 or VP8``, and ``media: this server records, so
                the offer must send``). On a peer without an accepted offer, another offer may
                follow.
            ClosedError: the peer was closed.
        """
    def add_candidate(self, candidate: str) -> None:
        """Add a remote candidate, with or without ``a=`` and ``candidate:`` before it.

        mDNS (``.local``) and TCP candidates and the empty end-of-candidates are ignored.

        Raises:
            CandidateError: the text is not a candidate.
            ClosedError: the peer was closed.
        """
    @property
    def codecs(self) -> tuple[Literal["h264", "vp8", "opus"], ...]:
        """What the newest answer accepted to receive; () before one and on peers that send.

        One video codec and one audio codec at most. A browser that mutes by renegotiation takes
        its codec away and brings it back.
        """
    @property
    def layers(self) -> tuple[str, ...]:
        """The simulcast layers that the answer accepted, in the order of the offer.

        () without simulcast. A browser that offers its smallest first has them lowest first.
        """
    def limit_bitrate(self, bits_per_second: int) -> None:
        """Limit what the browser sends of video, all layers together; 0 lifts the limit.

        Told by REMB each second, and in later answers.

        Raises:
            ClosedError: the peer was closed.
        """
    def probe(self, bits_per_second: int) -> None:
        """Find out whether the path to a viewer of routed tracks carries so much.

        A browser that estimates by itself (REMB) believes that its path carries little more than
        what comes, but in its first two seconds of video it takes note of probes. So some 60 ms
        after the next picture up to three bursts of seven packets are sent at that rate, resends of
        packets that it has, until an estimate says that it is enough.

        Raises:
            ClosedError: the peer was closed.
        """
    def pull(self, max_frames: int = 512) -> list[ReceivedFrame]:
        """Take the oldest received frames, video and audio as they were completed.

        Never waits, and goes on after the peer is closed or gone. At most 1600 frames or 16 MiB
        wait; then new ones are dropped and counted, of video up to the next keyframe. Video
        begins with a keyframe.
        """
    def request_keyframe(self) -> None:
        """Ask the browser for a keyframe (PLI); at most one is sent in 300 ms.

        The engine asks by itself at the start and after a loss, each second until one is there.

        Raises:
            ClosedError: the peer was closed.
        """
    def stats(self) -> PeerStats: ...
    def close(self) -> None:
        """Say goodbye (DTLS close_notify) and free everything. Closing twice is harmless.

        Returns at once for a peer that sends. For one that receives it waits up to 2 s for the
        engine's thread, so that its last whole frames are there for `pull`: not for an event loop.
        """

@final
class Track:
    """A stream of encoded access units that any number of peers receive.

    A track that is garbage collected is closed.
    """

    @property
    def id(self) -> int: ...
    def push(self, data: bytes, timestamp: int, captured_ns: int, keyframe: bool) -> None:
        """Send one access unit (video, Annex B) or one packet (Opus) to every attached peer.

        Args:
            data: the encoded bytes; at most 4 MiB of video, 1400 bytes of Opus.
            timestamp: media time in units of the RTP clock (90000 or 48000 a second); any origin,
                wide enough never to wrap; grows from push to push.
            captured_ns: when that moment of media was taken or due, on `time.monotonic_ns`'s
                clock. Audio and video of one source share it: RTCP sender reports tell the
                browser, which keeps lips and voice together by it (RFC 3550 §6.4.1). A moment
                that is still to come is taken for now.
            keyframe: the access unit is an IDR with its SPS and PPS. Always True for audio.

        A full queue drops the access unit, counts it and, for video, asks for a keyframe.

        Raises:
            ClosedError: the track or the engine was closed.
            ValueError: the data is empty, too large, or holds no Annex B NAL unit.
        """
    @property
    def viewers(self) -> int: ...
    @property
    def backlog_ms(self) -> int:
        """How long video waits to be sent to its only viewer, in ms; 0 with several, or ``remb``.

        Beyond 600 ms what waits is thrown away, and a keyframe asked for.
        """
    @property
    def bitrate(self) -> int:
        """What came in over the last second, in bit/s: pushed, or from a source."""
    @property
    def frames(self) -> int:
        """Pictures (their last packets) or audio packets that came in since the start."""
    def close(self) -> None: ...

@final
class RtspFrame:
    """An access unit, or a frame of sound, of an RTSP stream."""

    kind: Final[Literal["video", "audio"]]
    data: Final[bytes]
    """H.264 and H.265: Annex B, a keyframe with its parameter sets in front. Else as it comes."""
    timestamp: Final[int]
    """RTP timestamp extended past 32 bits, as the camera says it; it may stand, jump and lie."""
    clock_rate: Final[int]
    """Units a second of ``timestamp``."""
    arrived_ns: Final[int]
    """When its last packet arrived, on `time.monotonic_ns`'s clock."""
    placed_ns: Final[int]
    """The moment of it by the arrival of all of its kind, without jitter; the same clock."""
    report: Final[tuple[int, int] | None]
    """The newest RTCP sender report of this stream (RFC 3550 §6.4.1), None before the first.

    The camera's wallclock in ns since 1900, and the same moment on ``timestamp``'s axis.
    """
    keyframe: Final[bool]
    """Decoding can begin here; always True of sound."""
    after_loss: Final[bool]
    """Something is missing between this frame and the one of its kind before it."""

@final
class RtspSource:
    """A live RTSP stream (RFC 2326), an access unit the moment its last packet is here.

    It has a thread of its own (``rust/rtsp``). Frames go to tracks of the engine (`forward`)
    without Python, and copies into a queue for `pull`. One that is garbage collected is closed.
    """

    def __new__(
        cls,
        *,
        url: str,
        user: str = "",
        password: str = "",
        transport: Literal["auto", "tcp", "udp"] = "auto",
        open_timeout_s: float = 5.0,
        silence_s: float = 5.0,
    ) -> RtspSource:
        """Connect and have the stream play; waits for that.

        Args:
            url: ``rtsp://HOST[:PORT]/…`` without user and password.
            user: "" for none.
            password: as it is, not percent-encoded.
            transport: ``auto`` is TCP, or UDP where the camera refuses that with status 461.
            open_timeout_s: how long all of it may take, s.
            silence_s: how long a stream that plays may send nothing, s.

        Raises:
            UnsupportedError: FFmpeg may fare better: what the camera says makes no sense here, or
                it has pictures, or sound, in a format that only FFmpeg knows.
            EngineError: nobody answers, or the camera refuses. No text has user or password.
            ValueError: a time is out of range.
        """
    @property
    def video_codec(self) -> str:
        """FFmpeg's name: h264, hevc or mjpeg; "" without pictures."""
    @property
    def frame_rate(self) -> tuple[int, int] | None:
        """Frames a second as a fraction, where the camera says so."""
    @property
    def audio_codec(self) -> str:
        """FFmpeg's name: opus, aac, pcm_mulaw, …; "" without sound."""
    @property
    def sample_rate(self) -> int: ...
    @property
    def channels(self) -> int: ...
    @property
    def audio_extra_data(self) -> bytes:
        """AAC's AudioSpecificConfig; b"" of other codecs."""
    @property
    def left_out(self) -> str | None:
        """The sound that the camera has and nobody knows, by its name in the SDP."""
    @property
    def udp(self) -> bool:
        """Whether packets come by UDP."""
    def want(self, *, video: bool, audio: bool) -> None:
        """Say what is put into the queue of `pull` from now on; nothing at first.

        Pictures begin with the group of pictures that is kept. At most 120 pictures and 250 frames
        of sound wait; then all pictures up to a keyframe, or the oldest sound, are dropped and
        counted.
        """
    def pull(self, max_frames: int = 64, patience_s: float = 0.0) -> list[RtspFrame]:
        """Take the oldest frames that wait; wait for one so long at most, s.

        Raises:
            EngineError: the stream ended, and nothing waits any more.
            UnsupportedError: likewise, by what FFmpeg may know.
            ValueError: ``patience_s`` is out of range.
        """
    def forward(self, video: Track | None, audio: Track | None, epoch_ns: int) -> None:
        """Push all that comes from now on to tracks, until these are closed or it ends.

        Pictures are to be H.264, and those that lean on a lost one are left out up to a keyframe.
        The video track is given the group of pictures that is kept, and keeps the newest one from
        now on: a viewer who comes between two keyframes is sent it at once, five times as fast as
        in real time. Sound is pushed where it is Opus.

        Args:
            video: where pictures go.
            audio: where Opus packets go.
            epoch_ns: when media time 0 is, on `time.monotonic_ns`'s clock.
        """
    def group(self) -> list[bytes]:
        """The newest group of pictures, from its keyframe on.

        [] before the first, and where it has more than 8 MiB.
        """
    @property
    def frames(self) -> int:
        """Frames that were received."""
    @property
    def dropped(self) -> int:
        """Frames that found no room in the queue."""
    @property
    def incomplete(self) -> int:
        """Pictures that lean on a lost one, and were not forwarded."""
    def close(self) -> None:
        """Say goodbye to the camera and end the thread. Twice is harmless."""

@final
class SrtReceiver:
    """A live SRT stream (draft-sharabayko-srt) whose payload comes out of a pipe.

    It has a thread of its own (``rust/srt``) and its pipe holds 1 MiB; what does not fit is
    dropped. The stream ends with EOF. One that is garbage collected is closed.
    """

    def __new__(
        cls,
        *,
        host: str,
        port: int,
        listen: bool = False,
        stream_id: str = "",
        passphrase: str = "",
        key_bytes: int = 0,
        latency_ms: int | None = None,
        timeout_s: float = 5.0,
    ) -> SrtReceiver:
        """Connect, which takes up to ``timeout_s``; the only call here that waits.

        Args:
            host: name or address of the sender; with ``listen`` the address to bind, "" for all.
            port: UDP port.
            listen: wait for a sender that calls, and take the first one.
            stream_id: at most 512 bytes; "" for none.
            passphrase: 10 to 79 bytes; "" for none.
            key_bytes: length of the AES key, 16, 24 or 32; 0 for the sender's.
            latency_ms: how long lost packets may take to be sent again; None for SRT's 120 ms.
            timeout_s: how long connecting may take, and how long the sender may be silent, s.

        Raises:
            EngineError: nobody answered, the other side refused, or an option is not allowed. No
                text has the passphrase.
            ValueError: ``timeout_s`` is out of range.
        """
    def fileno(self) -> int:
        """The end of the pipe to read from; this object owns it, and `close` leaves it open."""
    @property
    def dropped(self) -> int:
        """Packets thrown away because the pipe was full."""
    def error(self) -> str | None:
        """Why the stream ended; None while it runs, and where `close` ended it."""
    def close(self) -> None:
        """Say goodbye to the sender and end the pipe: its reader gets EOF. Twice is harmless."""

@final
class TurnStats:
    """Counters of a TURN server since its start; all but the first two only grow."""

    allocations: Final[int]
    """Allocations that live now."""
    connections: Final[int]
    """Open TCP and TLS connections of clients."""
    allocations_total: Final[int]
    connections_total: Final[int]
    """TCP and TLS connections that were accepted."""
    packets_to_peers: Final[int]
    """Datagrams relayed from clients to peers, those of the short cut too."""
    bytes_to_peers: Final[int]
    """Their payloads, without any header."""
    packets_from_peers: Final[int]
    bytes_from_peers: Final[int]
    packets_short_cut: Final[int]
    """Datagrams to and from the engine of this process, which no socket has seen."""
    packets_dropped: Final[int]
    """Datagrams thrown away because a socket's or a connection's queue was full."""
    connections_refused: Final[int]
    """TCP connections closed at once: too many in all or of one address."""
    connections_dropped: Final[int]
    """Connections ended by the server.

    For broken framing, a failed or slow TLS handshake, no allocation for too long, or a
    reader so slow that its queue stayed full.
    """
    panics: Final[int]
    """Times that all allocations were dropped by a caught panic. Anything but 0 is a bug."""
    refusals: Final[dict[str, int]]
    """Requests and datagrams that were refused, by reason; every reason is there, if with 0."""

@final
class TurnServer:
    """A TURN server (RFC 8656) on UDP, TCP and, where asked for, TLS, in a thread of its own.

    Media between an allocation and the engine's own addresses pass inside the process. One that is
    garbage collected is closed.
    """

    def __new__(
        cls,
        engine: Engine,
        *,
        host: str = "0.0.0.0",
        port: int = 3478,
        tls_port: int | None = None,
        certificate: str = "",
        key: str = "",
        realm: str,
        secret: bytes,
        external_ip: str = "",
        allow_internet_relay: bool = False,
        allow_local_relay: bool = False,
        refused_ports: Sequence[int] = (),
        max_allocations: int,
        user_quota: int,
        address_quota: int = 0,
        max_bitrate: int,
        relay_ports: tuple[int, int],
    ) -> TurnServer:
        """Bind the ports and start the thread.

        Args:
            engine: whose advertised addresses may be relayed to although they are local.
            host: the IP address to bind, for clients and for relayed addresses.
            port: UDP and TCP port; 0 takes one that is free for both.
            tls_port: TCP port for TLS (``turns:``); None for no TLS, 0 takes a free one.
            certificate: path of the PEM file with the server's certificate chain, for TLS.
            key: path of the PEM file with its private key.
            realm: the authentication realm (RFC 8489 §14.9).
            secret: signs credentials: user ``<unix expiry>[:…]``, password
                ``base64(HMAC-SHA1(secret, user))``.
            external_ip: told to clients as the relayed address, in place of the bound one of its
                family; "" where this machine's own addresses are the reachable ones.
            allow_internet_relay: relay to the internet too, not to this server alone.
            allow_local_relay: relay to private addresses too.
            refused_ports: ports of this machine that are never relayed to (its HTTP port); the
                TURN server's own are always among them.
            max_allocations: how many may live in all.
            user_quota: how many of one user name may live.
            address_quota: how many of one address (a /64 of IPv6) may; 0 is no limit.
            max_bitrate: bit/s of one allocation in each direction, 0 for no limit.
            relay_ports: first and last UDP port of relayed addresses.

        Raises:
            AddressInUseError: the port or the TLS port is taken, for UDP or for TCP.
            EngineError: an address is not one of this machine, or not an IP address; or the
                certificate or key cannot be used (the text names the path, and says why).
            ValueError: an empty secret or realm, or an empty range of ports.
        """
    @property
    def port(self) -> int: ...
    @property
    def tls_port(self) -> int | None: ...
    def stats(self) -> TurnStats: ...
    def close(self) -> None:
        """End every allocation, free the ports and end the thread. Twice is harmless."""

@final
class TurnProbe:
    """What `probe_turn` saw."""

    relayed_address: Final[str]
    """``ip:port`` that the server gave (XOR-RELAYED-ADDRESS)."""
    mapped_address: Final[str]
    """``ip:port`` under which the server sees this client (XOR-MAPPED-ADDRESS)."""
    round_trip_ms: Final[float]
    """How long the datagram took through the server, both ways."""

def probe_turn(
    host: str,
    port: int,
    *,
    transport: Literal["udp", "tcp", "tls"] = "udp",
    username: str,
    credential: str,
    certificate: str = "",
    echo: str = "",
    timeout: float = 5.0,
) -> TurnProbe:
    """Be a client of a TURN server: allocate, pass a datagram through and back, free.

    Waits for all of it, at most ``timeout``.

    Args:
        host: IP address or name of the server.
        port: its port for that transport.
        transport: how to reach the server; what is relayed is UDP always.
        username: long-term credential (RFC 8489 §9.2); the realm is the server's.
        credential: its password.
        certificate: for ``tls``: path of the PEM file with the certificate that the server must
            show, no other is accepted.
        echo: ``ip:port`` of something that sends every datagram back; "" makes a second
            allocation the peer of the first.
        timeout: of all steps together, in s.

    Raises:
        TurnProbeError: a step failed; which one, and what the server said, are its attributes.
        ValueError: ``timeout`` is out of range, ``echo`` is no address, or the transport is
            unknown, or ``tls`` without a certificate.
    """
