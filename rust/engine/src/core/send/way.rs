//! The way of a viewer's packets to its path: paced by str0m, or direct.
//!
//! A viewer uses one of the two for all that it is ever sent, so no SSRC goes both.

use std::sync::Arc;
use std::time::{Duration, Instant};

use str0m::Rtc;
use str0m::rtp::Ssrc;
use str0m::stats::MediaEgressStats;

use super::pacer::Pacer;
use super::parameters::StreamParameters;
use super::rewriter::RtpPosition;
use super::streams::OutgoingStreams;
use crate::core::context::Link;
use crate::core::forward::egress::Egress;
use crate::core::forward::keys::KeySlot;
use crate::core::forward::rtcp::Feedback;
use crate::core::options::Estimation;
use crate::core::wallclock::Wallclock;
use crate::stats::PeerStats;

/// A packet with its numbers on the wire.
pub struct OutgoingPacket<'a> {
    pub position: RtpPosition,
    pub captured: Instant,
    pub marker: bool,
    pub payload: &'a Arc<[u8]>,
}

/// What sends the packets.
#[derive(Debug)]
enum Sender {
    Paced(Pacer),
    Direct(Box<Egress>),
}

/// The way out of a viewer's packets.
#[derive(Debug)]
pub struct Way {
    sender: Sender,
}

impl Way {
    /// A way that has no keys yet.
    pub fn new(estimation: Estimation, wallclock: Wallclock, now: Instant) -> Self {
        let sender = match estimation {
            Estimation::Twcc => Sender::Paced(Pacer::default()),
            Estimation::Remb => {
                Sender::Direct(Box::new(Egress::new(KeySlot::default(), wallclock, now)))
            }
        };
        Self { sender }
    }

    fn pacer(&mut self) -> Option<&mut Pacer> {
        match &mut self.sender {
            Sender::Paced(pacer) => Some(pacer),
            Sender::Direct(_) => None,
        }
    }

    fn egress(&mut self) -> Option<&mut Egress> {
        match &mut self.sender {
            Sender::Direct(egress) => Some(egress),
            Sender::Paced(_) => None,
        }
    }

    /// Whether what is sent goes through str0m, which has to be polled after that.
    pub fn is_paced(&self) -> bool {
        matches!(self.sender, Sender::Paced(_))
    }

    /// Where the keys of a new instance of str0m will be found.
    pub fn set_keys(&mut self, keys: KeySlot, now: Instant) {
        if let Some(egress) = self.egress() {
            egress.reset(keys, now);
        }
    }

    /// Takes the streams that are negotiated now: those that it has go on.
    pub fn set_streams(&mut self, rtc: &Rtc, streams: &[StreamParameters]) {
        match &mut self.sender {
            Sender::Paced(pacer) => pacer.retain(|ssrc| streams.iter().any(|s| s.ssrc == ssrc)),
            Sender::Direct(egress) => {
                let media = streams.first().and_then(|stream| rtc.media(stream.mid));
                egress.set_streams(media.map_or("", |media| media.cname()), streams);
            }
        }
    }

    /// Whether str0m knows a stream because it sends it.
    pub fn is_declared(&self, ssrc: Ssrc) -> bool {
        match &self.sender {
            Sender::Paced(pacer) => pacer.is_declared(ssrc),
            Sender::Direct(_) => false,
        }
    }

    /// Media may flow.
    pub fn handle_connected(&mut self) {
        if let Some(egress) = self.egress() {
            egress.handle_connected();
        }
    }

    /// Whether packets can go out, once the viewer is connected.
    pub fn is_open(&self) -> bool {
        match &self.sender {
            Sender::Paced(_) => true,
            Sender::Direct(egress) => egress.is_open(),
        }
    }

    /// Sends a packet of a stream.
    pub fn send(
        &mut self,
        now: Instant,
        rtc: &mut Rtc,
        stream: &StreamParameters,
        packet: &OutgoingPacket<'_>,
        link: &mut Link<'_, '_>,
    ) {
        let OutgoingPacket {
            position,
            captured,
            marker,
            payload,
        } = *packet;
        // A moment in the future would give sender reports a time of 0, see `connection`.
        let captured = captured.min(now);
        match &mut self.sender {
            Sender::Paced(pacer) => pacer.write(rtc, stream, position, captured, marker, payload),
            Sender::Direct(egress) => {
                if let Some(packet) = egress.packet(now, *stream.ssrc, position, marker, payload) {
                    link.send(packet);
                }
            }
        }
    }

    /// Whether RTCP about what is sent is read here, and not by str0m.
    pub fn reads_rtcp(&self) -> bool {
        !self.is_paced() && self.is_open()
    }

    /// The feedback in a datagram; `None` if it is not the viewer's.
    pub fn read(&mut self, now: Instant, datagram: &[u8]) -> Option<Vec<Feedback>> {
        self.egress()?.read(now, datagram)
    }

    /// Sends the packets again that a viewer misses, as far as they may be resent.
    pub fn resend(&mut self, now: Instant, ssrc: u32, numbers: Vec<u16>, link: &mut Link<'_, '_>) {
        let Some(egress) = self.egress() else {
            return; // str0m resends
        };
        for number in numbers {
            if let Some(datagram) = egress.resend(now, ssrc, number) {
                link.stats.packets_resent += 1;
                link.send(datagram);
            }
        }
    }

    /// Sends a datagram to probe the path with; how long it is, `None` where there is nothing to
    /// probe with.
    pub fn probe(&mut self, now: Instant, link: &mut Link<'_, '_>) -> Option<usize> {
        let datagram = self.egress()?.probe(now)?;
        let length = datagram.len();
        link.send(datagram);
        Some(length)
    }

    /// Sends the sender reports that are due. str0m sends those of what it paces.
    pub fn poll(&mut self, now: Instant, streams: &OutgoingStreams, link: &mut Link<'_, '_>) {
        let time_of = |ssrc| streams.timestamp_at(ssrc, now);
        let egress = self.egress();
        if let Some(report) = egress.and_then(|egress| egress.poll_report(now, time_of)) {
            link.send(report);
        }
    }

    /// When [`Way::poll`] has something to do.
    pub fn deadline(&self) -> Option<Instant> {
        match &self.sender {
            Sender::Direct(egress) => egress.deadline(),
            Sender::Paced(_) => None,
        }
    }

    /// Ends all streams. Those that str0m sends it ends itself.
    pub fn close(&mut self, now: Instant, streams: &OutgoingStreams, link: &mut Link<'_, '_>) {
        let time_of = |ssrc| streams.timestamp_at(ssrc, now);
        let egress = self.egress();
        if let Some(goodbye) = egress.and_then(|egress| egress.goodbye(now, time_of)) {
            link.send(goodbye);
        }
    }

    /// Whether more of a stream waits for its turn than a viewer that keeps up has waiting. Without
    /// a pacer nothing waits.
    pub fn is_congested(&self, rtc: &mut Rtc, ssrc: Ssrc, now: Instant) -> bool {
        match &self.sender {
            Sender::Paced(pacer) => pacer.is_congested(rtc, ssrc, now),
            Sender::Direct(_) => false,
        }
    }

    /// For how long the oldest packet of a paced stream waits for its turn.
    pub fn backlog(&self, rtc: &mut Rtc, ssrc: Ssrc, now: Instant) -> Option<Duration> {
        match &self.sender {
            Sender::Paced(pacer) => pacer.backlog(rtc, ssrc, now),
            Sender::Direct(_) => None,
        }
    }

    /// Throws away what waits for its turn for too long; how many packets that were.
    pub fn purge_stale(
        &mut self,
        rtc: &mut Rtc,
        stream: &StreamParameters,
        now: Instant,
    ) -> Option<u64> {
        self.pacer()?.purge_stale(rtc, stream, now)
    }

    /// Counts what the viewer has asked str0m for.
    pub fn count_feedback(&mut self, egress: &MediaEgressStats, stats: &mut PeerStats) {
        if let Some(pacer) = self.pacer() {
            pacer.count_feedback(egress, stats);
        }
    }
}
