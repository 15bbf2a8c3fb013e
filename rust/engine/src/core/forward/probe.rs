//! Probes of what a path to a viewer carries.
//!
//! A browser that estimates by itself (REMB) believes that a path carries little more than what it
//! is sent, except in its first seconds: there it takes packets that are sent at even distances for
//! a probe, and what rate they arrive at for the path's. So they are sent to it then, as resends of
//! packets that it has.

use std::time::{Duration, Instant};

/// Packets of one probe. libwebrtc wants four of a probe to arrive.
const PACKETS: u32 = 7;

/// How often it is tried, as long as the estimate is lower: a loss spoils a probe.
const TIMES: u32 = 3;

/// From the first picture to the first probe, and from one to the next.
const BEFORE: Duration = Duration::from_millis(60);
const BETWEEN: Duration = Duration::from_millis(350);

/// The least distance of two packets. libwebrtc takes closer ones for a burst.
const LEAST: Duration = Duration::from_micros(1200);

/// The probes of one viewer.
#[derive(Debug, Default)]
pub struct Probes {
    bitrate: u64,
    left: u32,
    packets: u32,
    next: Option<Instant>,
}

impl Probes {
    /// Finds out whether the path carries so much, in bit/s: at once, or at the first picture.
    pub fn want(&mut self, bitrate: u64) {
        *self = Self {
            bitrate,
            left: TIMES,
            packets: PACKETS,
            next: None,
        };
    }

    /// A picture is sent: the first probe follows the first one.
    pub fn handle_picture(&mut self, now: Instant) {
        if self.left > 0 && self.next.is_none() {
            self.next = Some(now + BEFORE);
        }
    }

    /// Whether a packet of a probe is to be sent now. `estimate` is the newest, in bit/s.
    pub fn is_due(&mut self, now: Instant, estimate: Option<u64>) -> bool {
        if self.next.is_none_or(|next| now < next) {
            return false;
        }
        if estimate.is_some_and(|estimate| estimate >= self.bitrate) {
            *self = Self::default();
            return false;
        }
        true
    }

    /// A packet of a probe was sent, with so many bytes.
    pub fn sent(&mut self, now: Instant, bytes: usize) {
        self.packets -= 1;
        if self.packets > 0 {
            let distance = Duration::from_secs_f64(bytes as f64 * 8.0 / self.bitrate.max(1) as f64);
            self.next = Some(now + distance.clamp(LEAST, BETWEEN));
            return;
        }
        self.packets = PACKETS;
        self.left -= 1;
        self.next = (self.left > 0).then(|| now + BETWEEN);
    }

    /// No probes any more.
    pub fn stop(&mut self) {
        *self = Self::default();
    }

    pub fn deadline(&self) -> Option<Instant> {
        self.next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The ms after the first picture at which packets of probes are sent.
    fn sent(bitrate: u64, estimate_at: u64) -> Vec<u64> {
        let start = Instant::now();
        let mut probes = Probes::default();
        probes.handle_picture(start);
        assert_eq!(probes.deadline(), None, "nothing is wanted");
        probes.want(bitrate);
        probes.handle_picture(start);
        probes.handle_picture(start + BEFORE / 2);
        assert_eq!(probes.deadline(), Some(start + BEFORE));
        let mut at = vec![];
        for ms in 0..5000 {
            let now = start + Duration::from_millis(ms);
            let estimate = (ms >= estimate_at).then_some(bitrate);
            if probes.is_due(now, estimate) {
                at.push(ms);
                probes.sent(now, 1000);
            }
        }
        assert_eq!(probes.deadline(), None);
        at
    }

    #[test]
    fn a_probe_has_even_distances_and_is_repeated() {
        let at = sent(2_000_000, 9999);
        assert_eq!(at.len() as u32, PACKETS * TIMES);
        let distances: Vec<u64> = at.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert_eq!(distances[..6], [4; 6]);
        assert_eq!(distances[6], 350);
    }

    #[test]
    fn an_estimate_that_is_high_enough_ends_it() {
        assert_eq!(sent(2_000_000, 100).len() as u32, PACKETS);
        assert!(sent(2_000_000, 0).is_empty());
    }
}
