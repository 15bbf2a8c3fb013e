//! A peer's handle.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use super::mailbox::{Command, PeerState, Shared};
use crate::core::ice::candidate;
use crate::core::receive::frame::{Codec, ReceivedFrame};
use crate::error::EngineError;
use crate::id::PeerId;
use crate::stats::PeerStats;

/// How long a close waits for the last frames. The thread needs one round, some milliseconds.
const MAX_FLUSH: Duration = Duration::from_secs(2);

/// One browser.
pub struct Peer {
    shared: Arc<Shared>,
    id: PeerId,
    state: Arc<PeerState>,
    receives: bool,
}

impl Peer {
    pub(super) fn new(
        shared: Arc<Shared>,
        id: PeerId,
        state: Arc<PeerState>,
        receives: bool,
    ) -> Self {
        Self {
            shared,
            id,
            state,
            receives,
        }
    }

    pub fn id(&self) -> PeerId {
        self.id
    }

    /// Answers an offer.
    pub fn accept_offer(&self, sdp: &str) -> Result<String, EngineError> {
        self.check_open()?;
        let (reply, answer) = sync_channel(1);
        self.shared.command(Command::AcceptOffer {
            id: self.id,
            sdp: sdp.to_owned(),
            reply,
        })?;
        answer.recv().unwrap_or(Err(EngineError::Closed("engine")))
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
        if self.receives {
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
