//! Getting everything out of a peer: str0m is polled until it only wants to be woken later.

use std::time::{Duration, Instant};

use str0m::bwe::BweKind;
use str0m::media::Mid;
use str0m::net::Transmit;
use str0m::stats::MediaEgressStats;
use str0m::{Event as RtcEvent, Input, Output};

use super::context::{Context, Datagram};
use super::ice::demux::{Class, classify};
use super::ice::nomination;
use super::peer::{FAILED, Peer};
use super::publisher::Publisher;
use crate::event::Event;

/// Rounds of "due at once" in a row that are followed before other peers get their turn.
const MAX_ROUNDS: u32 = 32;

/// Errors of str0m after which a peer is given up, if it came up or not.
const MAX_ERRORS: u32 = 1000;

/// What is left to do for a peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Driven {
    /// Wake it then.
    Until(Instant),
    /// It is gone, for this reason.
    Gone(&'static str),
}

impl Peer {
    /// Takes every datagram and event out of the peer.
    pub fn drive(&mut self, now: Instant, context: &mut Context<'_>) -> Driven {
        let mut until = now + Duration::from_secs(60);
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
                    until = until.min(at);
                    break;
                }
                Ok(Output::Timeout(_)) => {
                    rounds += 1;
                    if rounds > MAX_ROUNDS {
                        until = now + Duration::from_millis(1);
                        break;
                    }
                    if rtc.handle_input(Input::Timeout(now)).is_err() {
                        self.errors += 1;
                    }
                }
                Ok(Output::Transmit(transmit)) => self.transmit(transmit, context),
                Ok(Output::Event(event)) => {
                    if matches!(event, RtcEvent::Closed) {
                        gone = Some("closed by peer");
                    }
                    self.handle(now, event, context);
                }
                Err(_) => self.errors += 1,
            }
            if self.errors > MAX_ERRORS {
                return Driven::Gone(FAILED);
            }
        }
        self.work_egress(now, context);
        if self.mend_pacing(now, context) {
            until = now;
        }
        if let Some(bitrate) = self.estimate.take(now) {
            context.events.push(Event::BitrateEstimated {
                peer: self.id,
                bitrate,
            });
        }
        if let Some(reason) = gone {
            return Driven::Gone(reason);
        }
        if self.rtc.as_ref().is_some_and(|rtc| !rtc.is_alive()) {
            return Driven::Gone(FAILED);
        }
        for deadline in [
            self.limit(),
            self.estimate.deadline(),
            self.publisher.as_ref().and_then(Publisher::deadline),
            self.egress_deadline(),
        ]
        .into_iter()
        .flatten()
        {
            until = until.min(deadline);
        }
        Driven::Until(until)
    }

    fn transmit(&mut self, transmit: Transmit, context: &mut Context<'_>) {
        let Transmit {
            source,
            destination,
            contents,
            ..
        } = transmit;
        if nomination::is_asked(&contents) {
            self.nomination.used((source, destination));
            return;
        }
        match classify(&contents) {
            Class::Stun => {
                if !self.connected {
                    self.attempts.sent(source, destination, &contents);
                }
                if !context.routes.knows(self.id, (source, destination)) {
                    context.routes.expect_response(self.id, &contents);
                }
            }
            class => {
                if self.stats.remote_address.is_empty() || class == Class::Dtls {
                    self.stats.remote_address = destination.to_string();
                }
                self.count_resend(&contents);
            }
        }
        self.stats.packets_sent += 1;
        self.stats.bytes_sent += contents.len() as u64;
        let datagram = Datagram {
            peer: self.id,
            local: source,
            remote: destination,
            payload: contents.into(),
        };
        context.out.send(datagram);
    }

    /// Counts an RTX packet, known by its SSRC (RFC 4588 §5.3): the RTP header is in the clear.
    fn count_resend(&mut self, datagram: &[u8]) {
        let Some([a, b, c, d]) = datagram.get(8..12) else {
            return;
        };
        let ssrc = u32::from_be_bytes([*a, *b, *c, *d]);
        if self
            .senders
            .iter()
            .any(|sender| sender.rtx.is_some_and(|rtx| *rtx == ssrc))
        {
            self.stats.packets_resent += 1;
        }
    }

    fn handle(&mut self, now: Instant, event: RtcEvent, context: &mut Context<'_>) {
        match event {
            RtcEvent::RtpPacket(packet) => {
                self.ssrcs.handle_decrypted();
                if let (Some(publisher), Some(rtc)) = (&mut self.publisher, &mut self.rtc) {
                    publisher.handle_packet(now, &packet, rtc, &mut self.stats, context);
                }
            }
            RtcEvent::Connected => {
                self.connected = true;
                self.attempts.forget();
                if let Some(publisher) = &mut self.publisher {
                    publisher.handle_connected(now);
                } else if let Some(rtc) = &mut self.rtc {
                    nomination::ask(rtc);
                }
                context.events.push(Event::PeerConnected { peer: self.id });
                self.request_keyframes(context);
            }
            RtcEvent::KeyframeRequest(request) => {
                let sender = self.senders.iter().find(|sender| sender.mid == request.mid);
                let track = sender.and_then(|sender| sender.current());
                self.keyframe_asked(now, track, context);
            }
            RtcEvent::EgressBitrateEstimate(BweKind::Remb { estimate, .. }) => {
                self.estimate.set_remb(estimate.as_f64());
            }
            RtcEvent::EgressBitrateEstimate(BweKind::Twcc { estimate, .. }) => {
                self.estimate.set_twcc(estimate.as_f64());
            }
            RtcEvent::PeerStats(stats) => {
                let path = stats.selected_candidate_pair;
                if let Some(rtt) = path.as_ref().and_then(|path| path.current_round_trip_time) {
                    self.stats.rtt_ms = Some(rtt.as_secs_f64() * 1000.0);
                }
                if let Some(path) = path {
                    self.nomination.used((path.local.addr, path.remote.addr));
                    self.stats.remote_address = path.remote.addr.to_string();
                }
            }
            RtcEvent::MediaEgressStats(stats) => {
                self.count_feedback(&stats);
                self.watch_losses(&stats);
            }
            RtcEvent::MediaIngressStats(stats) => {
                if let Some(publisher) = &mut self.publisher {
                    publisher.handle_stats(&stats, &mut self.stats);
                }
            }
            _ => {}
        }
    }

    fn count_feedback(&mut self, stats: &MediaEgressStats) {
        if let Some(loss) = stats.loss {
            self.stats.loss = Some(f64::from(loss));
        }
        let of = |mid: Mid| move |entry: &&mut (Mid, u64, u64)| entry.0 == mid;
        let (nacks, plis) = (stats.nacks, stats.plis + stats.firs);
        match self.feedback.iter_mut().find(of(stats.mid)) {
            Some(entry) => *entry = (stats.mid, nacks, plis),
            None => self.feedback.push((stats.mid, nacks, plis)),
        }
        self.stats.nacks = self.feedback.iter().map(|entry| entry.1).sum();
        self.stats.plis = self.feedback.iter().map(|entry| entry.2).sum();
    }
}
