//! The receiving side of a peer: frames for its owner, or packets for viewers.

use std::time::{Duration, Instant};

use str0m::Rtc;
use str0m::rtp::RtpPacket;
use str0m::stats::MediaIngressStats;

use super::offer::receive::{Prepared, Wanted};
use super::receive::Receiving;
use super::receive::inbox::Writer;
use super::relay::Source;
use super::{Context, PeerId};
use crate::error::EngineError;
use crate::stats::PeerStats;

/// How often a browser is told what it may send. It keeps to the newest; they may be lost.
const LIMIT_INTERVAL: Duration = Duration::from_secs(1);

/// What stands for no limit, in bit/s, and how often it is told after there was one.
const UNLIMITED: u64 = 1_000_000_000;
const LIFTED: u32 = 3;

/// What becomes of what a peer sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Delivery {
    /// It is put together to frames.
    #[default]
    Frames,
    /// It is forwarded; with simulcast, if the browser offers it.
    Packets { simulcast: bool },
}

/// What a receiving peer is made with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReceiverOptions {
    pub delivery: Delivery,
    /// What the browser may send, in bit/s; 0 leaves it to the path.
    pub max_bitrate: u64,
}

/// The receiving side.
#[derive(Debug)]
pub struct Inbound {
    body: Body,
    limit: Limit,
}

#[derive(Debug)]
enum Body {
    Frames(Box<Receiving>),
    Packets(Box<Source>),
}

impl Inbound {
    pub fn new(peer: PeerId, inbox: Writer, options: ReceiverOptions, now: Instant) -> Self {
        let body = match options.delivery {
            Delivery::Frames => Body::Frames(Box::new(Receiving::new(inbox))),
            Delivery::Packets { simulcast } => {
                Body::Packets(Box::new(Source::new(peer, inbox, simulcast, now)))
            }
        };
        let limit = Limit::new(options.max_bitrate);
        Self { body, limit }
    }

    /// What of an offer is of use.
    pub fn wanted(&self) -> Wanted {
        match &self.body {
            Body::Frames(_) => Wanted::Frames,
            Body::Packets(source) => Wanted::Packets {
                simulcast: source.wants_simulcast(),
            },
        }
    }

    /// Answers a prepared offer.
    pub fn negotiate(
        &mut self,
        now: Instant,
        rtc: &mut Rtc,
        prepared: &Prepared,
        stats: &mut PeerStats,
    ) -> Result<String, EngineError> {
        match &mut self.body {
            Body::Frames(receiving) => receiving.negotiate(now, rtc, prepared, stats),
            Body::Packets(source) => source.negotiate(rtc, prepared),
        }
    }

    /// Takes a packet from str0m.
    pub fn packet(
        &mut self,
        now: Instant,
        packet: &RtpPacket,
        rtc: &mut Rtc,
        stats: &mut PeerStats,
        context: &mut Context<'_>,
    ) {
        match &mut self.body {
            Body::Frames(receiving) => receiving.packet(now, packet, rtc, stats),
            Body::Packets(source) => source.packet(now, packet, rtc, stats, context),
        }
    }

    /// Lets time pass. `true` if str0m was given something to send.
    pub fn work(&mut self, now: Instant, rtc: &mut Rtc, stats: &mut PeerStats) -> bool {
        let has_asked = match &mut self.body {
            Body::Frames(receiving) => receiving.work(now, rtc, stats),
            Body::Packets(source) => source.work(now, rtc, stats),
        };
        let Some(bitrate) = self.limit.take(now) else {
            return has_asked;
        };
        let is_told = match &self.body {
            Body::Frames(receiving) => receiving.limit(rtc, bitrate),
            Body::Packets(source) => source.limit(rtc, bitrate),
        };
        has_asked || is_told
    }

    /// When [`Inbound::work`] has something to do.
    pub fn deadline(&self) -> Option<Instant> {
        let deadline = match &self.body {
            Body::Frames(receiving) => receiving.deadline(),
            Body::Packets(source) => source.deadline(),
        };
        deadline.into_iter().chain(self.limit.due).min()
    }

    /// Media may flow.
    pub fn connected(&mut self, now: Instant) {
        match &mut self.body {
            Body::Frames(receiving) => receiving.connected(now),
            Body::Packets(source) => source.connected(),
        }
        self.limit.begin(now);
    }

    /// Asks for a keyframe of everything.
    pub fn request_keyframe(&mut self, now: Instant) {
        match &mut self.body {
            Body::Frames(receiving) => receiving.request_keyframe(now),
            Body::Packets(source) => source.request_keyframe(now),
        }
    }

    /// The packets' side, of a peer that has one.
    pub fn source(&mut self) -> Option<&mut Source> {
        match &mut self.body {
            Body::Frames(_) => None,
            Body::Packets(source) => Some(source),
        }
    }

    /// Delivers what is complete: no packet follows.
    pub fn flush(&mut self, now: Instant, stats: &mut PeerStats) {
        if let Body::Frames(receiving) = &mut self.body {
            receiving.flush(now, stats);
        }
    }

    /// Counts what str0m has asked to be sent again.
    pub fn count_nacks(&mut self, ingress: &MediaIngressStats, stats: &mut PeerStats) {
        match &mut self.body {
            Body::Frames(receiving) => receiving.count_nacks(ingress, stats),
            Body::Packets(source) => source.count_nacks(ingress, stats),
        }
    }

    /// Limits what the browser may send, in bit/s; 0 lifts the limit.
    pub fn set_limit(&mut self, bitrate: u64, now: Instant) {
        self.limit.set(bitrate, now);
    }

    /// What the browser may send, in bit/s; 0 without a limit.
    pub fn limit(&self) -> u64 {
        self.limit.bitrate
    }
}

/// What a browser is told that it may send.
#[derive(Debug)]
struct Limit {
    bitrate: u64,
    due: Option<Instant>,
    lifted: u32,
    has_begun: bool,
}

impl Limit {
    fn new(bitrate: u64) -> Self {
        Self {
            bitrate,
            due: None,
            lifted: 0,
            has_begun: false,
        }
    }

    fn begin(&mut self, now: Instant) {
        self.has_begun = true;
        if self.bitrate > 0 {
            self.due = Some(now);
        }
    }

    fn set(&mut self, bitrate: u64, now: Instant) {
        if self.bitrate > 0 && bitrate == 0 {
            self.lifted = LIFTED;
        }
        self.bitrate = bitrate;
        if self.has_begun && (bitrate > 0 || self.lifted > 0) {
            self.due = Some(now);
        }
    }

    /// What to tell now.
    fn take(&mut self, now: Instant) -> Option<u64> {
        if self.due.is_none_or(|due| due > now) {
            return None;
        }
        if self.bitrate > 0 {
            self.due = Some(now + LIMIT_INTERVAL);
            return Some(self.bitrate);
        }
        self.lifted = self.lifted.saturating_sub(1);
        self.due = (self.lifted > 0).then_some(now + LIMIT_INTERVAL);
        Some(UNLIMITED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_told_each_second_and_its_end_three_times() {
        let start = Instant::now();
        let mut limit = Limit::new(700_000);
        assert_eq!(limit.take(start), None, "before the connection");
        limit.begin(start);
        let mut told = vec![];
        for ms in 0..10_000 {
            let now = start + Duration::from_millis(ms);
            if ms == 2500 {
                limit.set(0, now);
            }
            told.extend(limit.take(now).map(|bitrate| (ms, bitrate)));
        }
        assert_eq!(
            told,
            [
                (0, 700_000),
                (1000, 700_000),
                (2000, 700_000),
                (2500, UNLIMITED),
                (3500, UNLIMITED),
                (4500, UNLIMITED),
            ]
        );
    }
}
