//! The bitrate of an allocation.

use std::time::Instant;

use crate::framing::MAX_DATAGRAM;

/// A token bucket of bytes: half a second of the rate, and two of the largest datagrams at least, so that a keyframe
/// gets through.
#[derive(Debug)]
pub(crate) struct Bucket {
    /// Bytes a second; 0: no limit.
    rate: u64,
    depth: u64,
    /// In millionths of a byte, so that nothing is lost between packets of the same microsecond.
    tokens: u128,
    filled: Instant,
}

const FRACTION: u128 = 1_000_000;

impl Bucket {
    pub fn new(bitrate: u64, now: Instant) -> Self {
        let rate = bitrate.div_ceil(8);
        let depth = (rate / 2).max(2 * MAX_DATAGRAM as u64);
        Self {
            rate,
            depth,
            tokens: u128::from(depth) * FRACTION,
            filled: now,
        }
    }

    /// Whether this many bytes may pass now.
    pub fn take(&mut self, now: Instant, bytes: usize) -> bool {
        if self.rate == 0 {
            return true;
        }
        let elapsed = now.saturating_duration_since(self.filled).as_micros();
        self.filled = self.filled.max(now);
        let most = u128::from(self.depth) * FRACTION;
        self.tokens = (self.tokens + elapsed.saturating_mul(u128::from(self.rate))).min(most);
        match self.tokens.checked_sub(bytes as u128 * FRACTION) {
            Some(left) => {
                self.tokens = left;
                true
            }
            None => false,
        }
    }
}
