//! The sending role of a connection: the tracks that a browser watches.
//!
//! ```text
//! frame of a track ────▶ RtpRewriter of ─▶ Way ─▶ paced (TWCC): Pacer ─▶ str0m's queue
//! publisher's packet ──▶ OutgoingStreams     └──▶ else (REMB):  Egress ─▶ Link::send
//! ```
//!
//! [`OutgoingStreams`] number the packets and [`Way`] sends them. Here is decided whether: by what
//! the viewer's path carries.

use std::sync::Arc;
use std::time::{Duration, Instant};

use str0m::Rtc;
use str0m::bwe::BweKind;
use str0m::media::Mid;
use str0m::stats::MediaEgressStats;

use super::context::Link;
use super::forward::keys::KeySlot;
use super::forward::packet::RtpPacket;
use super::forward::probe::Probes;
use super::forward::rtcp::Feedback;
use super::media::MediaKind;
use super::options::Estimation;
use super::sdp::offer::Prepared;
use super::send::catch_up::CatchUp;
use super::send::congestion::{Congestion, Flow, SentTotal};
use super::send::estimate::{Estimate, FLOOR};
use super::send::losses::{Losses, ReceptionReport};
use super::send::parameters::StreamParameters;
use super::send::rewriter::RtpPosition;
use super::send::streams::{OutgoingStream, OutgoingStreams};
use super::send::way::{OutgoingPacket, Way};
use super::track::Frame;
use super::wallclock::Wallclock;
use crate::error::EngineError;
use crate::event::Event;
use crate::id::TrackId;
use crate::stats::Counters;

/// What a browser is sent.
#[derive(Debug)]
pub struct Viewer {
    streams: OutgoingStreams,
    is_connected: bool,
    way: Way,
    congestion: Congestion,
    estimate: Estimate,
    losses: Losses,
    probes: Probes,
    /// The pictures before the first live one.
    catch_up: Option<CatchUp>,
}

impl Viewer {
    /// A viewer that waits for its offer.
    pub fn new(estimation: Estimation, wallclock: Wallclock, now: Instant) -> Self {
        Self {
            streams: OutgoingStreams::default(),
            is_connected: false,
            way: Way::new(estimation, wallclock, now),
            congestion: Congestion::default(),
            estimate: Estimate::default(),
            losses: Losses::default(),
            probes: Probes::default(),
            catch_up: None,
        }
    }

    /// Whether what it is sent goes through str0m, which has to be polled after that.
    pub fn is_paced(&self) -> bool {
        self.way.is_paced()
    }

    /// Where the keys of a new instance of str0m will be found.
    pub fn set_keys(&mut self, keys: KeySlot, now: Instant) {
        self.way.set_keys(keys, now);
    }

    /// Has str0m answer a prepared offer.
    pub fn negotiate(
        &mut self,
        now: Instant,
        rtc: &mut Rtc,
        prepared: &mut Prepared,
    ) -> Result<str0m::change::SdpAnswer, EngineError> {
        let is_declared = |ssrc| self.way.is_declared(ssrc);
        let answer = self.streams.negotiate(rtc, prepared, is_declared)?;
        self.way.set_streams(rtc, &self.streams.parameters());
        self.losses.handle_negotiated(now);
        Ok(answer)
    }

    /// Forgets a negotiation that failed.
    pub fn reset(&mut self) {
        self.streams.reset();
    }

    /// Media may flow.
    pub fn handle_connected(&mut self, link: &mut Link<'_, '_>) {
        self.is_connected = true;
        self.way.handle_connected();
        self.request_keyframes(link);
    }

    /// Requests a keyframe of each video track that waits for one.
    pub fn request_keyframes(&self, link: &mut Link<'_, '_>) {
        for track in self.streams.awaited() {
            link.request_keyframe(track);
        }
    }

    /// Sends `track` in place of the earlier one of its kind.
    pub fn attach(&mut self, kind: MediaKind, track: TrackId, link: &mut Link<'_, '_>) {
        if kind == MediaKind::Video && self.streams.attached(kind) != Some(track) {
            self.catch_up = None;
            self.congestion.retry();
        }
        if self.streams.attach(kind, track) && self.is_connected {
            link.request_keyframe(track);
        }
    }

    /// Sends nothing of a kind any more.
    pub fn detach(&mut self, kind: MediaKind) {
        self.catch_up.take_if(|_| kind == MediaKind::Video);
        self.streams.detach(kind);
    }

    /// Lets go of a track that has ended.
    pub fn track_closed(&mut self, track: TrackId) {
        self.catch_up.take_if(|group| group.track() == track);
        self.streams.track_closed(track);
    }

    /// The tracks that it still needs frames of.
    pub fn tracks(&self) -> Vec<TrackId> {
        self.streams.tracks()
    }

    /// Whether nothing has been sent of this track, which has no earlier one before it, although
    /// something could be: the viewer comes between two keyframes.
    pub fn is_newcomer(&mut self, track: TrackId) -> bool {
        let can_be_sent = self.carrier(track, false).is_some() && self.catch_up.is_none();
        let stream = self.streams.carrier(track);
        can_be_sent && stream.is_some_and(|stream| stream.rewriter.is_new(track))
    }

    /// Sends a newcomer the group of pictures that is kept, and then what comes.
    pub fn catch_up(&mut self, now: Instant, group: &[Arc<Frame>]) {
        self.catch_up = CatchUp::new(group, now);
    }

    /// Sends the pictures before the first live one that are due.
    fn send_group(&mut self, now: Instant, rtc: &mut Rtc, link: &mut Link<'_, '_>) -> bool {
        let mut has_sent = false;
        while let Some(frame) = self.catch_up.as_mut().and_then(|group| group.next(now)) {
            self.send(now, rtc, &frame, link);
            has_sent = true;
        }
        self.catch_up.take_if(|group| group.is_done());
        has_sent
    }

    /// Sends one frame, if the viewer is to have it. `true` if it went over to this track by that,
    /// and needs the earlier one no longer.
    pub fn push(
        &mut self,
        now: Instant,
        rtc: &mut Rtc,
        frame: &Frame,
        link: &mut Link<'_, '_>,
    ) -> bool {
        if let Some(group) = &mut self.catch_up
            && group.track() == frame.track
        {
            group.add(frame); // it is sent in its turn, by `poll`
            return false;
        }
        self.send(now, rtc, frame, link)
    }

    fn send(
        &mut self,
        now: Instant,
        rtc: &mut Rtc,
        frame: &Frame,
        link: &mut Link<'_, '_>,
    ) -> bool {
        let Some(parameters) = self.carrier(frame.track, false) else {
            return false;
        };
        if !self.is_flowing(now, rtc, &parameters, frame.track, link) {
            link.drop_frames(1);
            return false;
        }
        let Some(stream) = self.streams.carrier(frame.track) else {
            return false;
        };
        let before = stream.current();
        let Some(timestamp) = stream.rewriter.rewrite_frame(frame) else {
            return false;
        };
        let last = frame.payloads.len() - 1;
        for (i, payload) in frame.payloads.iter().enumerate() {
            let packet = OutgoingPacket {
                position: RtpPosition {
                    sequence: stream.rewriter.next_sequence(),
                    timestamp,
                },
                captured: frame.captured,
                marker: i == last && parameters.kind == MediaKind::Video,
                payload,
            };
            self.way.send(now, rtc, &parameters, &packet, link);
        }
        let has_switched = stream.current() != before;
        self.handle_sent(now, parameters.kind, link);
        has_switched
    }

    /// Sends packets of a publisher as they came, if the viewer is to have them. `true` if it went
    /// over to this track by that, and needs the earlier one no longer.
    pub fn forward(
        &mut self,
        now: Instant,
        rtc: &mut Rtc,
        track: TrackId,
        packets: &[&RtpPacket],
        link: &mut Link<'_, '_>,
    ) -> bool {
        let Some(parameters) = self.carrier(track, true) else {
            return false;
        };
        if !self.is_flowing(now, rtc, &parameters, track, link) {
            let frames = packets.iter().filter(|packet| packet.marker).count();
            link.drop_frames(frames as u64);
            return false;
        }
        let Some(stream) = self.streams.carrier(track) else {
            return false;
        };
        let before = stream.current();
        let mut has_sent = false;
        for packet in packets {
            let Some(position) = stream.rewriter.rewrite(track, packet) else {
                continue;
            };
            let packet = OutgoingPacket {
                position,
                captured: packet.captured,
                marker: packet.marker,
                payload: &packet.payload,
            };
            self.way.send(now, rtc, &parameters, &packet, link);
            has_sent = true;
        }
        let has_switched = stream.current() != before;
        if has_sent {
            if parameters.kind == MediaKind::Video {
                self.probes.handle_picture(now);
            }
            self.handle_sent(now, parameters.kind, link);
        }
        has_sent && has_switched
    }

    /// The stream that carries a track, of a viewer that can be sent something. `is_relayed` says
    /// that the track's packets come from a publisher.
    fn carrier(&mut self, track: TrackId, is_relayed: bool) -> Option<StreamParameters> {
        let parameters = self.streams.carrier(track)?.parameters;
        if !self.is_connected || !self.way.is_open() {
            return None;
        }
        if parameters.kind == MediaKind::Video {
            self.congestion.set_relayed(is_relayed);
        }
        Some(parameters)
    }

    /// Whether what comes now is sent; video is not while the viewer cannot keep up.
    fn is_flowing(
        &mut self,
        now: Instant,
        rtc: &mut Rtc,
        stream: &StreamParameters,
        track: TrackId,
        link: &mut Link<'_, '_>,
    ) -> bool {
        if stream.kind == MediaKind::Audio {
            return true;
        }
        if self.way.is_congested(rtc, stream.ssrc, now) {
            self.congest(None, link);
            return false;
        }
        match self.congestion.flow(now) {
            Flow::Send => true,
            Flow::Drop => false,
            Flow::Resume => {
                link.request_keyframe(track);
                true
            }
        }
    }

    fn handle_sent(&mut self, now: Instant, kind: MediaKind, link: &mut Link<'_, '_>) {
        if kind == MediaKind::Video && self.congestion.sent(now) {
            link.set_congested(false);
        }
    }

    /// Drops to a keyframe after `until`.
    fn congest(&mut self, until: Option<Instant>, link: &mut Link<'_, '_>) {
        self.streams.wait_for_keyframe();
        if self.congestion.begin(until) {
            link.set_congested(true);
        }
    }

    /// Drops to the next keyframe, because packets of this viewer were thrown away.
    pub fn handle_dropped(&mut self, link: &mut Link<'_, '_>) {
        if self.streams.video().is_some() {
            self.congest(None, link);
        }
    }

    /// A frame of this track was thrown away before it reached any viewer.
    pub fn handle_frame_lost(&mut self, track: TrackId) {
        self.streams.handle_frame_lost(track);
    }

    /// Reads RTCP that is about what is sent past str0m. `None` if nothing is sent that way,
    /// `Some(false)` if the datagram is not the viewer's.
    pub fn handle_rtcp(
        &mut self,
        now: Instant,
        datagram: &[u8],
        link: &mut Link<'_, '_>,
    ) -> Option<bool> {
        if !self.way.reads_rtcp() {
            return None;
        }
        let Some(found) = self.way.read(now, datagram) else {
            return Some(false);
        };
        for feedback in found {
            self.handle_feedback(now, feedback, link);
        }
        Some(true)
    }

    fn handle_feedback(&mut self, now: Instant, feedback: Feedback, link: &mut Link<'_, '_>) {
        match feedback {
            Feedback::Received {
                ssrc,
                loss,
                lost,
                highest,
            } => {
                let stream = self.streams.of_ssrc(ssrc);
                if stream.is_some_and(|stream| stream.parameters.kind == MediaKind::Video) {
                    link.stats.loss = Some(loss.into());
                    if self.congestion.is_relayed() {
                        self.judge_path(now, loss, link);
                    } else {
                        self.handle_report(ReceptionReport {
                            at: now,
                            sequence: highest.into(),
                            lost: lost.max(0) as u64,
                            fraction: Some(loss.into()),
                            sent: link.stats.bytes_sent,
                        });
                    }
                }
            }
            Feedback::Missing { ssrc, numbers } => {
                link.stats.nacks += 1;
                self.way.resend(now, ssrc, numbers, link);
            }
            Feedback::Keyframe { ssrc } => {
                link.stats.plis += 1;
                let track = self.streams.of_ssrc(ssrc).and_then(OutgoingStream::current);
                self.pass_keyframe_request(track, now, link);
            }
            Feedback::Bitrate(bitrate) => self.estimate.set_remb(bitrate),
            Feedback::ReferenceTime { .. } => {} // `Egress` answers it
        }
    }

    /// Lets the estimate know what a receiver report says of the video.
    fn handle_report(&mut self, report: ReceptionReport) {
        if let Some((loss, sent)) = self.losses.handle_report(report) {
            self.estimate.report_loss(loss, sent);
        }
    }

    /// Finds out whether the path to a viewer carries what is forwarded.
    fn judge_path(&mut self, now: Instant, loss: f32, link: &mut Link<'_, '_>) {
        let Some(video) = self.streams.video() else {
            return;
        };
        let (sequence, packets) = video.rewriter.progress();
        let sent = SentTotal {
            bytes: link.stats.bytes_sent,
            packets,
            sequence,
        };
        let estimate = self.estimate.current();
        if let Some(pause) = self.congestion.judge(now, loss, sent, estimate) {
            self.congest(Some(now + pause), link);
        }
    }

    /// The browser needs a keyframe of what it is sent in a section.
    pub fn handle_keyframe_request(&mut self, now: Instant, mid: Mid, link: &mut Link<'_, '_>) {
        let stream = self.streams.of_section(mid);
        let track = stream.and_then(OutgoingStream::current);
        self.pass_keyframe_request(track, now, link);
    }

    fn pass_keyframe_request(
        &mut self,
        track: Option<TrackId>,
        now: Instant,
        link: &mut Link<'_, '_>,
    ) {
        if let Some(track) = track.filter(|_| self.congestion.passes_request(now)) {
            link.request_keyframe(track);
        }
    }

    /// Takes an estimate that str0m has made or read.
    pub fn handle_estimate(&mut self, estimate: &BweKind) {
        match estimate {
            BweKind::Remb { estimate, .. } => self.estimate.set_remb(estimate.as_f64()),
            BweKind::Twcc { estimate, .. } => self.estimate.set_twcc(estimate.as_f64()),
            _ => {}
        }
    }

    /// Takes what str0m counts of a section that it sends.
    pub fn handle_stats(&mut self, egress: &MediaEgressStats, link: &mut Link<'_, '_>) {
        if !self.is_paced() {
            return;
        }
        self.way.count_feedback(egress, link.stats);
        let video = self.streams.video();
        let is_video = video.is_some_and(|video| video.parameters.mid == egress.mid);
        if let Some(remote) = egress.remote.as_ref().filter(|_| is_video) {
            self.handle_report(ReceptionReport {
                at: egress.timestamp,
                sequence: *remote.maximum_sequence_number,
                lost: remote.packets_lost,
                fraction: egress.loss.map(f64::from),
                sent: link.stats.bytes_sent,
            });
        }
    }

    /// Whether a datagram of str0m's is a resend (RFC 4588 §5.3): the RTP header is in the clear.
    pub fn is_resend(&self, datagram: &[u8]) -> bool {
        self.streams.is_resend(datagram)
    }

    /// Sends the sender reports and probes that are due, tells the estimate, and mends what the
    /// pacer can no longer make good. `true` if str0m was changed by that.
    pub fn poll(&mut self, now: Instant, rtc: &mut Rtc, link: &mut Link<'_, '_>) -> bool {
        let has_sent = self.send_group(now, rtc, link);
        self.way.poll(now, &self.streams, link);
        while self.probes.is_due(now, self.estimate.current()) {
            match self.way.probe(now, link) {
                Some(length) => self.probes.sent(now, length),
                None => self.probes.stop(),
            }
        }
        let has_changed = self.is_paced() && (self.mend_pacing(now, rtc, link) || has_sent);
        if let Some(bitrate) = self.estimate.take(now) {
            link.context.events.push(Event::BitrateEstimated {
                peer: link.peer,
                bitrate,
            });
        }
        has_changed
    }

    fn mend_pacing(&mut self, now: Instant, rtc: &mut Rtc, link: &mut Link<'_, '_>) -> bool {
        let has_collapsed = self.estimate.wants_fresh_start(now);
        if has_collapsed {
            rtc.bwe().reset(FLOOR.into());
        }
        self.purge_stale(now, rtc, link) || has_collapsed
    }

    /// Throws away what waits for its turn for too long. `true` if str0m was changed by that.
    fn purge_stale(&mut self, now: Instant, rtc: &mut Rtc, link: &mut Link<'_, '_>) -> bool {
        let Some((stream, track)) = self.paced_video() else {
            return false;
        };
        let Some(purged) = self.way.purge_stale(rtc, &stream, now) else {
            return false;
        };
        self.streams.wait_for_keyframe();
        self.estimate.overloaded();
        Counters::add(&link.context.counters.packets_dropped, purged);
        link.request_keyframe(track);
        true
    }

    /// The video that str0m paces, if it has sent anything, and the track that it carries.
    fn paced_video(&self) -> Option<(StreamParameters, TrackId)> {
        let video = self.streams.video()?;
        let is_paced = self.way.is_declared(video.parameters.ssrc);
        let track = video.current().filter(|_| is_paced)?;
        Some((video.parameters, track))
    }

    /// The video track that is paced, and for how long its oldest packet waits for its turn.
    pub fn backlog(&self, now: Instant, rtc: &mut Rtc) -> Option<(TrackId, Duration)> {
        let (stream, track) = self.paced_video()?;
        Some((track, self.way.backlog(rtc, stream.ssrc, now)?))
    }

    /// When [`Viewer::poll`] has something to do.
    pub fn deadline(&self) -> Option<Instant> {
        let (way, probes) = (self.way.deadline(), self.probes.deadline());
        let group = self.catch_up.as_ref().and_then(CatchUp::deadline);
        let all = [way, probes, self.estimate.deadline(), group];
        all.into_iter().flatten().min()
    }

    /// Ends all streams. Those that str0m sends it ends itself.
    pub fn close(&mut self, now: Instant, link: &mut Link<'_, '_>) {
        self.way.close(now, &self.streams, link);
    }

    /// Finds out, as far as a browser that estimates by itself can be made to tell, whether the
    /// path carries so much, in bit/s.
    pub fn probe(&mut self, bitrate: u64) {
        if !self.is_paced() {
            self.probes.want(bitrate);
        }
    }

    /// The newest estimate, in bit/s.
    pub fn estimate(&self) -> Option<u64> {
        self.estimate.current()
    }
}
