//! Moments between Rust and programs that count nanoseconds.

use std::time::{Duration, Instant};

/// [`Instant`] and the nanoseconds of CLOCK_MONOTONIC, which on Linux are the same clock.
#[derive(Debug, Clone, Copy)]
pub struct MonotonicClock {
    now: Instant,
    now_ns: u64,
}

impl MonotonicClock {
    /// Reads both.
    pub fn now() -> Self {
        let mut time = libc::timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        // SAFETY: `time` is a valid out-pointer; this clock always exists.
        unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut time) };
        Self {
            now: Instant::now(),
            now_ns: time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64,
        }
    }

    /// The instant of a moment, which is not in the future.
    pub fn instant_of(&self, ns: u64) -> Instant {
        let age = Duration::from_nanos(self.now_ns.saturating_sub(ns));
        // The clock may have begun less than `age` ago; what is that old has no meaning anyway.
        self.now.checked_sub(age).unwrap_or(self.now)
    }

    /// The nanoseconds of an instant, which is not in the future.
    pub fn ns_of(&self, instant: Instant) -> u64 {
        let age = self.now.saturating_duration_since(instant).as_nanos();
        self.now_ns.saturating_sub(age as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back_is_the_same_moment() {
        let clock = MonotonicClock::now();
        let then = clock.now_ns - 1_234_567;
        assert_eq!(clock.ns_of(clock.instant_of(then)), then);
        let future = clock.now_ns + 5;
        assert_eq!(clock.ns_of(clock.instant_of(future)), clock.now_ns);
    }
}
