//! One bitrate estimate out of three, told neither too often nor too late.
//!
//! REMB and TWCC watch the delay, and a short queue that is full has a constant delay. So losses
//! count as well, as in draft-ietf-rmcat-gcc-02 §6: above 10 % the estimate falls, below 2 % it is
//! let go again. Unlike there, a path that loses more than `OVERLOAD` is taken to carry just what
//! came through: radio rarely loses that much, and halving once a second is too slow for the eye.

use std::time::{Duration, Instant};

/// The least time between two estimates told for one peer.
const INTERVAL: Duration = Duration::from_millis(100);

/// REMB's exponent reaches 2^63 and beyond; no path here carries more than this, in bit/s.
const MAX_BITRATE: u64 = 10_000_000_000;

/// What is sent at least, whatever the estimate says: video at its lowest, audio, and headers. Below
/// that an estimate only makes packets wait for the pacer, the less of them arrive, and the lower
/// it gets.
pub const FLOOR: u64 = 300_000;

/// The least time between two fresh starts of an estimate that fell below [`FLOOR`]. Each probes,
/// which is how it gets up again, and which a path that narrow feels.
const FRESH_START_PAUSE: Duration = Duration::from_secs(3);

/// The share lost above which the estimate falls.
const CONGESTED: f64 = 0.10;

/// The share lost above which a path is simply too narrow.
const OVERLOAD: f64 = 0.25;

/// The share lost below which a limit that losses have set is raised again.
const CLEAR: f64 = 0.02;

/// By how much it is raised with each report without losses, which come about once a second.
const RAISE: f64 = 1.25;

/// What the path to a peer carries: the smallest of the peer's REMB, our TWCC estimate, and what
/// losses say.
#[derive(Debug, Default)]
pub struct Estimate {
    remb: Option<u64>,
    twcc: Option<u64>,
    losses: Option<u64>,
    told: Option<(u64, Instant)>,
    started: Option<Instant>,
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

    /// A receiver report (RFC 3550 §6.4.2): the share lost since the one before, and what was sent
    /// in that time, in bit/s.
    pub fn report_loss(&mut self, loss: f64, sent: u64) {
        if loss > OVERLOAD {
            let arrived = (sent as f64 * (1.0 - loss)) as u64;
            // What was sent in the time of the report is only roughly known: no rout.
            let least = self.current().map_or(0, |bitrate| bitrate / 2);
            self.losses = Some(arrived.max(least));
        } else if loss > CONGESTED {
            let base = self.current().map_or(sent, |bitrate| bitrate.min(sent));
            self.losses = Some((base as f64 * (1.0 - 0.5 * loss)) as u64);
        } else if loss < CLEAR {
            let raised = self.losses.map(|limit| (limit as f64 * RAISE) as u64);
            self.losses = raised.filter(|limit| *limit < self.by_delay().unwrap_or(MAX_BITRATE));
        }
    }

    /// What was sent at the present estimate did not get away: it is far too high.
    pub fn overloaded(&mut self) {
        self.losses = self.current().map(|bitrate| (bitrate / 2).max(FLOOR));
    }

    /// Whether the send-side estimator is to start afresh, at [`FLOOR`].
    pub fn wants_fresh_start(&mut self, now: Instant) -> bool {
        let collapsed = self.twcc.is_some_and(|bitrate| bitrate < FLOOR);
        let lately = self
            .started
            .is_some_and(|at| now.saturating_duration_since(at) < FRESH_START_PAUSE);
        if !collapsed || lately {
            return false;
        }
        self.started = Some(now);
        self.twcc = Some(FLOOR);
        true
    }

    /// The estimate in bit/s.
    pub fn current(&self) -> Option<u64> {
        self.by_delay().into_iter().chain(self.losses).min()
    }

    fn by_delay(&self) -> Option<u64> {
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

    #[test]
    fn losses_bring_it_down_and_their_absence_lets_it_go() {
        let mut estimate = Estimate::default();
        estimate.set_twcc(2e6);
        estimate.report_loss(0.05, 2_000_000);
        assert_eq!(estimate.current(), Some(2_000_000), "radio loses that much");
        estimate.report_loss(0.2, 1_500_000);
        assert_eq!(estimate.current(), Some(1_350_000));
        for _ in 0..2 {
            estimate.report_loss(0.0, 1_000_000);
        }
        assert_eq!(estimate.current(), Some(2_000_000));
    }

    #[test]
    fn a_path_that_loses_most_carries_what_came_through() {
        let mut estimate = Estimate::default();
        estimate.report_loss(0.75, 2_000_000);
        assert_eq!(estimate.current(), Some(500_000));
        estimate.set_twcc(400_000.0);
        estimate.report_loss(0.9, 400_000);
        assert_eq!(estimate.current(), Some(200_000), "no more than by half");
    }

    #[test]
    fn a_collapsed_estimate_starts_afresh_but_not_again_and_again() {
        let (now, mut estimate) = (Instant::now(), Estimate::default());
        estimate.set_twcc(FLOOR as f64);
        assert!(!estimate.wants_fresh_start(now));
        estimate.set_twcc(100_000.0);
        assert!(estimate.wants_fresh_start(now));
        assert_eq!(estimate.current(), Some(FLOOR));
        estimate.set_twcc(100_000.0);
        assert!(!estimate.wants_fresh_start(now + FRESH_START_PAUSE / 2));
        assert!(estimate.wants_fresh_start(now + FRESH_START_PAUSE));
    }
}
