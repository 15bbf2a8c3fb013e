//! A limit to the SSRCs that a peer can make str0m remember.

use std::time::{Duration, Instant};

/// SSRCs that count as known: a browser sends four streams with their resends, and probes.
const KNOWN: usize = 16;

/// Others that may come at once, and one more each second.
const BURST: u32 = 64;
const REFILL: Duration = Duration::from_secs(1);

/// str0m keeps a record of every SSRC that a packet came from, for ever. Here a packet of a new
/// one passes only so often.
#[derive(Debug)]
pub struct SsrcLimit {
    known: [u32; KNOWN],
    next: usize,
    tokens: u32,
    refilled: Instant,
}

impl SsrcLimit {
    pub fn new(now: Instant) -> Self {
        Self {
            known: [0; KNOWN],
            next: 0,
            tokens: BURST,
            refilled: now,
        }
    }

    /// Whether a datagram may pass: anything but RTP does.
    pub fn accept(&mut self, now: Instant, datagram: &[u8]) -> bool {
        let Some(header) = datagram.first_chunk::<12>() else {
            return true;
        };
        // RTCP's packet types (RFC 5761 §4).
        if (192..=223).contains(&header[1]) {
            return true;
        }
        let ssrc = u32::from_be_bytes([header[8], header[9], header[10], header[11]]);
        if self.known.contains(&ssrc) {
            return true;
        }
        while self.tokens < BURST && now.saturating_duration_since(self.refilled) >= REFILL {
            self.tokens += 1;
            self.refilled += REFILL;
        }
        if self.tokens == 0 {
            return false;
        }
        if self.tokens == BURST {
            self.refilled = now;
        }
        self.tokens -= 1;
        self.known[self.next] = ssrc;
        self.next = (self.next + 1) % KNOWN;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rtp(ssrc: u32) -> Vec<u8> {
        let mut data = vec![0x80, 96, 0, 1, 0, 0, 0, 0];
        data.extend_from_slice(&ssrc.to_be_bytes());
        data
    }

    #[test]
    fn a_flood_of_ssrcs_is_stopped_and_known_ones_go_on() {
        let start = Instant::now();
        let mut sources = SsrcLimit::new(start);
        let passed = (1..10_000).filter(|n| sources.accept(start, &rtp(*n)));
        assert_eq!(passed.count(), BURST as usize);
        assert!(sources.accept(start, &rtp(BURST)), "a known one");
        let later = start + 10 * REFILL;
        let passed = (20_000..30_000).filter(|n| sources.accept(later, &rtp(*n)));
        assert_eq!(passed.count(), 10);
        let rtcp = [0x80, 200, 0, 1, 0, 0, 0, 0, 9, 9, 9, 9];
        assert!(sources.accept(later, &rtcp) && sources.accept(later, b"short"));
    }
}
