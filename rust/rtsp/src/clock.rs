//! Places a live stream on time by when its frames arrive. No clock is read here.

use std::collections::VecDeque;

/// How far back a frame rules, ns.
const WINDOW: i64 = 10_000_000_000;

/// A frame this far from where it should be means that the source's clock jumped, ns.
const JUMP: i64 = 1_000_000_000;

/// The network delays each frame differently; the one that came fastest shows best what the delay
/// must be. Jitter so does not reach the times, and a source clock that runs slow or fast is
/// followed within seconds. `media/timebase.ArrivalClock` is the same for what FFmpeg reads.
#[derive(Debug, Default)]
pub struct ArrivalClock {
    /// Arrival and delay, delays rising.
    delays: VecDeque<(i64, i64)>,
}

impl ArrivalClock {
    /// The time of a frame on the axis of `arrival`; both are in ns.
    pub fn place(&mut self, source: i64, arrival: i64) -> i64 {
        let delay = arrival.saturating_sub(source);
        if let Some((_, least)) = self.delays.front()
            && delay.saturating_sub(*least).saturating_abs() > JUMP
        {
            self.delays.clear();
        }
        while self.delays.back().is_some_and(|(_, last)| *last >= delay) {
            self.delays.pop_back();
        }
        self.delays.push_back((arrival, delay));
        while self
            .delays
            .front()
            .is_some_and(|(at, _)| *at < arrival.saturating_sub(WINDOW))
        {
            self.delays.pop_front();
        }
        let least = self.delays.front().map_or(delay, |(_, least)| *least);
        source.saturating_add(least)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: i64 = 1_000_000;

    #[test]
    fn jitter_does_not_reach_the_times() {
        let mut clock = ArrivalClock::default();
        let placed: Vec<i64> = (0..50)
            .map(|i| clock.place(i * 40 * MS, 7000 * MS + i * 40 * MS + (i * 7 % 5) * MS))
            .collect();
        assert!(
            placed
                .windows(2)
                .skip(1)
                .all(|two| two[1] - two[0] == 40 * MS)
        );
    }

    #[test]
    fn a_clock_that_jumps_goes_on_by_arrival() {
        let mut clock = ArrivalClock::default();
        clock.place(0, 100 * MS);
        assert_eq!(clock.place(500_000 * MS, 140 * MS), 140 * MS);
        assert_eq!(clock.place(-500_000 * MS, 180 * MS), 180 * MS);
    }

    #[test]
    fn a_source_that_runs_slow_is_followed() {
        let mut clock = ArrivalClock::default();
        let mut last = 0;
        for i in 0..2000 {
            last = clock.place(i * 39 * MS, i * 40 * MS);
        }
        assert!(1999 * 40 * MS - last <= 300 * MS);
    }
}
