//! The engine as a program uses it: a socket, a thread, and handles.
//!
//! Handles may be used from any thread. A call puts a command into a bounded queue and returns;
//! [`Peer::accept_offer`] and [`Peer::stats`] wait for the reply, which takes one round of the
//! thread. Dropping a handle closes what it stands for.

mod clock;
mod mailbox;
mod peer;
mod send;
mod thread;

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Instant, SystemTime};

use icey_udp::{
    EngineEnd, IoThread, MediaAddresses, OpenError, PEER_BYTES, ReceiveBuffers, RelayedBatch,
    ShortCut, Socket, local_addresses, parse_ip,
};
use str0m::crypto::from_feature_flags;

pub use self::clock::MonotonicClock;
use self::mailbox::{Command, PeerState, Shared};
pub use self::peer::Peer;
use self::send::DatagramSender;
use self::thread::Worker;
use crate::core::Core;
use crate::core::media::MediaKind;
use crate::core::options::{Local, PeerOptions};
use crate::core::receive::inbox::Writer;
use crate::core::receive::options::ReceiverOptions;
use crate::core::track::{Frame, TrackState};
use crate::core::wallclock::Wallclock;
use crate::error::EngineError;
use crate::event::Event;
use crate::stats::Stats;

/// What an engine is made with.
#[derive(Debug, Clone)]
pub struct EngineConfig {
    /// The IP address to bind; the unspecified one advertises all of this machine's.
    pub host: String,
    /// UDP port; 0 takes a free one.
    pub port: u16,
    /// Further IP addresses to advertise, e.g. a NAT's.
    pub additional_hosts: Vec<String>,
}

/// The UDP port, its thread, and every peer behind it.
pub struct Engine {
    shared: Arc<Shared>,
    local: Arc<Local>,
    thread: IoThread,
    addresses: Vec<IpAddr>,
    port: u16,
    next_id: AtomicU64,
}

impl Engine {
    /// Binds the port and starts the thread.
    pub fn new(config: &EngineConfig) -> Result<Self, EngineError> {
        let host = parse_ip(&config.host)?;
        let mut advertised: Vec<IpAddr> = config
            .additional_hosts
            .iter()
            .map(|text| parse_ip(text))
            .collect::<Result<_, _>>()?;
        let socket = Arc::new(Socket::bind(host, config.port)?);
        let port = socket.port();
        let local = if host.is_unspecified() {
            local_addresses(socket.is_dual())
                .map_err(|error| OpenError::system("no list of addresses", &error))?
        } else {
            vec![host]
        };
        advertised.retain(|ip| !local.contains(ip));
        let with_port = |list: &[IpAddr]| -> Vec<SocketAddr> {
            list.iter().map(|ip| (*ip, port).into()).collect()
        };
        let media = MediaAddresses {
            local: with_port(&local),
            additional: with_port(&advertised),
        };
        let certificate = from_feature_flags()
            .dtls_provider
            .generate_certificate()
            .ok_or_else(|| EngineError::System("no DTLS certificate could be made".into()))?;
        let shared =
            Shared::new(media.clone()).map_err(|error| OpenError::system("no eventfd", &error))?;
        let shared = Arc::new(shared);
        let counters = shared.counters.clone();
        let local_side = Arc::new(Local {
            certificate,
            addresses: media.local,
            additional: media.additional,
            wallclock: Wallclock::new(Instant::now(), SystemTime::now()),
        });
        let worker = Worker {
            core: Core::new(local_side.clone(), counters.clone()),
            sender: DatagramSender::new(
                socket.clone(),
                counters,
                EngineEnd::new(shared.short_cut.clone()),
            ),
            socket,
            shared: shared.clone(),
            buffers: ReceiveBuffers::new(PEER_BYTES),
            states: HashMap::new(),
            relayed: RelayedBatch::default(),
        };
        Ok(Self {
            shared,
            local: local_side,
            thread: IoThread::start("icey-engine", move || worker.run())?,
            addresses: local.into_iter().chain(advertised).collect(),
            port,
            next_id: AtomicU64::new(1),
        })
    }

    /// The UDP port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The advertised addresses.
    pub fn addresses(&self) -> &[IpAddr] {
        &self.addresses
    }

    /// The way to this engine past the network, for a TURN server of the same process.
    pub fn short_cut(&self) -> &Arc<ShortCut> {
        &self.shared.short_cut
    }

    /// An eventfd, readable while events wait.
    pub fn event_fd(&self) -> RawFd {
        self.shared.event_flag.as_raw_fd()
    }

    /// Takes every waiting event, oldest first.
    pub fn poll_events(&self) -> Vec<Event> {
        self.shared.poll_events()
    }

    /// Makes a track.
    pub fn create_track(&self, kind: MediaKind) -> Result<Track, EngineError> {
        let state = TrackState::new(self.next_id(), kind);
        self.shared.command(Command::CreateTrack {
            state: state.clone(),
        })?;
        Ok(Track {
            shared: self.shared.clone(),
            state,
        })
    }

    /// Makes a peer that waits for an offer and is sent tracks.
    pub fn create_peer(&self, options: PeerOptions) -> Result<Peer, EngineError> {
        self.create(Some(options), None)
    }

    /// Makes a peer that waits for an offer, of which is received what the browser sends.
    pub fn create_receiver(&self, options: ReceiverOptions) -> Result<Peer, EngineError> {
        self.create(None, Some(options))
    }

    /// Makes a peer that waits for an offer, is sent tracks, and of which is received what the
    /// browser sends.
    pub fn create_caller(
        &self,
        sends: PeerOptions,
        receives: ReceiverOptions,
    ) -> Result<Peer, EngineError> {
        self.create(Some(sends), Some(receives))
    }

    fn create(
        &self,
        sends: Option<PeerOptions>,
        receives: Option<ReceiverOptions>,
    ) -> Result<Peer, EngineError> {
        let (id, state) = (self.next_id(), Arc::<PeerState>::default());
        self.shared.command(Command::CreatePeer {
            id,
            sends,
            receives: receives.map(|options| (Writer::new(state.inbox.clone()), options)),
            state: state.clone(),
        })?;
        let delivery = receives.map(|options| options.delivery);
        let (shared, local) = (self.shared.clone(), self.local.clone());
        Ok(Peer::new(shared, local, id, state, sends, delivery))
    }

    /// Sends a track to a peer, in place of its earlier one of that kind.
    pub fn attach(&self, peer: &Peer, track: &Track) -> Result<(), EngineError> {
        track.check_open()?;
        self.shared.command(Command::Attach {
            peer: peer.id(),
            track: track.state.id,
        })
    }

    /// Sends nothing of a kind to a peer any more.
    pub fn detach(&self, peer: &Peer, kind: MediaKind) -> Result<(), EngineError> {
        self.shared.command(Command::Detach {
            peer: peer.id(),
            kind,
        })
    }

    /// Feeds a track with what a source sends of its kind, in place of what fed it before; `layer`
    /// is a simulcast layer, empty for the only or the default one.
    pub fn route(&self, source: &Peer, track: &Track, layer: &str) -> Result<(), EngineError> {
        track.check_open()?;
        self.shared.command(Command::Route {
            source: source.id(),
            track: track.state.id,
            layer: (!layer.is_empty()).then(|| layer.into()),
        })
    }

    /// Feeds a track with nothing any more; its viewers stay.
    pub fn unroute(&self, track: &Track) -> Result<(), EngineError> {
        track.check_open()?;
        self.shared.command(Command::Unroute {
            track: track.state.id,
        })
    }

    /// The counters.
    pub fn stats(&self) -> Stats {
        let counters = &self.shared.counters;
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Stats {
            peers: of(&self.shared.peers),
            tracks: of(&self.shared.tracks),
            packets_sent: of(&counters.packets_sent),
            bytes_sent: of(&counters.bytes_sent),
            packets_received: of(&counters.packets_received),
            bytes_received: of(&counters.bytes_received),
            packets_dropped: of(&counters.packets_dropped),
            packets_unknown: of(&counters.packets_unknown),
            frames_dropped: of(&counters.frames_dropped),
            checks_refused: of(&counters.checks_refused),
            events_dropped: self.shared.events_merged(),
            panics: of(&counters.panics),
        }
    }

    /// Says goodbye to every peer, ends the thread and frees the port. Closing twice is harmless.
    pub fn close(&self) {
        self.shared.close();
        self.thread.end(|| self.shared.wake.raise());
    }

    fn next_id(&self) -> u64 {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.close();
    }
}

/// A stream of encoded access units.
pub struct Track {
    shared: Arc<Shared>,
    state: Arc<TrackState>,
}

impl Track {
    pub fn id(&self) -> u64 {
        self.state.id
    }

    pub fn kind(&self) -> MediaKind {
        self.state.kind
    }

    /// Sends one access unit to every viewer. `captured_ns` is on CLOCK_MONOTONIC, which is also
    /// the clock of [`Instant`] on Linux.
    pub fn push(
        &self,
        data: &[u8],
        timestamp: i64,
        captured_ns: u64,
        keyframe: bool,
    ) -> Result<(), EngineError> {
        self.check_open()?;
        let captured = MonotonicClock::now().instant_of(captured_ns);
        self.push_at(data, timestamp, captured, keyframe)
    }

    /// [`Track::push`] of what was captured at an [`Instant`].
    pub fn push_at(
        &self,
        data: &[u8],
        timestamp: i64,
        captured: Instant,
        keyframe: bool,
    ) -> Result<(), EngineError> {
        self.check_open()?;
        let frame = self.frame(data, timestamp, captured, keyframe)?;
        self.shared.frame(&self.state, frame)
    }

    /// Keeps the newest group of pictures from now on, for viewers who come between two keyframes:
    /// for a track of which nobody can ask for one. It begins with `frames`, which are not sent to
    /// whoever has seen any already.
    pub fn prime<'a>(
        &self,
        frames: impl IntoIterator<Item = (&'a [u8], i64, Instant, bool)>,
    ) -> Result<(), EngineError> {
        self.check_open()?;
        let frames = frames
            .into_iter()
            .map(|(data, timestamp, captured, keyframe)| {
                self.frame(data, timestamp, captured, keyframe)
            })
            .collect::<Result<_, _>>()?;
        let id = self.state.id;
        self.shared.command(Command::PrimeTrack { id, frames })
    }

    fn frame(
        &self,
        data: &[u8],
        timestamp: i64,
        captured: Instant,
        keyframe: bool,
    ) -> Result<Frame, EngineError> {
        let (id, kind) = (self.state.id, self.state.kind);
        Frame::new(id, kind, data, timestamp, captured, keyframe)
    }

    /// What came in over the last second, in bit/s.
    pub fn bitrate(&self) -> u64 {
        self.state.bitrate(Instant::now())
    }

    /// Pictures or audio packets that came in since the start.
    pub fn frames(&self) -> u64 {
        self.state.frames()
    }

    /// How many peers receive it.
    pub fn viewers(&self) -> usize {
        self.state.viewers.load(Ordering::Relaxed)
    }

    /// How long packets to its only viewer wait for their turn, in ms; 0 with several viewers.
    pub fn backlog_ms(&self) -> u32 {
        self.state.backlog_ms.load(Ordering::Relaxed)
    }

    /// Ends the track. Closing twice is harmless.
    pub fn close(&self) {
        if !self.state.closed.swap(true, Ordering::Relaxed) {
            // The only error is that the engine is closed, and the track with it.
            let _ = self
                .shared
                .command(Command::CloseTrack { id: self.state.id });
        }
    }

    fn check_open(&self) -> Result<(), EngineError> {
        if self.state.closed.load(Ordering::Relaxed) {
            Err(EngineError::Closed("track"))
        } else {
            Ok(())
        }
    }
}

impl Drop for Track {
    fn drop(&mut self) {
        self.close();
    }
}
