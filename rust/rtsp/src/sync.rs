//! Places sound and pictures by the camera's own clock, which its sender reports tell (RFC 3550
//! §6.4.1). No clock is read here.
//!
//! What is captured at one moment may arrive at two: sound is encoded in 20 ms, pictures in 200. The
//! stream that comes later is placed earlier, as its frames were captured before that. So no frame
//! is placed after its arrival.

/// How far the report of one stream may be from that of the other, beside their arrivals, ns. More
/// is no clock that both go by.
const APART: i64 = 10_000_000_000;

/// How much earlier a stream is placed at most, ns.
const MAX_SHIFT: i64 = 500_000_000;

/// What nobody sees or hears, ns.
const TOLERANCE: i64 = 10_000_000;

/// Pictures come nearer to where they belong by one ns in so many; so their times never go back.
const SLOWNESS: i64 = 10;

/// A clock that is this far from where it was has been set, ns.
const STEP: i64 = 100_000_000;

/// Delays that differ so much belong to different times, ns.
const JUMP: i64 = 1_000_000_000;

#[derive(Clone, Copy, Debug)]
struct Report {
    /// NTP time minus source time.
    offset: i64,
    /// NTP time minus arrival.
    lag: i64,
}

#[derive(Clone, Debug, Default)]
struct Stream {
    /// The source time of the first frame.
    begun: Option<i64>,
    report: Option<Report>,
    /// The delay of the frame before.
    delay: i64,
    shift: i64,
    /// When the frame before arrived.
    arrival: i64,
}

impl Stream {
    /// When NTP time 0 is placed by arrival alone.
    fn origin(&self) -> Option<i64> {
        self.report.map(|report| self.delay - report.offset)
    }
}

/// Knows by how much each stream is to be placed earlier. All times are in ns.
#[derive(Debug)]
pub struct Synchronizer(Vec<Stream>);

impl Synchronizer {
    /// For streams that are numbered from 0.
    pub fn new(streams: usize) -> Self {
        Self(vec![Stream::default(); streams])
    }

    /// Notes a sender report: NTP time and source time of a moment, and its arrival.
    pub fn note_report(&mut self, index: usize, ntp: i64, source: i64, arrival: i64) {
        let Some(stream) = self.0.get_mut(index) else {
            return;
        };
        // A camera without a clock says 0; one that was told earlier things speaks of another run.
        if ntp <= 0 || stream.begun.is_none_or(|begun| source < begun) {
            return;
        }
        let report = Report {
            offset: ntp.saturating_sub(source),
            lag: ntp.saturating_sub(arrival),
        };
        let before = stream.report.replace(report);
        let is_set = |old: Report| old.offset.abs_diff(report.offset) > STEP as u64;
        if before.is_some_and(is_set) {
            // The clock was set, and the other stream's report is of before.
            for (other, stream) in self.0.iter_mut().enumerate() {
                if other != index {
                    stream.report = None;
                }
            }
        }
    }

    /// What to add to the place of a frame that `delay` behind its source time is placed at; never
    /// above 0. `is_smooth`: it changes little by little.
    pub fn shift(
        &mut self,
        index: usize,
        source: i64,
        delay: i64,
        arrival: i64,
        is_smooth: bool,
    ) -> i64 {
        let Some(stream) = self.0.get_mut(index) else {
            return 0;
        };
        stream.begun.get_or_insert(source);
        if delay.abs_diff(stream.delay) > JUMP as u64 {
            // Its time jumped: the report is of another.
            stream.report = None;
            stream.begun = Some(source);
        }
        stream.delay = delay;
        let passed = arrival.saturating_sub(stream.arrival).max(0);
        stream.arrival = arrival;
        let Some(target) = self.target(index) else {
            return self.0[index].shift;
        };
        let stream = &mut self.0[index];
        let missing = target - stream.shift;
        if missing.abs() > TOLERANCE {
            let most = if is_smooth {
                passed / SLOWNESS
            } else {
                i64::MAX
            };
            stream.shift += missing.clamp(-most, most);
        }
        stream.shift
    }

    /// Where a stream belongs, if the reports of all agree on a clock.
    fn target(&self, index: usize) -> Option<i64> {
        let own = self.0.get(index)?;
        let (origin, lag) = (own.origin()?, own.report?.lag);
        let mut target = 0;
        for (other, stream) in self.0.iter().enumerate() {
            if other == index || stream.begun.is_none() {
                continue;
            }
            if stream.report?.lag.abs_diff(lag) > APART as u64 {
                return None;
            }
            target = target.min(stream.origin()?.saturating_sub(origin));
        }
        Some(target.max(-MAX_SHIFT))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: i64 = 1_000_000;
    const S: i64 = 1_000 * MS;
    const NTP: i64 = 3_900_000_000 * S;

    /// Sound (1) arrives `late` after what the camera saw (0) at the same moment.
    fn run(sync: &mut Synchronizer, from: i64, late: i64) -> (Vec<i64>, Vec<i64>) {
        let (mut seen, mut heard) = (Vec::new(), Vec::new());
        for at in (from..from + 4 * S).step_by(20 * MS as usize) {
            seen.push(sync.shift(0, at, 5 * S, at + 5 * S, true));
            // Sound counts from elsewhere.
            let source = at + 77 * S;
            let delay = 5 * S + late - 77 * S;
            heard.push(sync.shift(1, source, delay, at + 5 * S + late, false));
        }
        (seen, heard)
    }

    fn report(sync: &mut Synchronizer, at: i64, late: i64) {
        sync.note_report(0, NTP + at, at, at + 5 * S);
        sync.note_report(1, NTP + at, at + 77 * S, at + 5 * S + late);
    }

    fn last(values: &[i64]) -> i64 {
        *values.last().expect("some")
    }

    #[test]
    fn without_reports_nothing_moves() {
        let mut sync = Synchronizer::new(2);
        let (seen, heard) = run(&mut sync, 0, 300 * MS);
        assert!(seen.iter().chain(&heard).all(|shift| *shift == 0));
        sync.note_report(0, NTP + 4 * S, 4 * S, 9 * S);
        let (seen, heard) = run(&mut sync, 4 * S, 300 * MS);
        assert!(seen.iter().chain(&heard).all(|shift| *shift == 0));
    }

    #[test]
    fn late_sound_is_placed_earlier_at_once() {
        let mut sync = Synchronizer::new(2);
        run(&mut sync, 0, 300 * MS);
        report(&mut sync, 4 * S, 300 * MS);
        let (seen, heard) = run(&mut sync, 4 * S, 300 * MS);
        assert!(seen.iter().all(|shift| *shift == 0));
        assert_eq!(heard[0], -300 * MS);
        assert_eq!(last(&heard), -300 * MS);
    }

    #[test]
    fn late_pictures_are_placed_earlier_bit_by_bit() {
        let mut sync = Synchronizer::new(2);
        run(&mut sync, 0, -200 * MS);
        report(&mut sync, 4 * S, -200 * MS);
        let (seen, heard) = run(&mut sync, 4 * S, -200 * MS);
        assert!(heard.iter().all(|shift| *shift == 0));
        assert!((last(&seen) + 200 * MS).abs() <= TOLERANCE);
        assert!(seen.windows(2).all(|two| two[0] - two[1] <= 2 * MS));
    }

    #[test]
    fn a_shift_has_a_bound_and_reports_must_agree_on_a_clock() {
        let mut sync = Synchronizer::new(2);
        run(&mut sync, 0, 900 * MS);
        report(&mut sync, 4 * S, 900 * MS);
        assert_eq!(last(&run(&mut sync, 4 * S, 900 * MS).1), -MAX_SHIFT);

        for (ntp, source) in [(NTP + 24 * S, 4 * S), (0, 4 * S), (NTP + 4 * S, -S)] {
            let mut sync = Synchronizer::new(2);
            run(&mut sync, 0, 300 * MS);
            sync.note_report(0, ntp, source, 9 * S);
            sync.note_report(1, NTP + 4 * S, 81 * S, 9 * S + 300 * MS);
            assert_eq!(last(&run(&mut sync, 4 * S, 300 * MS).1), 0);
        }
    }

    #[test]
    fn a_clock_that_is_set_is_believed_once_both_streams_tell_it() {
        let mut sync = Synchronizer::new(2);
        run(&mut sync, 0, 100 * MS);
        report(&mut sync, 4 * S, 100 * MS);
        assert_eq!(last(&run(&mut sync, 4 * S, 100 * MS).1), -100 * MS);
        sync.note_report(0, NTP + 11 * S, 8 * S, 13 * S);
        assert_eq!(last(&run(&mut sync, 8 * S, 200 * MS).1), -100 * MS);
        sync.note_report(1, NTP + 15 * S, 89 * S, 17 * S + 200 * MS);
        assert_eq!(last(&run(&mut sync, 12 * S, 200 * MS).1), -200 * MS);
    }

    #[test]
    fn a_stream_whose_time_jumps_waits_for_a_new_report() {
        let mut sync = Synchronizer::new(2);
        run(&mut sync, 0, 100 * MS);
        report(&mut sync, 4 * S, 100 * MS);
        run(&mut sync, 4 * S, 100 * MS);
        assert_eq!(sync.shift(1, 0, 13 * S, 13 * S, false), -100 * MS);
        assert_eq!(sync.shift(1, 20 * MS, 13 * S, 13 * S, false), -100 * MS);
    }
}
