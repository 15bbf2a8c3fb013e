//! What a peer is sent.

use std::time::{Duration, Instant};

use str0m::Rtc;
use str0m::rtp::RtpWrite;
use str0m::stats::MediaEgressStats;

use super::congestion::{Flow, Sent};
use super::peer::{Estimation, Peer, advance};
use super::relay::Arrived;
use super::sender::{Sender, Verdict};
use super::track::{Frame, MediaKind};
use super::{Context, TrackId, negotiation};
use crate::event::Event;
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
        let (Some(rtc), sender) = (self.rtc.as_mut(), &mut self.senders[index]) else {
            return false;
        };
        let before = sender.current();
        let Verdict::Send { timestamp } = sender.judge(frame) else {
            return false;
        };
        if !sender.declared {
            negotiation::declare(rtc, sender, false);
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

    /// Sends packets of a source as they came, if the peer is to have them. `true` as for
    /// [`Peer::send`].
    pub fn forward(
        &mut self,
        now: Instant,
        track: TrackId,
        packets: &[&Arrived],
        context: &mut Context<'_>,
    ) -> bool {
        let Some(index) = self.carrier(track) else {
            return false;
        };
        self.congestion.is_relayed = true;
        if !self.flows(now, index, track, context) {
            let frames = packets.iter().filter(|packet| packet.marker).count();
            self.drop_frames(frames as u64, context);
            return false;
        }
        let (Some(rtc), sender) = (self.rtc.as_mut(), &mut self.senders[index]) else {
            return false;
        };
        let before = sender.current();
        let ssrc = sender.ssrc;
        let mut api = rtc.direct_api();
        let mut stream = api.stream_tx(&ssrc).filter(|_| sender.declared);
        let mut has_sent = false;
        for packet in packets {
            let Some(place) = sender.place(track, packet) else {
                continue;
            };
            if stream.is_none() {
                negotiation::declare(rtc, sender, true);
                api = rtc.direct_api();
                stream = api.stream_tx(&ssrc);
            }
            let Some(stream) = &mut stream else {
                return false;
            };
            let (sequence, captured) = (place.sequence.into(), packet.captured.min(now));
            let payload = packet.payload.clone();
            let write = RtpWrite::new(sender.pt, sequence, place.timestamp, captured, payload)
                .marker(packet.marker)
                .nackable(sender.kind == MediaKind::Video);
            stream.write_rtp(write);
            has_sent = true;
        }
        if !has_sent {
            return false;
        }
        let (switched, kind) = (sender.current() != before, sender.kind);
        advance(rtc, now, &mut self.errors);
        self.sent(now, kind, context);
        switched
    }

    /// The sender that carries a track, of a peer that is connected.
    fn carrier(&self, track: TrackId) -> Option<usize> {
        let carries = |sender: &Sender| sender.tracks().any(|carried| carried == track);
        let index = self.senders.iter().position(carries)?;
        self.connected.then_some(index)
    }

    /// Whether what comes now is sent; not while the viewer cannot keep up.
    fn flows(
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

    fn drop_frames(&mut self, frames: u64, context: &mut Context<'_>) {
        self.stats.frames_dropped += frames;
        Counters::add(&context.counters.frames_dropped, frames);
    }

    fn sent(&mut self, now: Instant, kind: MediaKind, context: &mut Context<'_>) {
        if kind == MediaKind::Video && self.congestion.sent(now) {
            context.events.push(Event::PeerCongested {
                peer: self.id,
                congested: false,
            });
        }
    }

    /// Drops to a keyframe after `until`.
    fn congest(&mut self, until: Option<Instant>, context: &mut Context<'_>) {
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

    /// Finds out whether the path to a viewer carries what is forwarded.
    pub(super) fn judge_path(
        &mut self,
        now: Instant,
        stats: &MediaEgressStats,
        context: &mut Context<'_>,
    ) {
        let is_video = |s: &Sender| s.mid == stats.mid && s.kind == MediaKind::Video;
        let Some(sender) = self.senders.iter().find(|sender| is_video(sender)) else {
            return;
        };
        if !self.congestion.is_relayed {
            return;
        }
        let (sequence, packets) = sender.progress();
        let sent = Sent {
            bytes: stats.bytes,
            packets,
            sequence,
        };
        let estimate = self.estimate.current();
        let pause = self.congestion.judge(now, stats.loss, sent, estimate);
        if let Some(pause) = pause {
            self.congest(Some(now + pause), context);
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
