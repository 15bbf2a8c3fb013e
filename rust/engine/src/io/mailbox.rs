//! What waits for the engine's thread: commands, and encoded frames.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use icey_udp::{MediaAddresses, ShortCut, Wake};
use str0m::Candidate;
use str0m::media::Rid;

use crate::core::media::MediaKind;
use crate::core::options::PeerOptions;
use crate::core::receive::inbox::{Inbox, Writer};
use crate::core::receive::options::ReceiverOptions;
use crate::core::sdp::answer::Answer;
use crate::core::sdp::negotiation::Instance;
use crate::core::sdp::offer::Prepared;
use crate::core::track::{Frame, TrackState};
use crate::error::EngineError;
use crate::event::{Event, EventQueue};
use crate::id::{PeerId, TrackId};
use crate::stats::{Counters, PeerStats};

/// Commands that may wait. More means that the thread is gone or that the caller is in a loop.
const MAX_COMMANDS: usize = 16_384;

/// Frames of one track that may wait: a second of video or audio at the most. The thread empties
/// the queue every few milliseconds; what waits longer is late anyway.
const MAX_FRAMES_PER_TRACK: usize = 50;

/// What a peer's handle and the thread share.
#[derive(Debug, Default)]
pub struct PeerState {
    pub gone: AtomicBool,
    /// What it receives; stays empty for one that sends.
    pub inbox: Arc<Inbox>,
}

/// A reply that somebody waits for.
pub type Reply<T> = SyncSender<T>;

/// A request to the thread.
pub enum Command {
    CreatePeer {
        id: PeerId,
        sends: Option<PeerOptions>,
        receives: Option<(Writer, ReceiverOptions)>,
        state: Arc<PeerState>,
    },
    LimitBitrate {
        id: PeerId,
        bitrate: u64,
    },
    Probe {
        id: PeerId,
        bitrate: u64,
    },
    RequestKeyframe {
        id: PeerId,
    },
    AcceptOffer {
        id: PeerId,
        offer: Box<Prepared>,
        /// For the first one.
        instance: Option<Box<Instance>>,
        reply: Reply<Result<Answer, EngineError>>,
    },
    AddCandidate {
        id: PeerId,
        candidate: Candidate,
    },
    AddHiddenCandidate {
        id: PeerId,
    },
    ClosePeer {
        id: PeerId,
    },
    PeerStats {
        id: PeerId,
        reply: Reply<Option<PeerStats>>,
    },
    CreateTrack {
        state: Arc<TrackState>,
    },
    PrimeTrack {
        id: TrackId,
        frames: Vec<Frame>,
    },
    CloseTrack {
        id: TrackId,
    },
    Attach {
        peer: PeerId,
        track: TrackId,
    },
    Detach {
        peer: PeerId,
        kind: MediaKind,
    },
    Route {
        source: PeerId,
        track: TrackId,
        layer: Option<Rid>,
    },
    Unroute {
        track: TrackId,
    },
}

/// Everything that handles and thread share.
pub struct Shared {
    commands: Mutex<VecDeque<Command>>,
    frames: Mutex<VecDeque<(Arc<TrackState>, Frame)>>,
    events: Mutex<EventQueue>,
    closed: AtomicBool,
    /// Wakes the thread.
    pub wake: Arc<Wake>,
    /// Readable while events wait.
    pub event_flag: Wake,
    pub counters: Arc<Counters>,
    /// The way to and from the TURN server of this process.
    pub short_cut: Arc<ShortCut>,
    pub peers: std::sync::atomic::AtomicU64,
    pub tracks: std::sync::atomic::AtomicU64,
}

impl Shared {
    /// `media` are the addresses that peers reach the engine at.
    pub fn new(media: MediaAddresses) -> std::io::Result<Self> {
        let wake = Arc::new(Wake::new()?);
        Ok(Self {
            commands: Mutex::default(),
            frames: Mutex::default(),
            events: Mutex::default(),
            closed: AtomicBool::new(false),
            event_flag: Wake::new()?,
            counters: Arc::default(),
            short_cut: Arc::new(ShortCut::new(wake.clone(), media)?),
            wake,
            peers: 0.into(),
            tracks: 0.into(),
        })
    }

    /// Hands a command to the thread.
    pub fn command(&self, command: Command) -> Result<(), EngineError> {
        let mut commands = lock(&self.commands);
        // Checked under the lock: the thread closes under it, so nothing is left behind unread.
        if self.is_closed() {
            return Err(EngineError::Closed("engine"));
        }
        if commands.len() >= MAX_COMMANDS {
            return Err(EngineError::System(
                "the engine does not keep up with its commands".into(),
            ));
        }
        commands.push_back(command);
        drop(commands);
        self.wake.raise();
        Ok(())
    }

    /// Hands a frame to the thread, or drops and counts it.
    pub fn frame(&self, track: &Arc<TrackState>, frame: Frame) -> Result<(), EngineError> {
        if self.is_closed() {
            return Err(EngineError::Closed("engine"));
        }
        if track.queued.load(Ordering::Relaxed) >= MAX_FRAMES_PER_TRACK {
            track.gap.store(true, Ordering::Relaxed);
            Counters::add(&self.counters.frames_dropped, 1);
            return Ok(());
        }
        track.queued.fetch_add(1, Ordering::Relaxed);
        lock(&self.frames).push_back((track.clone(), frame));
        self.wake.raise();
        Ok(())
    }

    /// Takes the commands that wait.
    pub fn take_commands(&self) -> VecDeque<Command> {
        std::mem::take(&mut *lock(&self.commands))
    }

    /// Takes the oldest frame.
    pub fn take_frame(&self) -> Option<Frame> {
        let (track, frame) = lock(&self.frames).pop_front()?;
        track.queued.fetch_sub(1, Ordering::Relaxed);
        Some(frame)
    }

    /// Adds events and raises the flag.
    pub fn publish(&self, events: Vec<Event>) {
        if events.is_empty() {
            return;
        }
        let mut queue = lock(&self.events);
        for event in events {
            queue.push(event);
        }
        self.event_flag.raise();
    }

    /// Takes the events that wait and lowers the flag.
    pub fn poll_events(&self) -> Vec<Event> {
        let mut queue = lock(&self.events);
        // Under the lock, so that no event comes in between and stays without a flag.
        self.event_flag.lower();
        queue.take()
    }

    pub fn events_merged(&self) -> u64 {
        lock(&self.events).merged()
    }

    /// Refuses what comes from now on; commands that wait are dropped, and with them the replies
    /// that somebody waits for.
    pub fn close(&self) {
        let mut commands = lock(&self.commands);
        self.closed.store(true, Ordering::Release);
        self.short_cut.close_engine();
        commands.clear();
        lock(&self.frames).clear();
    }

    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }
}

/// A poisoned lock is taken all the same: every change under these locks is one call that leaves
/// the queue whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    fn frame(track: &TrackState) -> Frame {
        Frame::new(
            track.id,
            track.kind,
            b"\0\0\x01\x65\x01",
            0,
            Instant::now(),
            true,
        )
        .expect("a frame")
    }

    #[test]
    fn a_full_queue_drops_the_frame_and_marks_the_gap() {
        let shared = Shared::new(MediaAddresses::default()).expect("eventfds");
        let (full, other) = (
            TrackState::new(1, MediaKind::Video),
            TrackState::new(2, MediaKind::Video),
        );
        for _ in 0..MAX_FRAMES_PER_TRACK + 2 {
            shared.frame(&full, frame(&full)).expect("open");
        }
        shared.frame(&other, frame(&other)).expect("open");
        assert!(full.gap.load(Ordering::Relaxed) && !other.gap.load(Ordering::Relaxed));
        assert_eq!(shared.counters.frames_dropped.load(Ordering::Relaxed), 2);
        assert_eq!(
            std::iter::from_fn(|| shared.take_frame()).count(),
            MAX_FRAMES_PER_TRACK + 1
        );
        assert_eq!(full.queued.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_closed_engine_refuses_everything() {
        let shared = Shared::new(MediaAddresses::default()).expect("eventfds");
        shared.close();
        let track = TrackState::new(1, MediaKind::Video);
        assert_eq!(
            shared.frame(&track, frame(&track)),
            Err(EngineError::Closed("engine"))
        );
        assert_eq!(
            shared.command(Command::ClosePeer { id: 1 }),
            Err(EngineError::Closed("engine"))
        );
    }
}
