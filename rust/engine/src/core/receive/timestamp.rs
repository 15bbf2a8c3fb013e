//! RTP timestamps of one kind of media, extended past 32 bits for the whole of a call.

use std::time::{Duration, Instant};

/// The first value has this in its upper half, so that packets from before it stay positive.
const FIRST_CYCLE: i64 = 1 << 32;

/// How far RTP time may run away from the arrival clock within two packets. Real streams pause,
/// and then jump by the length of the pause; jitter and resends are below two seconds.
const MAX_DEVIATION: Duration = Duration::from_secs(10);

/// Extends 32-bit RTP timestamps (RFC 3550 §5.1) and joins the streams of one kind.
///
/// A wrap is no jump. Where the sender starts anew (another SSRC, or a timestamp that has nothing
/// to do with the time that passed), the timeline is continued by the arrival clock, by one unit
/// at least, and `is_joined` is set.
#[derive(Debug)]
pub struct TimestampUnwrapper {
    clock_rate: u32,
    last: Option<Last>,
}

#[derive(Debug, Clone, Copy)]
struct Last {
    wire: u32,
    value: i64,
    arrived: Instant,
}

/// A timestamp past 32 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExtendedTimestamp {
    pub value: u64,
    /// The sender started anew here: the timeline was continued by the arrival clock.
    pub is_joined: bool,
}

impl TimestampUnwrapper {
    pub fn new(clock_rate: u32) -> Self {
        Self {
            clock_rate,
            last: None,
        }
    }

    /// Extends a packet's timestamp. `anew` is the first packet of another SSRC.
    pub fn extend(&mut self, wire: u32, arrived: Instant, anew: bool) -> ExtendedTimestamp {
        let (value, is_joined) = match self.last {
            None => (FIRST_CYCLE + i64::from(wire), false),
            Some(last) => {
                let step = i64::from(wire.wrapping_sub(last.wire) as i32);
                let elapsed = self.units(arrived.saturating_duration_since(last.arrived));
                let is_joined =
                    anew || step.abs_diff(elapsed) > self.units(MAX_DEVIATION).unsigned_abs();
                let step = if is_joined { elapsed.max(1) } else { step };
                (last.value.saturating_add(step).max(0), is_joined)
            }
        };
        self.last = Some(Last {
            wire,
            value,
            arrived,
        });
        ExtendedTimestamp {
            value: value as u64,
            is_joined,
        }
    }

    /// Extends a sender report's timestamp, near that of the newest packet, so that both share
    /// the timeline over a wrap. `None` before any packet.
    pub fn extend_report(&self, wire: u32) -> Option<u64> {
        let last = self.last?;
        let step = i64::from(wire.wrapping_sub(last.wire) as i32);
        Some(last.value.saturating_add(step).max(0) as u64)
    }

    fn units(&self, duration: Duration) -> i64 {
        let units = duration.as_nanos() * u128::from(self.clock_rate) / 1_000_000_000;
        i64::try_from(units).unwrap_or(i64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TICK: Duration = Duration::from_millis(20);

    #[test]
    fn time_goes_on_over_a_wrap_for_packets_and_reports() {
        let (start, mut timestamps) = (Instant::now(), TimestampUnwrapper::new(48_000));
        assert_eq!(timestamps.extend_report(7), None);
        let first = timestamps.extend(u32::MAX - 959, start, false).value;
        let second = timestamps.extend(0, start + TICK, false).value;
        assert_eq!(second - first, 960);
        assert_eq!(
            timestamps.extend_report(u32::MAX),
            Some(second - 1),
            "before the wrap"
        );
        assert_eq!(timestamps.extend_report(480), Some(second + 480));
        let late = timestamps
            .extend(u32::MAX - 959, start + 2 * TICK, false)
            .value;
        assert_eq!(late, first, "a late packet has its earlier timestamp");
        assert_eq!(first as u32, u32::MAX - 959, "the lower half is the wire's");
    }

    #[test]
    fn another_stream_goes_on_by_the_arrival_clock() {
        let (start, mut timestamps) = (Instant::now(), TimestampUnwrapper::new(90_000));
        let first = timestamps.extend(1000, start, false).value;
        let second = timestamps.extend(3_000_000_000, start + TICK, true);
        assert!(second.is_joined);
        assert_eq!(second.value - first, 1800);
        let third = timestamps.extend(3_000_003_000, start + 2 * TICK, false);
        assert_eq!((third.value - second.value, third.is_joined), (3000, false));
        let at_once = timestamps.extend(5, start + 2 * TICK, true).value;
        assert_eq!(at_once - third.value, 1);
    }

    #[test]
    fn a_pause_keeps_its_length_and_a_clock_that_jumps_is_joined() {
        let (start, mut timestamps) = (Instant::now(), TimestampUnwrapper::new(90_000));
        let first = timestamps.extend(0, start, false).value;
        let pause = Duration::from_secs(600);
        let after = timestamps.extend(600 * 90_000, start + pause, false);
        assert_eq!(
            (after.value - first, after.is_joined),
            (600 * 90_000, false)
        );
        let jump = timestamps.extend(0, start + pause + TICK, false);
        assert_eq!((jump.value - after.value, jump.is_joined), (1800, true));
    }

    #[test]
    fn no_row_of_timestamps_overflows() {
        let mut random = fastrand::Rng::with_seed(3);
        let (mut now, mut timestamps) = (Instant::now(), TimestampUnwrapper::new(90_000));
        for _ in 0..10_000 {
            now += Duration::from_millis(random.u64(..40));
            let at = timestamps.extend(random.u32(..), now, random.bool()).value;
            assert!(at < 1 << 50);
        }
    }
}
