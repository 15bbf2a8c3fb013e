//! When the media of a browser were captured, on our clock.

use std::time::{Duration, Instant};

/// More than this is no delay of a live source; its clock was set.
const MAX_AGE: Duration = Duration::from_secs(2);

/// The line between a browser's wallclock and ours.
///
/// Its sender reports place both streams on one wallclock (RFC 3550 §6.4.1), and ours to viewers
/// place them on our clock; so viewers keep lips and voice together as the browser had them,
/// whatever either stream was delayed by. The two clocks are taken to agree where the delay was
/// least.
#[derive(Debug)]
pub struct CaptureClock {
    base: Instant,
    /// Our nanoseconds since `base` less the browser's.
    offset: Option<i128>,
}

impl CaptureClock {
    pub fn new(base: Instant) -> Self {
        Self { base, offset: None }
    }

    /// When something that arrived now was captured, by the browser's wallclock where that is
    /// known. Never later than it arrived.
    pub fn captured(&mut self, arrived: Instant, wallclock_ns: Option<i128>) -> Instant {
        let Some(wallclock) = wallclock_ns else {
            return arrived;
        };
        let now = arrived.saturating_duration_since(self.base).as_nanos() as i128;
        let offset = match self.offset {
            Some(offset) if (now - wallclock - offset).unsigned_abs() <= MAX_AGE.as_nanos() => {
                offset.min(now - wallclock)
            }
            _ => now - wallclock,
        };
        self.offset = Some(offset);
        let age = now - wallclock - offset;
        let age = Duration::from_nanos(u64::try_from(age).unwrap_or(0));
        arrived.checked_sub(age).unwrap_or(arrived)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn the_least_delay_counts_as_none_and_others_count_from_it() {
        let start = Instant::now();
        let mut clock = CaptureClock::new(start);
        let wallclock = |ms: i128| Some(7_000_000_000_000 + ms * 1_000_000);
        assert_eq!(clock.captured(start + 40 * MS, None), start + 40 * MS);
        assert_eq!(
            clock.captured(start + 50 * MS, wallclock(0)),
            start + 50 * MS
        );
        // Less delayed by 30 ms: from now on all is placed by it.
        assert_eq!(
            clock.captured(start + 40 * MS, wallclock(20)),
            start + 40 * MS
        );
        assert_eq!(
            clock.captured(start + 90 * MS, wallclock(40)),
            start + 60 * MS
        );
    }

    #[test]
    fn a_wallclock_that_is_set_is_followed() {
        let start = Instant::now();
        let mut clock = CaptureClock::new(start);
        assert_eq!(clock.captured(start, Some(0)), start);
        let hour = 3_600_000_000_000;
        for wallclock in [hour, -hour, i128::from(u64::MAX), 0] {
            assert_eq!(clock.captured(start + MS, Some(wallclock)), start + MS);
        }
    }
}
