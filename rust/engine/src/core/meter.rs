//! What came in over the last second.

use std::time::{Duration, Instant};

const BINS: usize = 10;
const BIN: Duration = Duration::from_millis(100);

/// Counts bits over a window of a second, in tenths.
#[derive(Debug, Default)]
pub struct Meter {
    bits: [u64; BINS],
    /// Where the window ends, and the bin in which it does.
    newest: Option<(Instant, usize)>,
    frames: u64,
}

impl Meter {
    /// Adds what has arrived now.
    pub fn add(&mut self, now: Instant, bytes: usize, frames: u64) {
        self.advance(now);
        if let Some((_, bin)) = self.newest {
            self.bits[bin] += 8 * bytes as u64;
        }
        self.frames += frames;
    }

    /// Bit/s over the last second.
    pub fn bitrate(&mut self, now: Instant) -> u64 {
        self.advance(now);
        self.bits.iter().sum()
    }

    /// Frames since the start.
    pub fn frames(&self) -> u64 {
        self.frames
    }

    fn advance(&mut self, now: Instant) {
        let Some((mut end, mut bin)) = self.newest else {
            self.newest = Some((now + BIN, 0));
            return;
        };
        if now >= end + BIN * BINS as u32 {
            self.bits = [0; BINS];
            end = now + BIN;
        }
        while now >= end {
            bin = (bin + 1) % BINS;
            self.bits[bin] = 0;
            end += BIN;
        }
        self.newest = Some((end, bin));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_of_the_last_second_is_told_and_silence_ends_it() {
        let start = Instant::now();
        let mut meter = Meter::default();
        let at = |ms: u64| start + Duration::from_millis(ms);
        for n in 0..300 {
            meter.add(at(n * 10), 250, u64::from(n % 3 == 0));
        }
        let bitrate = meter.bitrate(at(2995));
        assert!((180_000..=200_000).contains(&bitrate), "{bitrate}");
        assert_eq!(meter.frames(), 100);
        let half = meter.bitrate(at(3500));
        assert!((80_000..=120_000).contains(&half), "{half}");
        assert_eq!(meter.bitrate(at(4200)), 0);
        assert_eq!(meter.bitrate(at(100_000)), 0);
        meter.add(at(100_000), 1000, 1);
        assert_eq!(meter.bitrate(at(100_000)), 8000);
    }
}
