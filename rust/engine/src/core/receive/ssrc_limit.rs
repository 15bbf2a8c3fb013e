//! A limit to the SSRCs that a peer can make str0m remember.

use std::time::{Duration, Instant};

/// SSRCs that count as known, of each sort: a browser sends four streams with their resends, and
/// probes.
const KNOWN: usize = 16;

/// Others that may come at once, and one more each second.
const BURST: u32 = 64;
const REFILL: Duration = Duration::from_secs(1);

/// str0m keeps a record of every SSRC that a packet came from, for ever. Here a packet of a new
/// one passes only so often.
///
/// Whoever knows the addresses can forge SSRCs, but no packet that str0m decrypts. So an SSRC that a
/// packet was decrypted of is known by that, and forged ones do not push it out.
#[derive(Debug)]
pub struct SsrcLimit {
    passed: Known,
    decrypted: Known,
    /// The SSRC of the newest datagram that passed.
    newest: u32,
    tokens: u32,
    refilled: Instant,
}

impl SsrcLimit {
    pub fn new(now: Instant) -> Self {
        Self {
            passed: Known::default(),
            decrypted: Known::default(),
            newest: 0,
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
        if self.decrypted.contains(ssrc) || self.passed.contains(ssrc) {
            self.newest = ssrc;
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
        self.passed.add(ssrc);
        self.newest = ssrc;
        true
    }

    /// str0m has decrypted a packet of the datagram that passed last, be it a resend, whose SSRC
    /// the packet does not tell. str0m is polled after every datagram.
    pub fn handle_decrypted(&mut self) {
        if !self.decrypted.contains(self.newest) {
            self.decrypted.add(self.newest);
        }
    }
}

/// The SSRCs added last.
#[derive(Debug, Default)]
struct Known {
    ssrcs: [u32; KNOWN],
    next: usize,
}

impl Known {
    fn contains(&self, ssrc: u32) -> bool {
        self.ssrcs.contains(&ssrc)
    }

    fn add(&mut self, ssrc: u32) {
        self.ssrcs[self.next] = ssrc;
        self.next = (self.next + 1) % KNOWN;
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
        let mut limit = SsrcLimit::new(start);
        let passed = (1..10_000).filter(|n| limit.accept(start, &rtp(*n)));
        assert_eq!(passed.count(), BURST as usize);
        assert!(limit.accept(start, &rtp(BURST)), "a known one");
        let later = start + 10 * REFILL;
        let passed = (20_000..30_000).filter(|n| limit.accept(later, &rtp(*n)));
        assert_eq!(passed.count(), 10);
        let rtcp = [0x80, 200, 0, 1, 0, 0, 0, 0, 9, 9, 9, 9];
        assert!(limit.accept(later, &rtcp) && limit.accept(later, b"short"));
    }

    #[test]
    fn forged_ssrcs_do_not_push_out_one_that_was_decrypted() {
        let start = Instant::now();
        let (mut limit, real, resends) = (SsrcLimit::new(start), rtp(7), rtp(8));
        for datagram in [&real, &resends] {
            assert!(limit.accept(start, datagram));
            limit.handle_decrypted();
        }
        let forged = (100..10_000).filter(|n| limit.accept(start, &rtp(*n)));
        assert_eq!(forged.count(), BURST as usize - 2);
        assert!(limit.accept(start, &real) && limit.accept(start, &resends));
    }
}
