//! One browser: its str0m instance, what it is sent, and when it is given up.
//!
//! Facts about str0m 0.25 that this file relies on or works around, each read in its source:
//!
//! * After every mutation it must be polled until it answers with a timeout (`drive.rs`).
//! * A REMB is delivered to the stream of the *first* SSRC in it and lost if that is an RTX
//!   SSRC; libwebrtc lists SSRCs in ascending order. So main SSRCs are the smaller ones.
//! * A stream sends sender reports from its declaration on, with RTP time 0 until it has sent
//!   media, and libwebrtc takes the 0 for a point of its RTP-to-wallclock line. So a stream is
//!   declared with its first packet.
//! * A wallclock in the future makes a sender report with RTP time 0, too. So it is clamped.
//! * Resends stop above a ratio of bytes; the default of 15 % leaves holes at 10 % loss or in a
//!   burst. Ours still bounds what a peer that NACKs everything can make us send.
//!
//! What matters of its receiving side (NACKs, their limits, what it remembers) stands in
//! `receive/mod.rs`.

use std::time::{Duration, Instant};

use str0m::media::{Mid, Rid};
use str0m::net::{Protocol, Receive};
use str0m::{Candidate, Input, Rtc};

use super::context::Context;
use super::forward::egress::Egress;
use super::forward::keys::Keys;
use super::forward::probe::Probes;
use super::ice::attempts::Attempts;
use super::ice::demux::{Class, Path};
use super::ice::nomination::{self, Nomination};
use super::options::{Estimation, PeerOptions};
use super::publisher::Publisher;
use super::receive::inbox::Writer;
use super::receive::options::ReceiverOptions;
use super::receive::ssrc_limit::SsrcLimit;
use super::send::congestion::Congestion;
use super::send::estimate::Estimate;
use super::send::pacer::Pacing;
use super::send::stream::Sender;
use crate::id::{PeerId, TrackId};
use crate::stats::{Counters, PeerStats};

/// A connected peer that was silent for so long is lost. Browsers answer a consent check every
/// few seconds even in a throttled tab; a change of network takes some seconds to heal.
const LOST_AFTER: Duration = Duration::from_secs(17);

/// A peer that has not come up so long after its first offer never will.
const FAILED_AFTER: Duration = Duration::from_secs(30);

/// Why a peer that never came up is gone.
pub const FAILED: &str = "connection failed";

/// Remote candidates kept until the offer comes, and taken in all.
const MAX_CANDIDATES: usize = 64;

/// One browser.
pub struct Peer {
    pub(super) id: PeerId,
    pub(super) options: PeerOptions,
    pub(super) rtc: Option<Rtc>,
    pub(super) senders: Vec<Sender>,
    /// A peer either sends or receives.
    pub(super) publisher: Option<Publisher>,
    pub(super) ssrcs: SsrcLimit,
    /// The tracks wanted, by kind; kept through a renegotiation that takes a section away.
    pub(super) attached: [Option<TrackId>; 2],
    pub(super) early: Vec<Candidate>,
    /// Until it is connected.
    pub(super) attempts: Attempts,
    candidates: usize,
    pub(super) offered: Option<Instant>,
    pub(super) heard: Instant,
    pub(super) connected: bool,
    pub(super) congestion: Congestion,
    pub(super) estimate: Estimate,
    pub(super) pacing: Pacing,
    pub(super) keys: Keys,
    /// The way past str0m, of a peer that has had packets of a source.
    pub(super) egress: Option<Box<Egress>>,
    pub(super) probes: Probes,
    pub(super) nomination: Nomination,
    /// When the path was judged last.
    pub(super) judged: Option<Instant>,
    /// When the peer must be woken, if that is earlier than what `drive` said last.
    pub(super) alarm: Option<Instant>,
    pub(super) stats: PeerStats,
    pub(super) feedback: Vec<(Mid, u64, u64)>,
    pub(super) errors: u32,
}

impl Peer {
    pub fn new(id: PeerId, options: PeerOptions, now: Instant) -> Self {
        Self {
            id,
            options,
            rtc: None,
            senders: Vec::new(),
            publisher: None,
            ssrcs: SsrcLimit::new(now),
            attached: [None, None],
            early: Vec::new(),
            attempts: Attempts::default(),
            candidates: 0,
            offered: None,
            heard: now,
            connected: false,
            congestion: Congestion::default(),
            estimate: Estimate::default(),
            pacing: Pacing::default(),
            keys: Keys::default(),
            egress: None,
            probes: Probes::default(),
            nomination: Nomination::default(),
            judged: None,
            alarm: None,
            stats: PeerStats::default(),
            feedback: Vec::new(),
            errors: 0,
        }
    }

    /// A peer that receives.
    pub fn receiving(id: PeerId, inbox: Writer, received: ReceiverOptions, now: Instant) -> Self {
        let options = PeerOptions {
            estimation: Estimation::Remb,
            max_bitrate: 0,
            start_bitrate: 0,
        };
        Self {
            publisher: Some(Publisher::new(id, inbox, received, now)),
            ..Self::new(id, options, now)
        }
    }

    /// Takes a candidate of the remote side, before or after its offer.
    pub fn add_candidate(&mut self, now: Instant, candidate: Candidate) {
        if self.candidates >= MAX_CANDIDATES {
            return;
        }
        self.candidates += 1;
        if !self.connected {
            self.attempts.add(&candidate);
        }
        match self.rtc.as_mut() {
            Some(rtc) => {
                rtc.add_remote_candidate(candidate);
                advance(rtc, now, &mut self.errors);
            }
            None => self.early.push(candidate),
        }
    }

    /// Takes a datagram that is this peer's.
    pub fn receive(
        &mut self,
        now: Instant,
        path: Path,
        class: Class,
        datagram: &[u8],
        context: &mut Context<'_>,
    ) {
        let (destination, source) = path;
        let Some(rtc) = self.rtc.as_mut() else { return };
        let Ok(receive) = Receive::new(Protocol::Udp, source, destination, datagram) else {
            Counters::add(&context.counters.packets_unknown, 1);
            return;
        };
        let input = Input::Receive(now, receive);
        let mut may_move = false;
        if class == Class::Stun {
            if !rtc.accepts(&input) {
                Counters::add(&context.counters.packets_unknown, 1);
                return;
            }
            if !self.connected {
                self.attempts.received(destination, source, datagram);
            }
            context.routes.learn(self.id, path, now);
            may_move = self.nomination.heard(path, datagram);
        }
        if class == Class::Media && !self.ssrcs.accept(now, datagram) {
            Counters::add(&context.counters.packets_unknown, 1);
            return;
        }
        if class == Class::Media && self.hear(now, datagram, context) {
            return;
        }
        let Some(rtc) = self.rtc.as_mut() else { return };
        self.heard = now;
        if rtc.handle_input(input).is_err() {
            // Garbage in a DTLS record, e.g. Anybody can send that, so it is not held against the
            // peer; if it was fatal, `drive` sees that str0m has ended.
            Counters::add(&context.counters.packets_unknown, 1);
        }
        if may_move && self.connected && self.publisher.is_none() {
            nomination::ask(rtc);
        }
    }

    /// Lets time pass: `false` once the peer is to be given up, with the reason.
    pub fn expire(&mut self, now: Instant) -> Result<(), &'static str> {
        if self.connected {
            if now.saturating_duration_since(self.heard) >= LOST_AFTER {
                return Err("connection lost");
            }
        } else if self
            .offered
            .is_some_and(|at| now.saturating_duration_since(at) >= FAILED_AFTER)
        {
            return Err(FAILED);
        }
        if let Some(rtc) = self.rtc.as_mut() {
            advance(rtc, now, &mut self.errors);
        }
        Ok(())
    }

    /// When the peer is to be given up, if it stays silent.
    pub(super) fn limit(&self) -> Option<Instant> {
        if self.connected {
            Some(self.heard + LOST_AFTER)
        } else {
            self.offered.map(|at| at + FAILED_AFTER)
        }
    }

    /// Says goodbye: RTCP BYE and DTLS close_notify, sent by the `drive` that follows.
    pub fn close(&mut self) {
        if let Some(rtc) = self.rtc.as_mut()
            && rtc.close().is_err()
        {
            self.errors += 1;
        }
    }

    /// Asks the sender for a keyframe.
    pub fn request_keyframe(&mut self, now: Instant) {
        if let Some(publisher) = &mut self.publisher {
            publisher.request_keyframe(now);
        }
    }

    /// Limits what the browser may send, in bit/s; 0 lifts the limit.
    pub fn limit_bitrate(&mut self, bitrate: u64, now: Instant) {
        if let Some(publisher) = &mut self.publisher {
            publisher.set_max_bitrate(bitrate, now);
        }
    }

    /// A viewer needs a keyframe of a layer that this peer sends.
    pub fn need_keyframe(&mut self, now: Instant, layer: Option<Rid>) {
        if let Some(publisher) = &mut self.publisher {
            publisher.require_keyframe(now, layer);
        }
    }

    /// Delivers what is complete: nothing follows.
    pub fn flush(&mut self, now: Instant) {
        if let Some(publisher) = &mut self.publisher {
            publisher.flush(now, &mut self.stats);
        }
    }

    pub fn stats(&self) -> PeerStats {
        PeerStats {
            connected: self.connected,
            bitrate_estimate: self.estimate.current(),
            pairs: if self.connected {
                Vec::new()
            } else {
                self.attempts.lines()
            },
            ..self.stats.clone()
        }
    }
}

/// Moves str0m's clock.
pub(super) fn advance(rtc: &mut Rtc, now: Instant, errors: &mut u32) {
    if rtc.handle_input(Input::Timeout(now)).is_err() {
        *errors += 1;
    }
}
