//! The wallclock of sender reports, by which a receiver lines streams up, those of other viewers too.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// From NTP's epoch, 1900, to Unix's (RFC 5905 §6).
const NTP_TO_UNIX: Duration = Duration::from_secs(2_208_988_800);

/// One moment on both clocks. Later ones follow the monotonic clock: a report must not step back
/// when somebody sets the time.
#[derive(Debug, Clone, Copy)]
pub struct Wallclock {
    at: Instant,
    ntp: Duration,
}

impl Wallclock {
    /// `at` and `time` are the same moment. A time before 1970 counts as 1970.
    pub fn new(at: Instant, time: SystemTime) -> Self {
        let unix = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        let ntp = NTP_TO_UNIX + unix;
        Self { at, ntp }
    }

    /// The time since NTP's epoch (RFC 3550 §4).
    pub fn ntp(&self, now: Instant) -> Duration {
        self.ntp + now.saturating_duration_since(self.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_goes_on_from_the_moment_of_both_clocks() {
        let at = Instant::now();
        let clock = Wallclock::new(at, UNIX_EPOCH + Duration::from_secs(100));
        let later = clock.ntp(at + Duration::from_millis(1500));
        assert_eq!(later, Duration::from_millis(2_208_988_901_500));
    }
}
