//! What a viewer has received, counted.

use std::collections::BTreeMap;
use std::iter::Sum;
use std::ops::Add;
use std::time::Duration;

use serde::Serialize;
use str0m::rtp::{RtpPacket, Ssrc};

use crate::delay;

/// What a client has received since its start.
#[derive(Clone, Default, Serialize)]
pub struct Totals {
    pub packets: u64,
    /// Ends of pictures: video packets with the marker bit (RFC 6184 §5.1).
    pub frames: u64,
    /// Sequence numbers that never came, resends counted in.
    pub lost: u64,
    /// How often each delay was seen, in steps of 10 µs.
    pub delays: BTreeMap<u64, u64>,
}

impl Add for Totals {
    type Output = Self;

    fn add(mut self, other: Self) -> Self {
        for (delay, count) in other.delays {
            *self.delays.entry(delay).or_default() += count;
        }
        Self {
            packets: self.packets + other.packets,
            frames: self.frames + other.frames,
            lost: self.lost + other.lost,
            delays: self.delays,
        }
    }
}

impl Sum for Totals {
    fn sum<I: Iterator<Item = Self>>(totals: I) -> Self {
        totals.fold(Self::default(), Add::add)
    }
}

/// First and highest sequence number of a stream, and how many came.
#[derive(Clone, Copy)]
struct Span {
    first: u64,
    last: u64,
    received: u64,
}

#[derive(Default)]
pub struct Reception {
    totals: Totals,
    spans: Vec<(Ssrc, Span)>,
}

impl Reception {
    /// Counts a packet that came at this time of the real-time clock.
    pub fn count(&mut self, packet: &RtpPacket, arrived: Duration) {
        self.totals.packets += 1;
        // Opus sets the marker too, at the start of a talk spurt (RFC 7587 §4.1), but on few packets.
        self.totals.frames +=
            u64::from(packet.header.marker && packet.header.payload_type != 111.into());
        if let Some(delay) = delay::since_stamp(&packet.payload, arrived) {
            let step = delay.as_micros() as u64 / 10;
            *self.totals.delays.entry(step).or_default() += 1;
        }
        let number = *packet.seq_no;
        let ssrc = packet.header.ssrc;
        match self.spans.iter_mut().find(|(known, _)| *known == ssrc) {
            Some((_, span)) => {
                span.last = span.last.max(number);
                span.received += 1;
            }
            None => self.spans.push((
                ssrc,
                Span {
                    first: number,
                    last: number,
                    received: 1,
                },
            )),
        }
    }

    pub fn totals(&self) -> Totals {
        let lost =
            |(_, span): &(_, Span)| (span.last - span.first + 1).saturating_sub(span.received);
        Totals {
            lost: self.spans.iter().map(lost).sum(),
            ..self.totals.clone()
        }
    }
}
