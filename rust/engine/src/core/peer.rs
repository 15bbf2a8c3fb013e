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

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use str0m::config::DtlsCert;
use str0m::media::Mid;
use str0m::net::{Protocol, Receive};
use str0m::rtp::RtpWrite;
use str0m::{Candidate, Input, Rtc};

use super::demux::{Class, Path};
use super::estimate::Estimate;
use super::offer::{self, Prepared};
use super::receive::inbox::Writer;
use super::receive::{Receiving, Sources};
use super::sender::{Sender, Verdict};
use super::track::{Frame, MediaKind};
use super::{Context, PeerId, TrackId, answer, negotiation};
use crate::error::EngineError;
use crate::event::Event;
use crate::stats::{Counters, PeerStats};

/// A connected peer that was silent for so long is lost. Browsers answer a consent check every
/// few seconds even in a throttled tab; a change of network takes some seconds to heal.
const LOST_AFTER: Duration = Duration::from_secs(17);

/// A peer that has not come up so long after its first offer never will.
const FAILED_AFTER: Duration = Duration::from_secs(30);

/// A paced packet that waited so long says that the viewer cannot keep up.
const MAX_QUEUE_AGE: Duration = Duration::from_millis(1500);

/// Paced packets that may wait. A 720p keyframe has about a hundred.
const MAX_QUEUE_PACKETS: usize = 2000;

/// Remote candidates kept until the offer comes, and taken in all.
const MAX_CANDIDATES: usize = 64;

/// How the bitrate to a peer is estimated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Estimation {
    /// By the browser, told in REMB. No pacing: the cheapest.
    #[default]
    Remb,
    /// Here, from transport-wide feedback; paces, and probes up to `max_bitrate`.
    Twcc,
}

/// What a peer is made with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerOptions {
    pub estimation: Estimation,
    /// What its tracks may reach together, in bit/s. Only matters for [`Estimation::Twcc`].
    pub max_bitrate: u64,
}

/// What all peers share.
#[derive(Debug, Clone)]
pub struct Local {
    pub certificate: DtlsCert,
    /// The addresses that datagrams arrive at.
    pub addresses: Vec<SocketAddr>,
    /// Further addresses that are advertised, e.g. a NAT's. Datagrams to them arrive at one of
    /// `addresses`, so ICE must not know them: it would send from them.
    pub additional: Vec<SocketAddr>,
}

/// One browser.
pub struct Peer {
    pub(super) id: PeerId,
    options: PeerOptions,
    pub(super) rtc: Option<Rtc>,
    pub(super) senders: Vec<Sender>,
    /// A peer either sends or receives.
    pub(super) receiving: Option<Receiving>,
    sources: Sources,
    /// The tracks wanted, by kind; kept through a renegotiation that takes a section away.
    attached: [Option<TrackId>; 2],
    early: Vec<Candidate>,
    candidates: usize,
    offered: Option<Instant>,
    pub(super) heard: Instant,
    pub(super) connected: bool,
    /// Dropped to the next keyframe; one is asked for as soon as the queue is short again.
    pub(super) congested: bool,
    pub(super) estimate: Estimate,
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
            receiving: None,
            sources: Sources::new(now),
            attached: [None, None],
            early: Vec::new(),
            candidates: 0,
            offered: None,
            heard: now,
            connected: false,
            congested: false,
            estimate: Estimate::default(),
            stats: PeerStats::default(),
            feedback: Vec::new(),
            errors: 0,
        }
    }

    /// A peer that receives.
    pub fn receiving(id: PeerId, inbox: Writer, now: Instant) -> Self {
        let options = PeerOptions {
            estimation: Estimation::Remb,
            max_bitrate: 0,
        };
        Self {
            receiving: Some(Receiving::new(inbox)),
            ..Self::new(id, options, now)
        }
    }

    /// Answers an offer, the first one or a later one.
    pub fn accept_offer(
        &mut self,
        now: Instant,
        sdp: &str,
        local: &Local,
        context: &mut Context<'_>,
    ) -> Result<String, EngineError> {
        let is_first = self.rtc.is_none();
        let answer = if self.receiving.is_some() {
            self.answer_sender(now, sdp, local)
        } else {
            self.answer_viewer(now, sdp, local)
        };
        if answer.is_err() && is_first {
            // Nothing is kept of a failed first offer, so that another may follow.
            self.rtc = None;
            self.senders.clear();
        }
        let answer = answer?;
        self.offered.get_or_insert(now);
        if let Some(rtc) = self.rtc.as_mut() {
            context
                .routes
                .set_ufrag(self.id, &rtc.direct_api().local_ice_credentials().ufrag);
            for candidate in self.early.drain(..) {
                rtc.add_remote_candidate(candidate);
            }
            advance(rtc, now, &mut self.errors);
        }
        if self.connected {
            self.request_keyframes(context);
        }
        Ok(answer::finish(&answer, &local.additional))
    }

    fn answer_sender(
        &mut self,
        now: Instant,
        sdp: &str,
        local: &Local,
    ) -> Result<String, EngineError> {
        let Some(receiving) = &mut self.receiving else {
            return Err(EngineError::Closed("peer"));
        };
        let prepared = offer::receive::prepare(sdp, self.rtc.is_none())?;
        let rtc = self
            .rtc
            .get_or_insert_with(|| negotiation::build_receiver(local, now));
        let answer = receiving.negotiate(now, rtc, &prepared, &mut self.stats)?;
        Ok(answer::begin_fast(&answer))
    }

    fn answer_viewer(
        &mut self,
        now: Instant,
        sdp: &str,
        local: &Local,
    ) -> Result<String, EngineError> {
        let prepared = offer::prepare(sdp)?;
        let options = &self.options;
        self.rtc
            .get_or_insert_with(|| negotiation::build(options, local, now));
        self.negotiate(&prepared)
    }

    fn negotiate(&mut self, prepared: &Prepared) -> Result<String, EngineError> {
        let Some(rtc) = self.rtc.as_mut() else {
            return Err(EngineError::Closed("peer"));
        };
        for sender in self.senders.iter_mut().filter(|sender| !sender.declared) {
            negotiation::declare(rtc, sender);
        }
        let mut answer = negotiation::accept(rtc, &prepared.text)?;
        let mut renumbered = false;
        for (kind, mid) in prepared.wanted() {
            if self.senders.iter().any(|sender| sender.mid == mid) {
                continue;
            }
            let (ssrc, rtx) = negotiation::renumber(rtc, mid);
            renumbered = true;
            match negotiation::payload_type(rtc, kind, mid) {
                Some(pt) => {
                    let mut sender = Sender::new(kind, mid, pt, ssrc, rtx);
                    if let Some(track) = self.attached[kind as usize] {
                        sender.attach(track);
                    }
                    self.senders.push(sender);
                }
                None if kind == MediaKind::Video => {
                    return Err(EngineError::offer("codec: browser offers no H.264"));
                }
                None => {}
            }
        }
        if renumbered {
            // The same offer again changes nothing, and the answer now has the SSRCs chosen here.
            answer = negotiation::accept(rtc, &prepared.text)?;
        }
        self.senders.retain(|sender| {
            rtc.media(sender.mid)
                .is_some_and(|media| media.direction().is_sending())
        });
        for sender in self.senders.iter_mut().filter(|sender| !sender.declared) {
            rtc.direct_api().remove_stream_tx(sender.ssrc);
        }
        Ok(answer)
    }

    /// Takes a candidate of the remote side, before or after its offer.
    pub fn add_candidate(&mut self, now: Instant, candidate: Candidate) {
        if self.candidates >= MAX_CANDIDATES {
            return;
        }
        self.candidates += 1;
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
        if class == Class::Stun {
            if !rtc.accepts(&input) {
                Counters::add(&context.counters.packets_unknown, 1);
                return;
            }
            context.routes.learn(self.id, path, now);
        }
        if class == Class::Media && !self.sources.accept(now, datagram) {
            Counters::add(&context.counters.packets_unknown, 1);
            return;
        }
        self.heard = now;
        if rtc.handle_input(input).is_err() {
            // Garbage in a DTLS record, e.g. Anybody can send that, so it is not held against the
            // peer; if it was fatal, `drive` sees that str0m has ended.
            Counters::add(&context.counters.packets_unknown, 1);
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
            return Err("connection failed");
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

    /// Sends `track` in place of the earlier one of its kind.
    pub fn attach(&mut self, kind: MediaKind, track: TrackId, context: &mut Context<'_>) {
        self.attached[kind as usize] = Some(track);
        for sender in self.senders.iter_mut().filter(|sender| sender.kind == kind) {
            if sender.attach(track) && self.connected {
                context.events.push(Event::KeyframeRequested {
                    peer: self.id,
                    track,
                });
            }
        }
    }

    /// Sends nothing of a kind any more.
    pub fn detach(&mut self, kind: MediaKind) {
        self.attached[kind as usize] = None;
        for sender in self.senders.iter_mut().filter(|sender| sender.kind == kind) {
            sender.detach();
        }
    }

    /// Lets go of a track that has ended.
    pub fn track_closed(&mut self, track: TrackId) {
        for attached in &mut self.attached {
            if *attached == Some(track) {
                *attached = None;
            }
        }
        for sender in &mut self.senders {
            sender.track_closed(track);
        }
    }

    /// The tracks that this peer still needs frames of.
    pub fn tracks(&self) -> Vec<TrackId> {
        let carried = self.senders.iter().flat_map(Sender::tracks);
        carried.chain(self.attached.into_iter().flatten()).collect()
    }

    /// Sends one frame, if the peer is to have it. `true` if it went over to this track by that,
    /// and needs the earlier one no longer.
    pub fn send(&mut self, now: Instant, frame: &Frame, context: &mut Context<'_>) -> bool {
        let Some(rtc) = self.rtc.as_mut().filter(|_| self.connected) else {
            return false;
        };
        let carries = |sender: &&mut Sender| sender.tracks().any(|track| track == frame.track);
        let Some(sender) = self.senders.iter_mut().find(carries) else {
            return false;
        };
        if sender.kind == MediaKind::Video {
            if is_congested(rtc, sender, now) {
                sender.wait_for_keyframe();
                self.congested = true;
            } else if self.congested {
                self.congested = false;
                context.events.push(Event::KeyframeRequested {
                    peer: self.id,
                    track: frame.track,
                });
            }
            if self.congested {
                self.stats.frames_dropped += 1;
                Counters::add(&context.counters.frames_dropped, 1);
                return false;
            }
        }
        let before = sender.current();
        let Verdict::Send { timestamp } = sender.judge(frame) else {
            return false;
        };
        if !sender.declared {
            negotiation::declare(rtc, sender);
        }
        let captured = frame.captured.min(now);
        let mut api = rtc.direct_api();
        let Some(stream) = api.stream_tx(&sender.ssrc) else {
            return false;
        };
        let last = frame.payloads.len() - 1;
        for (i, payload) in frame.payloads.iter().enumerate() {
            let sequence = sender.next_sequence().into();
            let packet = RtpWrite::new(sender.pt, sequence, timestamp, captured, payload.clone())
                .marker(i == last && sender.kind == MediaKind::Video)
                .nackable(sender.kind == MediaKind::Video);
            stream.write_rtp(packet);
        }
        let switched = sender.current() != before;
        advance(rtc, now, &mut self.errors);
        switched
    }

    /// Drops to the next keyframe, because packets of this peer were thrown away.
    pub fn fell_behind(&mut self) {
        for sender in self
            .senders
            .iter_mut()
            .filter(|sender| sender.kind == MediaKind::Video)
        {
            sender.wait_for_keyframe();
            self.congested = true;
        }
    }

    /// A frame of this track was thrown away before it reached any viewer.
    pub fn frame_lost(&mut self, track: TrackId) {
        for sender in &mut self.senders {
            if sender.kind == MediaKind::Video && sender.current() == Some(track) {
                sender.wait_for_keyframe();
            }
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
        if let Some(receiving) = &mut self.receiving {
            receiving.request_keyframe(now);
        }
    }

    /// Delivers what is complete: nothing follows.
    pub fn flush(&mut self, now: Instant) {
        if let Some(receiving) = &mut self.receiving {
            receiving.flush(now, &mut self.stats);
        }
    }

    /// Asks for a keyframe of each video track that waits for one.
    pub(super) fn request_keyframes(&self, context: &mut Context<'_>) {
        for sender in self.senders.iter().filter(|sender| sender.is_waiting()) {
            if let Some(track) = sender.wanted() {
                context.events.push(Event::KeyframeRequested {
                    peer: self.id,
                    track,
                });
            }
        }
    }

    pub fn stats(&self) -> PeerStats {
        PeerStats {
            connected: self.connected,
            bitrate_estimate: self.estimate.current(),
            ..self.stats.clone()
        }
    }
}

/// Moves str0m's clock.
fn advance(rtc: &mut Rtc, now: Instant, errors: &mut u32) {
    if rtc.handle_input(Input::Timeout(now)).is_err() {
        *errors += 1;
    }
}

fn is_congested(rtc: &mut Rtc, sender: &Sender, now: Instant) -> bool {
    let mut api = rtc.direct_api();
    let Some(queue) = api
        .stream_tx(&sender.ssrc)
        .and_then(|stream| stream.queue_info())
    else {
        return false;
    };
    queue.packet_count() > MAX_QUEUE_PACKETS
        || queue
            .first_unsent()
            .is_some_and(|at| now.saturating_duration_since(at) > MAX_QUEUE_AGE)
}
