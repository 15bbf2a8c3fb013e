//! One browser: its instance of str0m, and the roles that it has.
//!
//! **The contract of str0m** (its `lib.rs`): after every mutation it must be polled until it answers
//! with a timeout, before the next one. Here alone it is polled, in [`Connection::poll`]. Whoever
//! changes the instance sets `needs_poll`; what goes past it ([`Viewer::is_paced`] is false) does not.
//!
//! Facts about str0m 0.25 that the core relies on or works around, each read in its source:
//!
//! * A REMB is delivered to the stream of the *first* SSRC in it and lost if that is an RTX
//!   SSRC; libwebrtc lists SSRCs in ascending order. So main SSRCs are the smaller ones
//!   (`sdp::negotiation::renumber`).
//! * A stream sends sender reports from its declaration on, with RTP time 0 until it has sent
//!   media, and libwebrtc takes the 0 for a point of its RTP-to-wallclock line. So a stream is
//!   declared with its first packet (`send::pacer`), and else only while an offer is answered.
//!   It learns the clock rate when it sends the first packet: a report that is due while that
//!   waits in the pacer still has the 0 (seen once, at the start of a caller's paced video).
//! * A wallclock in the future makes a sender report with RTP time 0, too. So it is clamped.
//! * Resends stop above a ratio of bytes; the default of 15 % leaves holes at 10 % loss or in a
//!   burst. Ours still bounds what a peer that NACKs everything can make us send.
//! * A stream's queues are emptied when its section stops sending, and in no other way
//!   (`Pacer::purge_stale`).
//! * It keeps its keys to itself, but lets its DTLS be replaced (`forward::keys`). It reports as an
//!   SSRC that no stream of its own has, counts its SRTCP indices from 0, and drops feedback on
//!   streams that it does not know: so `forward::egress` sends and reads RTCP beside it.
//! * It tells the path that it uses once a second; `ice::nomination` learns it at once.
//! * It answers whatever it is asked, as far as it can; `sdp::offer` cuts offers down before.
//!
//! And of its receiving side (`streams/receive.rs`, `streams/register_nack.rs`, `session.rs`):
//!
//! * `RtpPacket` comes at most once for a sequence number, decrypted and authenticated, and
//!   resent packets (RTX) with the number, SSRC and payload type of the original. At most one
//!   waits, so str0m is polled after every datagram. The number is extended per SSRC.
//! * It asks for a missing packet each 33 ms at most, five times at most, a round trip and 5 ms
//!   apart (100 ms until the round trip is known), and only for the newest 100 numbers. An older
//!   packet that comes all the same is dropped. So the second that is granted to a gap is only
//!   used up below 100 packets a second; at 2 Mb/s a packet can be repaired for half a second,
//!   which is five tries up to a round trip of 100 ms, and two at 200 ms.
//! * It never asks where the SDP names an SSRC without one for resends; that is undone at the
//!   first packet of a stream.
//! * Its extended RTP time jumps by half a cycle where a stream pauses and goes on with an older
//!   packet, and it extends sender reports apart from packets.
//!   [`TimestampUnwrapper`](super::receive::timestamp::TimestampUnwrapper) extends both anew.
//! * It takes RTP for every section that it knows, whatever the direction. What is not received
//!   is sorted out in `Publisher::admit`.
//! * It remembers every SSRC that an authenticated packet came from, and every `a=ssrc`, for
//!   ever. [`SsrcLimit`] and the prepared offer bound them.
//! * It passes over an RTCP BYE, which browsers send in mid-call, too.
//! * What it counts of NACKs comes with its statistics, each second.

use std::sync::Arc;
use std::time::{Duration, Instant};

use str0m::change::SdpAnswer;
use str0m::media::Rid;
use str0m::net::{Protocol, Receive, Transmit};
use str0m::{Candidate, Event as RtcEvent, Input, Output, Rtc};

use super::context::{Context, Datagram, Link};
use super::forward::packet::RtpPacket;
use super::forward::rtcp::is_rtcp;
use super::ice::attempts::is_request;
use super::ice::checks::Check;
use super::ice::demux::{AddressPair, Class, classify};
use super::ice::nomination;
use super::ice::path::{Heard, Path};
use super::ice::remotes::Standing;
use super::liveness::{FAILED, Liveness};
use super::media::MediaKind;
use super::options::{Local, PeerOptions};
use super::publisher::Publisher;
use super::receive::inbox::Writer;
use super::receive::options::ReceiverOptions;
use super::receive::ssrc_limit::SsrcLimit;
use super::sdp::answer::Answer;
use super::sdp::negotiation::{self, Instance};
use super::sdp::offer::{Prepared, Wanted};
use super::sdp::payload::PayloadTypes;
use super::track::Frame;
use super::viewer::Viewer;
use super::wallclock::Wallclock;
use crate::error::EngineError;
use crate::event::Event;
use crate::id::{PeerId, TrackId};
use crate::stats::{Counters, PeerStats};

/// Rounds of "due at once" in a row that are followed before other peers get their turn.
const MAX_ROUNDS: u32 = 32;

/// Errors of str0m after which a peer is given up, if it came up or not.
const MAX_ERRORS: u32 = 1000;

/// The longest that str0m is left alone.
const MAX_IDLE: Duration = Duration::from_secs(60);

/// What is left to do for a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// It will be woken in time.
    Armed,
    /// Wake it then.
    Until(Instant),
    /// It is gone, for this reason.
    Gone(&'static str),
}

/// One browser.
pub struct Connection {
    id: PeerId,
    /// Made before the first offer, if it was.
    instance: Option<Instance>,
    /// From the first offer on.
    rtc: Option<Rtc>,
    /// The instance was changed, and is to be polled.
    needs_poll: bool,
    /// When the instance wants to be woken.
    rtc_deadline: Option<Instant>,
    /// What str0m failed at so far.
    errors: u32,
    /// When the connection will be woken.
    armed: Option<Instant>,
    path: Path,
    liveness: Liveness,
    ssrcs: SsrcLimit,
    stats: PeerStats,
    sends: Option<PeerOptions>,
    viewer: Option<Viewer>,
    publisher: Option<Publisher>,
    /// What the payload types of all its offers mean.
    payload_types: PayloadTypes,
}

impl Connection {
    /// A connection that waits for its offer. It has one role at the least: it is sent tracks, or
    /// it sends, or both.
    pub fn new(
        id: PeerId,
        sends: Option<PeerOptions>,
        receives: Option<(Writer, ReceiverOptions)>,
        wallclock: Wallclock,
        now: Instant,
    ) -> Self {
        Self {
            id,
            instance: None,
            rtc: None,
            needs_poll: false,
            rtc_deadline: None,
            errors: 0,
            armed: None,
            path: Path::default(),
            liveness: Liveness::new(now),
            ssrcs: SsrcLimit::new(now),
            stats: PeerStats::default(),
            sends,
            viewer: sends.map(|options| Viewer::new(options.estimation, wallclock, now)),
            publisher: receives.map(|(inbox, options)| Publisher::new(id, inbox, options, now)),
            payload_types: PayloadTypes::default(),
        }
    }

    /// Takes an instance for its first offer, made for what it sends and receives.
    pub fn set_instance(&mut self, instance: Instance) {
        if self.rtc.is_none() {
            self.instance = Some(instance);
        }
    }

    /// What its offers are prepared for.
    pub fn wanted(&self) -> Wanted {
        Wanted {
            sends: self.viewer.is_some(),
            receives: self.publisher.as_ref().map(Publisher::delivery),
        }
    }

    /// Answers a prepared offer, the first one or a later one.
    pub fn accept_offer(
        &mut self,
        now: Instant,
        mut offer: Prepared,
        local: &Local,
        context: &mut Context<'_>,
    ) -> Result<Answer, EngineError> {
        let is_first = self.rtc.is_none();
        let answer = self.negotiate(now, &mut offer, local);
        self.needs_poll = true;
        if answer.is_err() && is_first {
            // Nothing is kept of a failed first offer, so that another may follow.
            self.rtc = None;
            self.payload_types = PayloadTypes::default();
            if let Some(viewer) = &mut self.viewer {
                viewer.reset();
            }
        }
        let answer = answer?;
        self.liveness.handle_offer(now);
        if let Some(rtc) = &mut self.rtc {
            let ufrag = rtc.direct_api().local_ice_credentials().ufrag;
            if context.demux.set_ufrag(self.id, &ufrag) {
                context.checks.forget(self.id);
                self.path.handle_restart();
            }
            self.path.handle_offer(rtc, offer.candidates, offer.hidden);
        }
        self.advance(now);
        if self.liveness.is_connected() {
            self.with_viewer(context, |viewer, _, link| viewer.request_keyframes(link));
        }
        Ok(Answer {
            sdp: answer,
            received_bitrate: self.publisher.as_ref().map(Publisher::max_bitrate),
            additional: local.additional.clone(),
        })
    }

    fn negotiate(
        &mut self,
        now: Instant,
        offer: &mut Prepared,
        local: &Local,
    ) -> Result<SdpAnswer, EngineError> {
        if let (None, Some(refused)) = (&self.rtc, &offer.refused_as_first) {
            return Err(refused.clone());
        }
        self.payload_types.merge(&offer.payload_types)?;
        let receives = self.publisher.as_ref().map(Publisher::delivery);
        let rtc = match &mut self.rtc {
            Some(rtc) => rtc,
            none => {
                let Instance { rtc, keys } = self.instance.take().unwrap_or_else(|| {
                    negotiation::build(self.sends.as_ref(), receives, local, now)
                });
                if let Some(viewer) = &mut self.viewer {
                    viewer.set_keys(keys, now);
                }
                none.insert(rtc)
            }
        };
        let answer = match &mut self.viewer {
            Some(viewer) => viewer.negotiate(now, rtc, offer)?,
            None => negotiation::accept(rtc, offer.take()?)?,
        };
        if let Some(publisher) = &mut self.publisher {
            publisher.handle_negotiated(now, rtc, offer, &mut self.stats)?;
        }
        Ok(answer)
    }

    /// Takes a candidate of the remote side, before or after its offer.
    pub fn add_candidate(&mut self, now: Instant, candidate: Candidate) {
        if self.path.add_candidate(self.rtc.as_mut(), candidate) {
            self.advance(now);
        }
    }

    /// The remote side has a candidate whose address it does not tell.
    pub fn add_hidden_candidate(&mut self) {
        self.path.add_hidden_candidate();
    }

    /// Takes a datagram that is this peer's.
    pub fn handle_datagram(
        &mut self,
        now: Instant,
        pair: AddressPair,
        class: Class,
        datagram: &[u8],
        context: &mut Context<'_>,
    ) {
        let (destination, source) = pair;
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
            match self.path.handle_stun(now, pair, datagram) {
                Heard::Taken {
                    may_move: moves,
                    is_answer,
                } => {
                    may_move = moves;
                    if is_answer {
                        context.checks.handle_answer(source);
                        if self.path.reach() {
                            context.events.push(Event::PeerReached { peer: self.id });
                        }
                    }
                    // str0m takes a check that waits for one that is on its way.
                    for check in context.checks.take(self.id, source) {
                        self.check(now, check, context);
                    }
                }
                Heard::Refused => {
                    Counters::add(&context.counters.packets_unknown, 1);
                    return;
                }
            }
            context.demux.learn(self.id, pair, now);
        }
        if class == Class::Media && !self.ssrcs.accept(now, datagram) {
            Counters::add(&context.counters.packets_unknown, 1);
            return;
        }
        if class == Class::Media && is_rtcp(datagram) {
            match self.with_viewer(context, |v, _, link| v.handle_rtcp(now, datagram, link)) {
                Some(Some(false)) => {
                    Counters::add(&context.counters.packets_unknown, 1);
                    return;
                }
                Some(Some(true)) => {
                    self.liveness.handle_heard(now);
                    // What it says of what the browser sends is for str0m.
                    if self.publisher.is_none() {
                        return;
                    }
                }
                Some(None) | None => {}
            }
        }
        self.liveness.handle_heard(now);
        let Some(rtc) = self.rtc.as_mut() else { return };
        self.needs_poll = true;
        if rtc.handle_input(input).is_err() {
            // Garbage in a DTLS record, e.g. Anybody can send that, so it is not held against the
            // peer; if it was fatal, `poll` sees that str0m has ended.
            Counters::add(&context.counters.packets_unknown, 1);
        }
        if may_move && self.liveness.is_connected() {
            self.find_path();
        }
    }

    /// Where the viewer's packets go, which str0m does not send.
    fn find_path(&mut self) {
        if let (Some(rtc), Some(viewer)) = (&mut self.rtc, &self.viewer)
            && !viewer.is_paced()
        {
            self.path.find(rtc);
            self.needs_poll = true;
        }
    }

    /// Lets time pass. Why the peer is given up, if it is.
    pub fn handle_timeout(&mut self, now: Instant) -> Option<&'static str> {
        self.armed = None;
        let end = self.liveness.end(now);
        let is_due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        let publisher = self.publisher.as_ref().and_then(Publisher::deadline);
        if end.is_none() && (is_due(self.rtc_deadline) || is_due(publisher)) {
            self.advance(now);
        }
        end
    }

    /// Moves str0m's clock.
    fn advance(&mut self, now: Instant) {
        if let Some(rtc) = &mut self.rtc {
            self.needs_poll = true;
            if rtc.handle_input(Input::Timeout(now)).is_err() {
                self.errors += 1;
            }
        }
    }

    /// Says goodbye: RTCP BYE and DTLS close_notify, the latter sent by the poll that follows.
    pub fn close(&mut self, now: Instant, context: &mut Context<'_>) {
        self.with_viewer(context, |viewer, _, link| viewer.close(now, link));
        if let Some(rtc) = self.rtc.as_mut() {
            self.needs_poll = true;
            if rtc.close().is_err() {
                self.errors += 1;
            }
        }
    }

    /// Requests a keyframe of what the browser sends.
    pub fn request_keyframe(&mut self, now: Instant) {
        if let Some(publisher) = &mut self.publisher {
            publisher.request_keyframe(now);
            self.needs_poll = true;
        }
    }

    /// Limits what the browser may send, in bit/s; 0 lifts the limit.
    pub fn limit_bitrate(&mut self, bitrate: u64, now: Instant) {
        if let Some(publisher) = &mut self.publisher {
            publisher.set_max_bitrate(bitrate, now);
            self.needs_poll = true;
        }
    }

    /// A viewer needs a keyframe of a layer that this peer sends.
    pub fn require_keyframe(&mut self, now: Instant, layer: Option<Rid>) {
        if let Some(publisher) = &mut self.publisher {
            publisher.require_keyframe(now, layer);
            self.needs_poll = true;
        }
    }

    /// Delivers what is complete: nothing follows.
    pub fn flush(&mut self, now: Instant) {
        if let Some(publisher) = &mut self.publisher {
            publisher.flush(now, &mut self.stats);
        }
    }

    /// Sends `track` in place of the earlier one of its kind.
    pub fn attach(&mut self, kind: MediaKind, track: TrackId, context: &mut Context<'_>) {
        let Self {
            id,
            viewer,
            path,
            stats,
            ..
        } = self;
        if let Some(viewer) = viewer {
            viewer.attach(kind, track, &mut link(*id, path, stats, context));
        }
    }

    /// Sends nothing of a kind any more.
    pub fn detach(&mut self, kind: MediaKind) {
        if let Some(viewer) = &mut self.viewer {
            viewer.detach(kind);
        }
    }

    /// Lets go of a track that has ended.
    pub fn track_closed(&mut self, track: TrackId) {
        if let Some(viewer) = &mut self.viewer {
            viewer.track_closed(track);
        }
    }

    /// The tracks that this peer still needs frames of.
    pub fn tracks(&self) -> Vec<TrackId> {
        self.viewer.as_ref().map(Viewer::tracks).unwrap_or_default()
    }

    /// Sends one frame. `true` if the viewer needs the earlier track no longer.
    pub fn push(&mut self, now: Instant, frame: &Frame, context: &mut Context<'_>) -> bool {
        let switched = self.with_viewer(context, |viewer, rtc, link| {
            viewer.push(now, rtc, frame, link)
        });
        self.advance_paced(now);
        switched == Some(true)
    }

    /// Sends the group of pictures that is kept of a track, if nothing of it has been sent yet.
    pub fn catch_up(
        &mut self,
        now: Instant,
        track: TrackId,
        group: &[Arc<Frame>],
        context: &mut Context<'_>,
    ) {
        self.with_viewer(context, |viewer, _, _| {
            if viewer.is_newcomer(track) {
                viewer.catch_up(now, group);
            }
        });
    }

    /// Sends packets of a publisher as they came. `true` if the viewer needs the earlier track no
    /// longer.
    pub fn forward(
        &mut self,
        now: Instant,
        track: TrackId,
        packets: &[&RtpPacket],
        context: &mut Context<'_>,
    ) -> bool {
        let switched = self.with_viewer(context, |viewer, rtc, link| {
            viewer.forward(now, rtc, track, packets, link)
        });
        self.advance_paced(now);
        switched == Some(true)
    }

    fn advance_paced(&mut self, now: Instant) {
        if self.viewer.as_ref().is_some_and(Viewer::is_paced) {
            self.advance(now);
        }
    }

    /// Drops to the next keyframe, because packets of this peer were thrown away.
    pub fn handle_dropped(&mut self, context: &mut Context<'_>) {
        self.with_viewer(context, |viewer, _, link| viewer.handle_dropped(link));
    }

    /// A frame of this track was thrown away before it reached any viewer.
    pub fn handle_frame_lost(&mut self, track: TrackId) {
        if let Some(viewer) = &mut self.viewer {
            viewer.handle_frame_lost(track);
        }
    }

    /// Lets the estimate of a viewer show whether its path carries so much, in bit/s.
    pub fn probe(&mut self, bitrate: u64) {
        if let Some(viewer) = &mut self.viewer {
            viewer.probe(bitrate);
        }
    }

    /// The video track that is paced, and for how long its oldest packet waits for its turn.
    pub fn backlog(&mut self, now: Instant) -> Option<(TrackId, Duration)> {
        self.viewer.as_ref()?.backlog(now, self.rtc.as_mut()?)
    }

    /// Does something with the viewer, once there was an offer.
    fn with_viewer<R>(
        &mut self,
        context: &mut Context<'_>,
        f: impl FnOnce(&mut Viewer, &mut Rtc, &mut Link<'_, '_>) -> R,
    ) -> Option<R> {
        let (viewer, rtc) = (self.viewer.as_mut()?, self.rtc.as_mut()?);
        let mut link = link(self.id, &self.path, &mut self.stats, context);
        Some(f(viewer, rtc, &mut link))
    }

    /// Takes every datagram and event out of the peer.
    pub fn poll(&mut self, now: Instant, context: &mut Context<'_>) -> Progress {
        if self.needs_poll {
            self.needs_poll = false;
            if let Some(reason) = self.poll_rtc(now, context) {
                return Progress::Gone(reason);
            }
        }
        if self.with_viewer(context, |viewer, rtc, link| viewer.poll(now, rtc, link)) == Some(true)
        {
            // What is due then is str0m's clock, and the poll that follows it.
            self.rtc_deadline = Some(now);
        }
        let deadlines = [
            self.rtc_deadline,
            self.liveness.deadline(),
            self.viewer.as_ref().and_then(Viewer::deadline),
            self.publisher.as_ref().and_then(Publisher::deadline),
        ];
        let first = deadlines.into_iter().flatten().min();
        let first = first.unwrap_or(now + MAX_IDLE);
        if self.armed.is_some_and(|armed| armed <= first) {
            return Progress::Armed;
        }
        self.armed = Some(first);
        Progress::Until(first)
    }

    /// Polls str0m until it only wants to be woken later. Why the peer is gone, if it is.
    fn poll_rtc(&mut self, now: Instant, context: &mut Context<'_>) -> Option<&'static str> {
        let mut rounds = 0;
        let mut gone = None;
        while let Some(rtc) = self.rtc.as_mut() {
            match rtc.poll_output() {
                Ok(Output::Timeout(at)) if at > now => {
                    if let Some(publisher) = &mut self.publisher
                        && publisher.poll(now, rtc, &mut self.stats)
                    {
                        continue;
                    }
                    self.rtc_deadline = Some(at.min(now + MAX_IDLE));
                    break;
                }
                Ok(Output::Timeout(_)) => {
                    rounds += 1;
                    if rounds > MAX_ROUNDS {
                        self.rtc_deadline = Some(now + Duration::from_millis(1));
                        break;
                    }
                    if rtc.handle_input(Input::Timeout(now)).is_err() {
                        self.errors += 1;
                    }
                }
                Ok(Output::Transmit(transmit)) => self.transmit(now, transmit, context),
                Ok(Output::Event(event)) => {
                    if matches!(event, RtcEvent::Closed) {
                        gone = Some("closed by peer");
                    }
                    self.handle_event(now, event, context);
                }
                Err(_) => self.errors += 1,
            }
            if self.errors > MAX_ERRORS {
                return Some(FAILED);
            }
        }
        let has_ended = self.rtc.as_ref().is_some_and(|rtc| !rtc.is_alive());
        gone.or(has_ended.then_some(FAILED))
    }

    fn transmit(&mut self, now: Instant, transmit: Transmit, context: &mut Context<'_>) {
        let Transmit {
            source,
            destination,
            contents,
            ..
        } = transmit;
        let pair = (source, destination);
        match classify(&contents) {
            Class::Stun if is_request(&contents) => {
                let message = contents.into();
                return self.check(now, Check { pair, message }, context);
            }
            Class::Stun => {}
            class => {
                self.path.handle_used(pair);
                // Beside a publisher's feedback it goes out with that, and browsers ignore it.
                if nomination::is_pathfinder(&contents) && self.publisher.is_none() {
                    return;
                }
                if self.stats.remote_address.is_empty() || class == Class::Dtls {
                    self.stats.remote_address = destination.to_string();
                }
                let viewer = self.viewer.as_ref();
                if viewer.is_some_and(|viewer| viewer.is_resend(&contents)) {
                    self.stats.packets_resent += 1;
                }
            }
        }
        self.send(pair, contents.into(), context);
    }

    /// Sends a check, or has it wait for its turn, or drops and counts it.
    fn check(&mut self, now: Instant, check: Check, context: &mut Context<'_>) {
        let is_refused = match self.path.standing(check.pair.1) {
            Standing::Answers => {
                self.send_check(check, context);
                false
            }
            Standing::Asks if context.checks.admit(now, check.pair.1) => {
                self.send_check(check, context);
                false
            }
            Standing::Asks => true,
            Standing::Silent => !context.checks.push(now, self.id, check),
        };
        if is_refused {
            Counters::add(&context.counters.checks_refused, 1);
        }
    }

    /// Sends a check whose turn it is.
    pub fn send_check(&mut self, check: Check, context: &mut Context<'_>) {
        let Check { pair, message } = check;
        self.path.handle_check(pair);
        if !context.demux.knows(self.id, pair) {
            context.demux.expect_response(self.id, &message);
        }
        self.send(pair, message, context);
    }

    fn send(&mut self, pair: AddressPair, payload: Vec<u8>, context: &mut Context<'_>) {
        self.stats.packets_sent += 1;
        self.stats.bytes_sent += payload.len() as u64;
        context.out.send(Datagram {
            peer: self.id,
            local: pair.0,
            remote: pair.1,
            payload,
        });
    }

    fn handle_event(&mut self, now: Instant, event: RtcEvent, context: &mut Context<'_>) {
        match event {
            RtcEvent::RtpPacket(packet) => {
                self.ssrcs.handle_decrypted();
                if let (Some(publisher), Some(rtc)) = (&mut self.publisher, &mut self.rtc) {
                    publisher.handle_packet(now, &packet, rtc, &mut self.stats, context);
                }
            }
            RtcEvent::Connected => {
                self.liveness.handle_connected();
                self.path.handle_connected();
                if let Some(publisher) = &mut self.publisher {
                    publisher.handle_connected(now);
                }
                self.find_path();
                context.events.push(Event::PeerConnected { peer: self.id });
                self.with_viewer(context, |viewer, _, link| viewer.handle_connected(link));
            }
            RtcEvent::KeyframeRequest(request) => {
                self.with_viewer(context, |viewer, _, link| {
                    viewer.handle_keyframe_request(now, request.mid, link);
                });
            }
            RtcEvent::EgressBitrateEstimate(estimate) => {
                if let Some(viewer) = &mut self.viewer {
                    viewer.handle_estimate(&estimate);
                }
            }
            RtcEvent::PeerStats(stats) => {
                if let Some(path) = stats.selected_candidate_pair {
                    if let Some(rtt) = path.current_round_trip_time {
                        self.stats.rtt_ms = Some(rtt.as_secs_f64() * 1000.0);
                    }
                    self.path.handle_used((path.local.addr, path.remote.addr));
                    self.stats.remote_address = path.remote.addr.to_string();
                }
            }
            RtcEvent::MediaEgressStats(stats) => {
                self.with_viewer(context, |viewer, _, link| viewer.handle_stats(&stats, link));
            }
            RtcEvent::MediaIngressStats(stats) => {
                if let Some(publisher) = &mut self.publisher {
                    publisher.handle_stats(&stats, &mut self.stats);
                }
            }
            _ => {}
        }
    }

    /// What was tried to reach the browser, a line each, for people.
    pub fn attempts(&self) -> Vec<String> {
        self.path.lines()
    }

    pub fn stats(&self) -> PeerStats {
        PeerStats {
            connected: self.liveness.is_connected(),
            bitrate_estimate: self.viewer.as_ref().and_then(Viewer::estimate),
            pairs: self.path.lines(),
            ..self.stats.clone()
        }
    }
}

fn link<'a, 'b>(
    peer: PeerId,
    path: &Path,
    stats: &'a mut PeerStats,
    context: &'a mut Context<'b>,
) -> Link<'a, 'b> {
    Link {
        peer,
        pair: path.pair(),
        stats,
        context,
    }
}
