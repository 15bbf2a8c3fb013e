//! What a peer is sent.

use std::time::{Duration, Instant};

use str0m::Rtc;
use str0m::rtp::RtpWrite;

use super::context::Context;
use super::media::MediaKind;
use super::options::Estimation;
use super::peer::{Peer, advance};
use super::sdp::negotiation;
use super::send::congestion::Flow;
use super::send::stream::{Place, Sender, Verdict};
use super::track::Frame;
use crate::event::Event;
use crate::id::TrackId;
use crate::stats::Counters;

/// A paced packet that waited so long says that the viewer cannot keep up.
const MAX_QUEUE_AGE: Duration = Duration::from_millis(1500);

/// Paced packets that may wait. A 720p keyframe has about a hundred.
const MAX_QUEUE_PACKETS: usize = 2000;

impl Peer {
    /// Sends `track` in place of the earlier one of its kind.
    pub fn attach(&mut self, kind: MediaKind, track: TrackId, context: &mut Context<'_>) {
        if kind == MediaKind::Video && self.attached[kind as usize] != Some(track) {
            self.congestion.retry();
        }
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
        let Some(index) = self.carrier(frame.track) else {
            return false;
        };
        if !self.flows(now, index, frame.track, context) {
            self.drop_frames(1, context);
            return false;
        }
        let sender = &mut self.senders[index];
        let before = sender.current();
        let Verdict::Send { timestamp } = sender.judge(frame) else {
            return false;
        };
        if self.egress.is_some() {
            self.send_past(now, index, frame, timestamp, context);
            return self.senders[index].current() != before;
        }
        let Some(rtc) = self.rtc.as_mut() else {
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
        let (switched, kind) = (sender.current() != before, sender.kind);
        advance(rtc, now, &mut self.errors);
        self.sent(now, kind, context);
        switched
    }

    /// Sends a frame to a peer that has had packets of a source before.
    fn send_past(
        &mut self,
        now: Instant,
        index: usize,
        frame: &Frame,
        timestamp: u32,
        context: &mut Context<'_>,
    ) {
        if !self.open(now, index) {
            return;
        }
        let kind = self.senders[index].kind;
        let last = frame.payloads.len() - 1;
        for (i, payload) in frame.payloads.iter().enumerate() {
            let sender = &mut self.senders[index];
            let (ssrc, sequence) = (*sender.ssrc, sender.next_sequence());
            let place = Place {
                sequence,
                timestamp,
            };
            let marker = i == last && kind == MediaKind::Video;
            let egress = self.egress.as_mut();
            let datagram = egress.and_then(|e| e.packet(now, ssrc, place, marker, payload));
            self.emit(datagram, context);
        }
        self.sent(now, kind, context);
    }

    /// The sender that carries a track, of a peer that is connected.
    pub(super) fn carrier(&self, track: TrackId) -> Option<usize> {
        let carries = |sender: &Sender| sender.tracks().any(|carried| carried == track);
        let index = self.senders.iter().position(carries)?;
        self.connected.then_some(index)
    }

    /// Whether what comes now is sent; not while the viewer cannot keep up.
    pub(super) fn flows(
        &mut self,
        now: Instant,
        index: usize,
        track: TrackId,
        context: &mut Context<'_>,
    ) -> bool {
        let sender = &mut self.senders[index];
        if sender.kind == MediaKind::Audio {
            return true;
        }
        let is_behind = |rtc| is_congested(rtc, sender, now);
        // Without a pacer nothing waits.
        let is_paced = self.options.estimation == Estimation::Twcc;
        if is_paced && self.rtc.as_mut().is_some_and(is_behind) {
            self.congest(None, context);
            return false;
        }
        match self.congestion.flow(now) {
            Flow::Send => true,
            Flow::Drop => false,
            Flow::Resume => {
                context.events.push(Event::KeyframeRequested {
                    peer: self.id,
                    track,
                });
                true
            }
        }
    }

    pub(super) fn drop_frames(&mut self, frames: u64, context: &mut Context<'_>) {
        self.stats.frames_dropped += frames;
        Counters::add(&context.counters.frames_dropped, frames);
    }

    pub(super) fn sent(&mut self, now: Instant, kind: MediaKind, context: &mut Context<'_>) {
        if kind == MediaKind::Video && self.congestion.sent(now) {
            context.events.push(Event::PeerCongested {
                peer: self.id,
                congested: false,
            });
        }
    }

    /// Drops to a keyframe after `until`.
    pub(super) fn congest(&mut self, until: Option<Instant>, context: &mut Context<'_>) {
        let videos = |sender: &&mut Sender| sender.kind == MediaKind::Video;
        for sender in self.senders.iter_mut().filter(videos) {
            sender.wait_for_keyframe();
        }
        if self.congestion.begin(until) {
            context.events.push(Event::PeerCongested {
                peer: self.id,
                congested: true,
            });
        }
    }

    /// Drops to the next keyframe, because packets of this peer were thrown away.
    pub fn fell_behind(&mut self, context: &mut Context<'_>) {
        if self.senders.iter().any(|s| s.kind == MediaKind::Video) {
            self.congest(None, context);
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
