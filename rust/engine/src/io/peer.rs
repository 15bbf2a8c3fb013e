//! A peer's handle.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

use super::mailbox::{Command, PeerState, Shared};
use crate::core::ice::candidate;
use crate::core::options::{Local, PeerOptions};
use crate::core::receive::frame::{Codec, ReceivedFrame};
use crate::core::receive::options::Delivery;
use crate::core::sdp::negotiation::{self, Instance};
use crate::core::sdp::offer::{self, Wanted};
use crate::error::EngineError;
use crate::id::PeerId;
use crate::stats::{Counters, PeerStats};

/// How long a close waits for the last frames. The thread needs one round, some milliseconds.
const MAX_FLUSH: Duration = Duration::from_secs(2);

/// One browser.
pub struct Peer {
    shared: Arc<Shared>,
    local: Arc<Local>,
    id: PeerId,
    state: Arc<PeerState>,
    sends: Option<PeerOptions>,
    receives: Option<Delivery>,
    /// An offer was answered: the engine has made its instance of str0m.
    is_answered: AtomicBool,
}

impl Peer {
    pub(super) fn new(
        shared: Arc<Shared>,
        local: Arc<Local>,
        id: PeerId,
        state: Arc<PeerState>,
        sends: Option<PeerOptions>,
        receives: Option<Delivery>,
    ) -> Self {
        Self {
            shared,
            local,
            id,
            state,
            sends,
            receives,
            is_answered: AtomicBool::new(false),
        }
    }

    pub fn id(&self) -> PeerId {
        self.id
    }

    /// Answers an offer. Reading it and writing the answer is done on this thread; the engine's only
    /// applies it.
    pub fn accept_offer(&self, sdp: &str) -> Result<String, EngineError> {
        self.check_open()?;
        let offer = self.contained(|| offer::prepare(sdp, self.wanted()))?;
        let instance = match self.is_answered.load(Ordering::Relaxed) {
            false => Some(Box::new(self.contained(|| Ok(self.build()))?)),
            true => None,
        };
        let (reply, answer) = sync_channel(1);
        self.shared.command(Command::AcceptOffer {
            id: self.id,
            offer: Box::new(offer),
            instance,
            reply,
        })?;
        let answer = answer
            .recv()
            .unwrap_or(Err(EngineError::Closed("engine")))?;
        self.is_answered.store(true, Ordering::Relaxed);
        self.contained(|| Ok(answer.into_text()))
    }

    fn wanted(&self) -> Wanted {
        Wanted {
            sends: self.sends.is_some(),
            receives: self.receives,
        }
    }

    fn build(&self) -> Instance {
        let sends = self.sends.as_ref();
        negotiation::build(sends, self.receives, &self.local, Instant::now())
    }

    /// Does something of SDP. Nothing that a peer sends may panic; should a bug do so all the same,
    /// it refuses this one offer.
    fn contained<T>(&self, f: impl FnOnce() -> Result<T, EngineError>) -> Result<T, EngineError> {
        // Unwind safe: what `f` is given is not used again.
        catch_unwind(AssertUnwindSafe(f)).unwrap_or_else(|_| {
            Counters::add(&self.shared.counters.panics, 1);
            Err(EngineError::offer("internal error"))
        })
    }

    /// Takes a candidate of the remote side.
    pub fn add_candidate(&self, text: &str) -> Result<(), EngineError> {
        self.check_open()?;
        match candidate::parse(text)? {
            Some(candidate) => self.shared.command(Command::AddCandidate {
                id: self.id,
                candidate,
            }),
            None if candidate::is_hidden(text) => self
                .shared
                .command(Command::AddHiddenCandidate { id: self.id }),
            None => Ok(()),
        }
    }

    /// The counters; an error once the peer is gone.
    pub fn stats(&self) -> Result<PeerStats, EngineError> {
        self.check_open()?;
        let (reply, stats) = sync_channel(1);
        self.shared
            .command(Command::PeerStats { id: self.id, reply })?;
        stats
            .recv()
            .ok()
            .flatten()
            .ok_or(EngineError::Closed("peer"))
    }

    /// What the newest answer accepted to receive.
    pub fn codecs(&self) -> Vec<Codec> {
        self.state.inbox.codecs()
    }

    /// Takes the oldest received frames, at most so many. Goes on after the peer is gone.
    pub fn pull(&self, max: usize) -> Vec<ReceivedFrame> {
        self.state.inbox.pull(max)
    }

    /// The simulcast layers that the newest answer accepted, in the order of the offer.
    pub fn layers(&self) -> Vec<String> {
        self.state.inbox.layers()
    }

    /// Limits what the browser may send, in bit/s; 0 lifts the limit.
    pub fn limit_bitrate(&self, bitrate: u64) -> Result<(), EngineError> {
        self.check_open()?;
        self.shared.command(Command::LimitBitrate {
            id: self.id,
            bitrate,
        })
    }

    /// Lets the estimate of a viewer of routed tracks show whether its path carries so much, in
    /// bit/s.
    pub fn probe(&self, bitrate: u64) -> Result<(), EngineError> {
        self.check_open()?;
        self.shared.command(Command::Probe {
            id: self.id,
            bitrate,
        })
    }

    /// Asks the browser for a keyframe.
    pub fn request_keyframe(&self) -> Result<(), EngineError> {
        self.check_open()?;
        self.shared
            .command(Command::RequestKeyframe { id: self.id })
    }

    /// Says goodbye and frees everything; what is received of whole frames is in the inbox then.
    /// Closing twice is harmless.
    pub fn close(&self) {
        self.let_go();
        if self.receives.is_some() {
            self.state.inbox.wait_for_end(MAX_FLUSH);
        }
    }

    fn let_go(&self) {
        if !self.state.gone.swap(true, Ordering::Relaxed) {
            // The only error is that the engine is closed, and the peer with it.
            let _ = self.shared.command(Command::ClosePeer { id: self.id });
        }
    }

    fn check_open(&self) -> Result<(), EngineError> {
        if self.state.gone.load(Ordering::Relaxed) {
            Err(EngineError::Closed("peer"))
        } else {
            Ok(())
        }
    }
}

impl Drop for Peer {
    /// Without waiting: nobody is left to pull.
    fn drop(&mut self) {
        self.let_go();
    }
}
