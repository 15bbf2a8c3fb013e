//! The sending role of a connection: the tracks that a browser watches.
//!
//! ```text
//! frame of a track ───▶ RtpRewriter ─▶ paced (TWCC):   Pacer ─▶ str0m's queue
//! publisher's packet ──▶   of a stream ─▶ else (REMB): Egress ─▶ Link::send
//! ```
//!
//! One viewer uses one of the two ways for all that it is ever sent, so no SSRC goes both.

use std::sync::Arc;
use std::time::{Duration, Instant};

use str0m::Rtc;
use str0m::bwe::BweKind;
use str0m::media::Mid;
use str0m::stats::MediaEgressStats;

use super::context::Link;
use super::forward::egress::Egress;
use super::forward::keys::KeySlot;
use super::forward::packet::RtpPacket;
use super::forward::probe::Probes;
use super::forward::rtcp::Feedback;
use super::media::MediaKind;
use super::options::Estimation;
use super::sdp::negotiation;
use super::sdp::offer::Prepared;
use super::send::congestion::{Congestion, Flow, SentTotal};
use super::send::estimate::{Estimate, FLOOR};
use super::send::losses::{Losses, ReceptionReport};
use super::send::pacer::Pacer;
use super::send::parameters::StreamParameters;
use super::send::rewriter::{RtpPosition, RtpRewriter};
use super::track::Frame;
use crate::error::EngineError;
use crate::event::Event;
use crate::id::TrackId;
use crate::stats::Counters;

/// The least time between two judgements of a path by what its reports say.
const JUDGED_EACH: Duration = Duration::from_millis(900);

/// One outgoing stream.
#[derive(Debug)]
struct OutgoingStream {
    parameters: StreamParameters,
    rewriter: RtpRewriter,
}

/// The way out of a viewer's packets.
#[derive(Debug)]
enum Way {
    Paced(Pacer),
    Direct(Box<Egress>),
}

/// What a browser is sent.
#[derive(Debug)]
pub struct Viewer {
    streams: Vec<OutgoingStream>,
    /// The tracks wanted, by kind; kept through a renegotiation that takes a section away.
    attached: [Option<TrackId>; 2],
    is_connected: bool,
    way: Way,
    congestion: Congestion,
    estimate: Estimate,
    losses: Losses,
    probes: Probes,
    /// When sending began at the earliest.
    negotiated: Option<Instant>,
    /// When the path was judged last.
    judged: Option<Instant>,
}

impl Viewer {
    /// A viewer whose keys will be found in `keys`.
    pub fn new(estimation: Estimation, keys: KeySlot, now: Instant) -> Self {
        Self {
            streams: Vec::new(),
            attached: [None, None],
            is_connected: false,
            way: match estimation {
                Estimation::Twcc => Way::Paced(Pacer::default()),
                Estimation::Remb => Way::Direct(Box::new(Egress::new(keys, now))),
            },
            congestion: Congestion::default(),
            estimate: Estimate::default(),
            losses: Losses::default(),
            probes: Probes::default(),
            negotiated: None,
            judged: None,
        }
    }

    /// Whether what it is sent goes through str0m, which has to be polled after that.
    pub fn is_paced(&self) -> bool {
        matches!(self.way, Way::Paced(_))
    }

    /// Where the keys of a new instance of str0m will be found.
    pub fn set_keys(&mut self, keys: KeySlot, now: Instant) {
        if let Way::Direct(egress) = &mut self.way {
            **egress = Egress::new(keys, now);
        }
    }

    /// Has str0m answer a prepared offer.
    pub fn negotiate(
        &mut self,
        now: Instant,
        rtc: &mut Rtc,
        prepared: &Prepared,
    ) -> Result<String, EngineError> {
        // The answer tells the SSRCs of what str0m knows.
        for stream in &self.streams {
            if !self.is_declared(stream) {
                negotiation::declare(rtc, &stream.parameters);
            }
        }
        let mut answer = negotiation::accept(rtc, &prepared.text)?;
        let mut has_renumbered = false;
        for kind in [MediaKind::Video, MediaKind::Audio] {
            let Some(mid) = prepared.sent[kind as usize] else {
                continue;
            };
            if self.streams.iter().any(|s| s.parameters.mid == mid) {
                continue;
            }
            let ssrcs = negotiation::renumber(rtc, mid);
            has_renumbered = true;
            match negotiation::payload_type(rtc, kind, mid) {
                Some(pt) => {
                    let mut rewriter = RtpRewriter::new(kind);
                    if let Some(track) = self.attached[kind as usize] {
                        rewriter.attach(track);
                    }
                    self.streams.push(OutgoingStream {
                        parameters: StreamParameters::read(rtc, kind, mid, pt, ssrcs),
                        rewriter,
                    });
                }
                None if kind == MediaKind::Video => {
                    return Err(EngineError::offer("codec: browser offers no H.264"));
                }
                None => {}
            }
        }
        if has_renumbered {
            // The same offer again changes nothing, and the answer now has the SSRCs chosen here.
            answer = negotiation::accept(rtc, &prepared.text)?;
        }
        let is_sending = |media: &str0m::media::Media| media.direction().is_sending();
        self.streams
            .retain(|stream| rtc.media(stream.parameters.mid).is_some_and(is_sending));
        for stream in &self.streams {
            if !self.is_declared(stream) {
                rtc.direct_api().remove_stream_tx(stream.parameters.ssrc);
            }
        }
        self.update_way(rtc);
        self.negotiated.get_or_insert(now);
        Ok(answer)
    }

    /// Forgets a negotiation that failed.
    pub fn reset(&mut self) {
        self.streams.clear();
    }

    fn is_declared(&self, stream: &OutgoingStream) -> bool {
        match &self.way {
            Way::Paced(pacer) => pacer.is_declared(stream.parameters.ssrc),
            Way::Direct(_) => false,
        }
    }

    fn update_way(&mut self, rtc: &Rtc) {
        let all: Vec<StreamParameters> = self.streams.iter().map(|s| s.parameters).collect();
        match &mut self.way {
            Way::Paced(pacer) => pacer.retain(|ssrc| all.iter().any(|s| s.ssrc == ssrc)),
            Way::Direct(egress) => {
                let media = all.first().and_then(|stream| rtc.media(stream.mid));
                egress.set_streams(media.map_or("", |media| media.cname()), &all);
            }
        }
    }

    /// Media may flow.
    pub fn handle_connected(&mut self, link: &mut Link<'_, '_>) {
        self.is_connected = true;
        if let Way::Direct(egress) = &mut self.way {
            egress.handle_connected();
        }
        self.request_keyframes(link);
    }

    /// Requests a keyframe of each video track that waits for one.
    pub fn request_keyframes(&self, link: &mut Link<'_, '_>) {
        let rewriters = self.streams.iter().map(|stream| &stream.rewriter);
        for rewriter in rewriters.filter(|rewriter| rewriter.is_waiting()) {
            if let Some(track) = rewriter.wanted() {
                link.request_keyframe(track);
            }
        }
    }

    /// Sends `track` in place of the earlier one of its kind.
    pub fn attach(&mut self, kind: MediaKind, track: TrackId, link: &mut Link<'_, '_>) {
        if kind == MediaKind::Video && self.attached[kind as usize] != Some(track) {
            self.congestion.retry();
        }
        self.attached[kind as usize] = Some(track);
        let is_connected = self.is_connected;
        for stream in self.of_kind(kind) {
            if stream.rewriter.attach(track) && is_connected {
                link.request_keyframe(track);
            }
        }
    }

    /// Sends nothing of a kind any more.
    pub fn detach(&mut self, kind: MediaKind) {
        self.attached[kind as usize] = None;
        for stream in self.of_kind(kind) {
            stream.rewriter.detach();
        }
    }

    fn of_kind(&mut self, kind: MediaKind) -> impl Iterator<Item = &mut OutgoingStream> + use<'_> {
        let streams = self.streams.iter_mut();
        streams.filter(move |stream| stream.parameters.kind == kind)
    }

    /// Lets go of a track that has ended.
    pub fn track_closed(&mut self, track: TrackId) {
        for attached in &mut self.attached {
            if *attached == Some(track) {
                *attached = None;
            }
        }
        for stream in &mut self.streams {
            stream.rewriter.track_closed(track);
        }
    }

    /// The tracks that it still needs frames of.
    pub fn tracks(&self) -> Vec<TrackId> {
        let carried = self.streams.iter().flat_map(|s| s.rewriter.tracks());
        carried.chain(self.attached.into_iter().flatten()).collect()
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
        let Some(index) = self.carrier(frame.track) else {
            return false;
        };
        let is_video = self.streams[index].parameters.kind == MediaKind::Video;
        if is_video {
            self.congestion.set_relayed(false);
        }
        if !self.is_flowing(now, rtc, index, frame.track, link) {
            link.drop_frames(1);
            return false;
        }
        let stream = &mut self.streams[index];
        let before = stream.rewriter.current();
        let Some(timestamp) = stream.rewriter.rewrite_frame(frame) else {
            return false;
        };
        // A moment in the future would give sender reports a time of 0, see `connection`.
        let captured = frame.captured.min(now);
        let last = frame.payloads.len() - 1;
        for (i, payload) in frame.payloads.iter().enumerate() {
            let position = RtpPosition {
                sequence: stream.rewriter.next_sequence(),
                timestamp,
            };
            let marker = i == last && is_video;
            let parameters = &stream.parameters;
            self.way.send(
                now, rtc, parameters, position, captured, marker, payload, link,
            );
        }
        self.handle_sent(now, index, link);
        self.streams[index].rewriter.current() != before
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
        let Some(index) = self.carrier(track) else {
            return false;
        };
        let is_video = self.streams[index].parameters.kind == MediaKind::Video;
        if is_video {
            self.congestion.set_relayed(true);
        }
        if !self.is_flowing(now, rtc, index, track, link) {
            let frames = packets.iter().filter(|packet| packet.marker).count();
            link.drop_frames(frames as u64);
            return false;
        }
        let stream = &mut self.streams[index];
        let before = stream.rewriter.current();
        let mut has_sent = false;
        for packet in packets {
            let Some(position) = stream.rewriter.rewrite(track, packet) else {
                continue;
            };
            let captured = packet.captured.min(now);
            let (marker, payload) = (packet.marker, &packet.payload);
            let parameters = &stream.parameters;
            self.way.send(
                now, rtc, parameters, position, captured, marker, payload, link,
            );
            has_sent = true;
        }
        if !has_sent {
            return false;
        }
        if is_video {
            self.probes.handle_picture(now);
        }
        self.handle_sent(now, index, link);
        self.streams[index].rewriter.current() != before
    }

    /// The stream that carries a track, of a viewer that can be sent something.
    fn carrier(&self, track: TrackId) -> Option<usize> {
        let is_open = match &self.way {
            Way::Paced(_) => true,
            Way::Direct(egress) => egress.is_open(),
        };
        let carries = |stream: &OutgoingStream| stream.rewriter.tracks().any(|t| t == track);
        let index = self.streams.iter().position(carries)?;
        (self.is_connected && is_open).then_some(index)
    }

    /// Whether what comes now is sent; video is not while the viewer cannot keep up.
    fn is_flowing(
        &mut self,
        now: Instant,
        rtc: &mut Rtc,
        index: usize,
        track: TrackId,
        link: &mut Link<'_, '_>,
    ) -> bool {
        let StreamParameters { kind, ssrc, .. } = self.streams[index].parameters;
        if kind == MediaKind::Audio {
            return true;
        }
        // Without a pacer nothing waits.
        if let Way::Paced(pacer) = &self.way
            && pacer.is_congested(rtc, ssrc, now)
        {
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

    fn handle_sent(&mut self, now: Instant, index: usize, link: &mut Link<'_, '_>) {
        let is_video = self.streams[index].parameters.kind == MediaKind::Video;
        if is_video && self.congestion.sent(now) {
            link.set_congested(false);
        }
    }

    /// Drops to a keyframe after `until`.
    fn congest(&mut self, until: Option<Instant>, link: &mut Link<'_, '_>) {
        for stream in self.of_kind(MediaKind::Video) {
            stream.rewriter.wait_for_keyframe();
        }
        if self.congestion.begin(until) {
            link.set_congested(true);
        }
    }

    /// Drops to the next keyframe, because packets of this viewer were thrown away.
    pub fn handle_dropped(&mut self, link: &mut Link<'_, '_>) {
        if self.of_kind(MediaKind::Video).next().is_some() {
            self.congest(None, link);
        }
    }

    /// A frame of this track was thrown away before it reached any viewer.
    pub fn handle_frame_lost(&mut self, track: TrackId) {
        for stream in self.of_kind(MediaKind::Video) {
            if stream.rewriter.current() == Some(track) {
                stream.rewriter.wait_for_keyframe();
            }
        }
    }

    /// Reads RTCP that is about what is sent past str0m. `None` if nothing is sent that way,
    /// `Some(false)` if the datagram is not the viewer's.
    pub fn handle_rtcp(
        &mut self,
        now: Instant,
        datagram: &[u8],
        link: &mut Link<'_, '_>,
    ) -> Option<bool> {
        let egress = match &mut self.way {
            Way::Direct(egress) if egress.is_open() => egress,
            _ => return None,
        };
        let Some(found) = egress.read(now, datagram) else {
            return Some(false);
        };
        for feedback in found {
            self.handle_feedback(now, feedback, link);
        }
        Some(true)
    }

    fn handle_feedback(&mut self, now: Instant, feedback: Feedback, link: &mut Link<'_, '_>) {
        let index = |ssrc: u32| {
            let is_it = |stream: &OutgoingStream| *stream.parameters.ssrc == ssrc;
            self.streams.iter().position(is_it)
        };
        match feedback {
            Feedback::Received {
                ssrc,
                loss,
                lost,
                highest,
            } => {
                if let Some(index) = index(ssrc)
                    && self.streams[index].parameters.kind == MediaKind::Video
                {
                    link.stats.loss = Some(loss.into());
                    if self.congestion.is_relayed() {
                        self.judge_path(now, index, loss, link);
                        return;
                    }
                    self.handle_report(ReceptionReport {
                        at: now,
                        sequence: highest.into(),
                        lost: lost.max(0) as u64,
                        fraction: Some(loss.into()),
                        sent: link.stats.bytes_sent,
                    });
                }
            }
            Feedback::Missing { ssrc, numbers } => {
                link.stats.nacks += 1;
                let Way::Direct(egress) = &mut self.way else {
                    return;
                };
                for number in numbers {
                    if let Some(datagram) = egress.resend(now, ssrc, number) {
                        link.stats.packets_resent += 1;
                        link.send(datagram);
                    }
                }
            }
            Feedback::Keyframe { ssrc } => {
                link.stats.plis += 1;
                let track = index(ssrc).and_then(|index| self.streams[index].rewriter.current());
                self.pass_keyframe_request(now, track, link);
            }
            Feedback::Bitrate(bitrate) => self.estimate.set_remb(bitrate),
            Feedback::ReferenceTime { .. } => {} // `Egress` answers it
        }
    }

    /// Lets the estimate know what a receiver report says of the video.
    fn handle_report(&mut self, report: ReceptionReport) {
        if let Some(start) = self.negotiated
            && let Some((loss, sent)) = self.losses.handle_report(report, start)
        {
            self.estimate.report_loss(loss, sent);
        }
    }

    /// Finds out whether the path to a viewer carries what is forwarded.
    fn judge_path(&mut self, now: Instant, index: usize, loss: f32, link: &mut Link<'_, '_>) {
        let is_early = |at| now.saturating_duration_since(at) < JUDGED_EACH;
        if self.judged.is_some_and(is_early) {
            return;
        }
        self.judged = Some(now);
        let (sequence, packets) = self.streams[index].rewriter.progress();
        let sent = SentTotal {
            bytes: link.stats.bytes_sent,
            packets,
            sequence,
        };
        let estimate = self.estimate.current();
        let pause = self.congestion.judge(now, Some(loss), sent, estimate);
        if let Some(pause) = pause {
            self.congest(Some(now + pause), link);
        }
    }

    /// The browser needs a keyframe of what it is sent in a section.
    pub fn handle_keyframe_request(&mut self, now: Instant, mid: Mid, link: &mut Link<'_, '_>) {
        let mut streams = self.streams.iter();
        let stream = streams.find(|stream| stream.parameters.mid == mid);
        let track = stream.and_then(|stream| stream.rewriter.current());
        self.pass_keyframe_request(now, track, link);
    }

    fn pass_keyframe_request(
        &mut self,
        now: Instant,
        track: Option<TrackId>,
        link: &mut Link<'_, '_>,
    ) {
        if let Some(track) = track
            && self.congestion.passes_request(now)
        {
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
        let Way::Paced(pacer) = &mut self.way else {
            return;
        };
        pacer.count_feedback(egress, link.stats);
        let mut videos = self.of_kind(MediaKind::Video);
        let is_video = videos.any(|stream| stream.parameters.mid == egress.mid);
        drop(videos);
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
        let Some(Ok(ssrc)) = datagram.get(8..12).map(<[u8; 4]>::try_from) else {
            return false;
        };
        let ssrc = u32::from_be_bytes(ssrc);
        let mut streams = self.streams.iter();
        streams.any(|s| s.parameters.rtx_ssrc.is_some_and(|rtx| *rtx == ssrc))
    }

    /// Sends the sender reports and probes that are due, tells the estimate, and mends what the
    /// pacer can no longer make good. `true` if str0m was changed by that.
    pub fn poll(&mut self, now: Instant, rtc: &mut Rtc, link: &mut Link<'_, '_>) -> bool {
        let has_changed = match &mut self.way {
            Way::Direct(egress) => {
                let streams = &self.streams;
                if let Some(report) = egress.poll_report(now, |ssrc| time_of(streams, ssrc, now)) {
                    link.send(report);
                }
                while self.probes.is_due(now, self.estimate.current()) {
                    let Some(datagram) = egress.probe(now) else {
                        self.probes.stop();
                        break;
                    };
                    self.probes.sent(now, datagram.len());
                    link.send(datagram);
                }
                false
            }
            Way::Paced(_) => self.mend_pacing(now, rtc, link),
        };
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
        let Some(index) = self.paced_video() else {
            return has_collapsed;
        };
        let (Way::Paced(pacer), stream) = (&mut self.way, &mut self.streams[index]) else {
            return has_collapsed;
        };
        let Some(track) = stream.rewriter.current() else {
            return has_collapsed;
        };
        let Some(purged) = pacer.purge_stale(rtc, &stream.parameters, now) else {
            return has_collapsed;
        };
        stream.rewriter.wait_for_keyframe();
        self.estimate.overloaded();
        Counters::add(&link.context.counters.packets_dropped, purged);
        link.request_keyframe(track);
        true
    }

    /// The video stream that str0m paces, if it has sent anything.
    fn paced_video(&self) -> Option<usize> {
        let is_it = |stream: &OutgoingStream| {
            stream.parameters.kind == MediaKind::Video && self.is_declared(stream)
        };
        self.streams.iter().position(is_it)
    }

    /// The video track that is paced, and for how long its oldest packet waits for its turn.
    pub fn backlog(&self, now: Instant, rtc: &mut Rtc) -> Option<(TrackId, Duration)> {
        let stream = &self.streams[self.paced_video()?];
        let track = stream.rewriter.current()?;
        match &self.way {
            Way::Paced(pacer) => Some((track, pacer.backlog(rtc, stream.parameters.ssrc, now)?)),
            Way::Direct(_) => None,
        }
    }

    /// When [`Viewer::poll`] has something to do.
    pub fn deadline(&self) -> Option<Instant> {
        let report = match &self.way {
            Way::Direct(egress) => egress.deadline(),
            Way::Paced(_) => None,
        };
        let probe = self.probes.deadline();
        let deadlines = report.into_iter().chain(probe);
        deadlines.chain(self.estimate.deadline()).min()
    }

    /// Ends all streams. Those that str0m sends it ends itself.
    pub fn close(&mut self, now: Instant, link: &mut Link<'_, '_>) {
        if let Way::Direct(egress) = &mut self.way {
            let streams = &self.streams;
            if let Some(goodbye) = egress.goodbye(now, |ssrc| time_of(streams, ssrc, now)) {
                link.send(goodbye);
            }
        }
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

/// The RTP timestamp of now, of a stream that has sent.
fn time_of(streams: &[OutgoingStream], ssrc: u32, now: Instant) -> Option<u32> {
    let stream = streams.iter().find(|s| *s.parameters.ssrc == ssrc)?;
    stream.rewriter.timestamp_at(now)
}

impl Way {
    #[expect(clippy::too_many_arguments, reason = "a packet, and all that sends it")]
    fn send(
        &mut self,
        now: Instant,
        rtc: &mut Rtc,
        stream: &StreamParameters,
        position: RtpPosition,
        captured: Instant,
        marker: bool,
        payload: &Arc<[u8]>,
        link: &mut Link<'_, '_>,
    ) {
        match self {
            Self::Paced(pacer) => pacer.write(rtc, stream, position, captured, marker, payload),
            Self::Direct(egress) => {
                if let Some(packet) = egress.packet(now, *stream.ssrc, position, marker, payload) {
                    link.send(packet);
                }
            }
        }
    }
}
