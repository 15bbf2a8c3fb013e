//! One bitrate estimate out of two, told neither too often nor too late.

use std::time::{Duration, Instant};

/// The least time between two estimates told for one peer.
const INTERVAL: Duration = Duration::from_millis(100);

/// REMB's exponent reaches 2^63 and beyond; no path here carries more than this, in bit/s.
const MAX_BITRATE: u64 = 10_000_000_000;

/// What the path to a peer carries: the smaller one of the peer's REMB and our TWCC estimate.
#[derive(Debug, Default)]
pub struct Estimate {
    remb: Option<u64>,
    twcc: Option<u64>,
    told: Option<(u64, Instant)>,
}

impl Estimate {
    /// The peer's receiver-side estimate (draft-alvestrand-rmcat-remb-03).
    pub fn set_remb(&mut self, bitrate: f64) {
        self.remb = Some((bitrate as u64).min(MAX_BITRATE)); // `as` saturates, NaN becomes 0
    }

    /// Our sender-side estimate from transport-wide feedback.
    pub fn set_twcc(&mut self, bitrate: f64) {
        self.twcc = Some((bitrate as u64).min(MAX_BITRATE));
    }

    /// The estimate in bit/s.
    pub fn current(&self) -> Option<u64> {
        self.remb.into_iter().chain(self.twcc).min()
    }

    /// The estimate, if it differs by more than 3 % from the one told last and that was long
    /// enough ago.
    pub fn take(&mut self, now: Instant) -> Option<u64> {
        let bitrate = self.untold()?;
        if self.due().is_some_and(|due| now < due) {
            return None;
        }
        self.told = Some((bitrate, now));
        Some(bitrate)
    }

    /// When an estimate that waits may be told.
    pub fn deadline(&self) -> Option<Instant> {
        self.untold()?;
        self.due()
    }

    fn due(&self) -> Option<Instant> {
        self.told.map(|(_, at)| at + INTERVAL)
    }

    fn untold(&self) -> Option<u64> {
        let bitrate = self.current()?;
        match self.told {
            Some((told, _)) if bitrate.abs_diff(told) * 100 <= told * 3 => None,
            _ => Some(bitrate),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smaller_estimate_counts() {
        let mut estimate = Estimate::default();
        assert_eq!(estimate.current(), None);
        estimate.set_remb(2e6);
        estimate.set_twcc(1e6);
        assert_eq!(estimate.current(), Some(1_000_000));
        estimate.set_remb(5e5);
        assert_eq!(estimate.current(), Some(500_000));
    }

    #[test]
    fn small_changes_are_not_told_and_large_ones_wait_a_tenth_of_a_second() {
        let (now, mut estimate) = (Instant::now(), Estimate::default());
        estimate.set_remb(1_000_000.0);
        assert_eq!(estimate.take(now), Some(1_000_000));
        estimate.set_remb(1_020_000.0);
        assert_eq!(estimate.take(now + INTERVAL), None);
        assert_eq!(estimate.deadline(), None);
        estimate.set_remb(700_000.0);
        assert_eq!(estimate.take(now + INTERVAL / 2), None);
        assert_eq!(estimate.deadline(), Some(now + INTERVAL));
        assert_eq!(estimate.take(now + INTERVAL), Some(700_000));
    }

    #[test]
    fn absurd_numbers_from_the_wire_are_harmless() {
        let (now, mut estimate) = (Instant::now(), Estimate::default());
        for (i, bitrate) in [f64::NAN, f64::INFINITY, -1.0, 1e300, 0.0]
            .into_iter()
            .enumerate()
        {
            estimate.set_remb(bitrate);
            estimate.take(now + INTERVAL * i as u32);
            assert!(estimate.current() <= Some(MAX_BITRATE));
        }
    }
}
