//! A peer whose tracks are fed by a source: packets past str0m, and what the viewer says of them.

use std::time::{Duration, Instant};

use str0m::rtp::Extension;

use super::context::{Context, Datagram};
use super::forward::egress::Egress;
use super::forward::egress::Terms;
use super::forward::packet::RtpPacket;
use super::forward::rtcp::Feedback;
use super::media::MediaKind;
use super::peer::Peer;
use super::send::congestion::Sent;
use super::send::stream::Sender;
use crate::event::Event;
use crate::id::TrackId;
use crate::stats::Counters;

/// The least time between two judgements of a path by what its reports say.
const JUDGED_EACH: Duration = Duration::from_millis(900);

/// Whether a datagram of media is RTCP (RFC 5761 §4).
fn is_rtcp(datagram: &[u8]) -> bool {
    datagram
        .get(1)
        .is_some_and(|kind| (192..=223).contains(kind))
}

impl Peer {
    /// Sends packets of a source as they came, if the peer is to have them. `true` if it went over
    /// to this track by that, and needs the earlier one no longer. The peer need not be driven.
    pub fn forward(
        &mut self,
        now: Instant,
        track: TrackId,
        packets: &[&RtpPacket],
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
        if !self.open(now, index) {
            return false;
        }
        let before = self.senders[index].current();
        let kind = self.senders[index].kind;
        let mut has_sent = false;
        for packet in packets {
            let sender = &mut self.senders[index];
            let (Some(place), Some(egress)) = (sender.place(track, packet), &mut self.egress)
            else {
                continue;
            };
            let ssrc = *sender.ssrc;
            let datagram = egress.packet(now, ssrc, place, packet.marker, &packet.payload);
            self.emit(datagram, context);
            has_sent = true;
        }
        if !has_sent {
            return false;
        }
        if kind == MediaKind::Video && self.probes.picture(now) {
            self.alarm();
        }
        self.sent(now, kind, context);
        self.senders[index].current() != before
    }

    /// Makes the way past str0m for a stream, if there is none yet. `false` if that cannot be.
    pub(super) fn open(&mut self, now: Instant, index: usize) -> bool {
        let sender = &mut self.senders[index];
        let ssrc = *sender.ssrc;
        if self.egress.as_ref().is_some_and(|egress| egress.has(ssrc)) {
            return true;
        }
        let Some(rtc) = &mut self.rtc else {
            return false;
        };
        let Some(media) = rtc.media(sender.mid) else {
            return false;
        };
        if self.egress.is_none() {
            let agreed = self.keys.take();
            let made = agreed.and_then(|agreed| Egress::new(&agreed, media.cname(), now));
            self.egress = made.map(Box::new);
        }
        let Some(egress) = &mut self.egress else {
            return false;
        };
        let extension = |extension| media.remote_extmap().id_of(extension);
        let mut params = rtc.codec_config().params().iter();
        let taken = params.find(|params| params.pt() == sender.pt);
        // What str0m has resent so far is not known, and its numbers must not be used again.
        let is_fresh = !sender.declared;
        let resend = taken
            .and_then(|params| params.resend())
            .filter(|_| is_fresh && sender.kind == MediaKind::Video);
        egress.add(
            Terms {
                ssrc,
                payload_type: *sender.pt,
                resend: sender.rtx.zip(resend).map(|(rtx, pt)| (*rtx, *pt)),
                mid: sender.mid.to_string(),
                mid_extension: extension(Extension::RtpMid),
                time_extension: extension(Extension::AbsoluteSendTime),
            },
            now,
        );
        if sender.declared {
            rtc.direct_api().remove_stream_tx(sender.ssrc);
            sender.declared = false;
        }
        self.alarm();
        true
    }

    /// Notes that this peer's deadline may have come nearer without it being driven.
    fn alarm(&mut self) {
        let due = self.egress_deadline();
        self.alarm = self.alarm.into_iter().chain(due).min();
    }

    /// When [`Peer::work_egress`] has something to do.
    pub(super) fn egress_deadline(&self) -> Option<Instant> {
        let report = self.egress.as_ref().map(|egress| egress.deadline());
        report.into_iter().chain(self.probes.deadline()).min()
    }

    /// Lets time pass for the way past str0m.
    pub(super) fn work_egress(&mut self, now: Instant, context: &mut Context<'_>) {
        let Some(egress) = &mut self.egress else {
            return;
        };
        let senders = &self.senders;
        let time_of = |ssrc| {
            let sender = senders.iter().find(|sender| *sender.ssrc == ssrc);
            sender.and_then(|sender| sender.timestamp_at(now))
        };
        let report = egress.report(now, time_of);
        if report.is_some() {
            self.emit(report, context);
        }
        while self.probes.is_due(now, self.estimate.current()) {
            let egress = self.egress.as_mut();
            let Some(datagram) = egress.and_then(|egress| egress.probe(now)) else {
                self.probes.stop();
                return;
            };
            self.probes.sent(now, datagram.len());
            self.emit(Some(datagram), context);
        }
    }

    /// Hands a datagram over.
    pub(super) fn emit(&mut self, datagram: Option<Vec<u8>>, context: &mut Context<'_>) {
        let (Some((local, remote)), Some(payload)) = (self.nomination.path(), datagram) else {
            return;
        };
        self.stats.packets_sent += 1;
        self.stats.bytes_sent += payload.len() as u64;
        context.out.send(Datagram {
            peer: self.id,
            local,
            remote,
            payload,
        });
    }

    /// Takes RTCP about what goes past str0m. `false` if the datagram is for str0m.
    pub(super) fn hear(
        &mut self,
        now: Instant,
        datagram: &[u8],
        context: &mut Context<'_>,
    ) -> bool {
        let Some(egress) = self.egress.as_mut().filter(|_| is_rtcp(datagram)) else {
            return false;
        };
        let Some(found) = egress.read(datagram) else {
            Counters::add(&context.counters.packets_unknown, 1);
            return true;
        };
        self.heard = now;
        for feedback in found {
            self.heed(now, feedback, context);
        }
        true
    }

    fn heed(&mut self, now: Instant, feedback: Feedback, context: &mut Context<'_>) {
        let index = |ssrc: u32| {
            let is_it = |sender: &Sender| *sender.ssrc == ssrc;
            self.senders.iter().position(is_it)
        };
        match feedback {
            Feedback::Received { ssrc, loss } => {
                if let Some(index) = index(ssrc)
                    && self.senders[index].kind == MediaKind::Video
                {
                    self.stats.loss = Some(loss.into());
                    self.judge_path(now, index, loss, context);
                }
            }
            Feedback::Missing { ssrc, numbers } => {
                self.stats.nacks += 1;
                for number in numbers {
                    let egress = self.egress.as_mut();
                    let again = egress.and_then(|egress| egress.again(now, ssrc, number));
                    if again.is_some() {
                        self.stats.packets_resent += 1;
                        self.emit(again, context);
                    }
                }
            }
            Feedback::Keyframe { ssrc } => {
                self.stats.plis += 1;
                let track = index(ssrc).and_then(|index| self.senders[index].current());
                self.keyframe_asked(now, track, context);
            }
            Feedback::Bitrate(bitrate) => self.estimate.set_remb(bitrate),
        }
    }

    /// Finds out whether the path to a viewer carries what is forwarded.
    fn judge_path(&mut self, now: Instant, index: usize, loss: f32, context: &mut Context<'_>) {
        let is_early = |at| now.saturating_duration_since(at) < JUDGED_EACH;
        if !self.congestion.is_relayed || self.judged.is_some_and(is_early) {
            return;
        }
        self.judged = Some(now);
        let (sequence, packets) = self.senders[index].progress();
        let sent = Sent {
            bytes: self.stats.bytes_sent,
            packets,
            sequence,
        };
        let estimate = self.estimate.current();
        let pause = self.congestion.judge(now, Some(loss), sent, estimate);
        if let Some(pause) = pause {
            self.congest(Some(now + pause), context);
        }
    }

    /// The viewer needs a keyframe of what it is sent.
    pub(super) fn keyframe_asked(
        &mut self,
        now: Instant,
        track: Option<TrackId>,
        context: &mut Context<'_>,
    ) {
        if let Some(track) = track
            && self.congestion.heeds_request(now)
        {
            context.events.push(Event::KeyframeRequested {
                peer: self.id,
                track,
            });
        }
    }

    /// Finds out, as far as a browser that estimates by itself can be made to tell, whether the
    /// path carries so much, in bit/s.
    pub fn probe(&mut self, bitrate: u64) {
        self.probes.want(bitrate);
    }
}
