//! Whether a viewer can follow, and when it is tried again.

use std::time::{Duration, Instant};

/// The least time between two judgements of a path by what its reports say.
const JUDGED_EACH: Duration = Duration::from_millis(900);

/// A path that loses so much, 0..1, and by its estimate carries less than is sent, is too narrow.
const TOO_MUCH_LOSS: f32 = 0.1;

/// The same, of a viewer that gives no estimate.
const TOO_MUCH_LOSS_ALONE: f32 = 0.3;

/// The part of what is sent that an estimate has to reach.
const ENOUGH: f64 = 0.85;

/// Reports of it in a row before anything is dropped: one may be a burst.
const STRIKES: u32 = 2;

/// How long nothing is sent. Twice as long each time, where it comes back soon.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(8);
const SOON: Duration = Duration::from_secs(10);

/// The least time between two requests of one viewer for a keyframe that are passed on. A source
/// that obeys each of a bad path makes the picture worse for all.
const REQUEST_SPACING: Duration = Duration::from_secs(1);

/// What to do with video now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    Send,
    Drop,
    /// Ask for a keyframe, and go on with it.
    Resume,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum State {
    #[default]
    Free,
    /// Everything is dropped, until then at the least.
    Dropping { until: Option<Instant> },
    /// Waits for the keyframe to go on with.
    Returning,
}

/// What a viewer was sent so far.
#[derive(Debug, Clone, Copy, Default)]
pub struct SentTotal {
    pub bytes: u64,
    pub packets: u64,
    /// Its newest sequence number. Where there are less packets, they were missing at the source,
    /// and are no loss of the viewer's path.
    pub sequence: u64,
}

impl SentTotal {
    /// The part of the numbers since `before` that had no packet, 0..1.
    fn missing_since(&self, before: &Self) -> f32 {
        let numbers = self.sequence.saturating_sub(before.sequence);
        let packets = self.packets.saturating_sub(before.packets);
        match numbers.checked_sub(packets) {
            Some(missing) if missing > 0 => missing as f32 / numbers as f32,
            _ => 0.0,
        }
    }
}

/// One viewer's video.
#[derive(Debug)]
pub struct Congestion {
    state: State,
    pause: Duration,
    resumed: Option<Instant>,
    strikes: u32,
    /// When the path was judged last.
    judged: Option<Instant>,
    last: Option<(Instant, SentTotal)>,
    requested: Option<Instant>,
    /// Its packets come from a source that other viewers share.
    is_relayed: bool,
}

impl Default for Congestion {
    fn default() -> Self {
        Self {
            state: State::Free,
            pause: FIRST_PAUSE,
            resumed: None,
            strikes: 0,
            judged: None,
            last: None,
            requested: None,
            is_relayed: false,
        }
    }
}

impl Congestion {
    /// Drops to the next keyframe after `until`; `true` if nothing was dropped before.
    pub fn begin(&mut self, until: Option<Instant>) -> bool {
        let was_free = self.state == State::Free;
        self.state = State::Dropping { until };
        was_free
    }

    /// Whether its packets come from a source that other viewers share.
    pub fn set_relayed(&mut self, is_relayed: bool) {
        self.is_relayed = is_relayed;
    }

    pub fn is_relayed(&self) -> bool {
        self.is_relayed
    }

    /// Another track may do better.
    pub fn retry(&mut self) {
        if matches!(self.state, State::Dropping { .. }) {
            self.state = State::Dropping { until: None };
        }
    }

    /// What to do with what comes now.
    pub fn flow(&mut self, now: Instant) -> Flow {
        match self.state {
            State::Free | State::Returning => Flow::Send,
            State::Dropping { until } if until.is_some_and(|until| now < until) => Flow::Drop,
            State::Dropping { .. } => {
                self.state = State::Returning;
                Flow::Resume
            }
        }
    }

    /// Something was sent; `true` if it was the first after a drop.
    pub fn sent(&mut self, now: Instant) -> bool {
        let is_first = self.state == State::Returning;
        if is_first {
            self.state = State::Free;
            self.resumed = Some(now);
            self.last = None;
        }
        is_first
    }

    /// Judges the path by a receiver report: loss 0..1, what was sent so far, and the estimate in
    /// bit/s. How long to drop, if it is too narrow.
    pub fn judge(
        &mut self,
        now: Instant,
        loss: f32,
        sent: SentTotal,
        estimate: Option<u64>,
    ) -> Option<Duration> {
        let is_early = |at| now.saturating_duration_since(at) < JUDGED_EACH;
        if self.judged.is_some_and(is_early) {
            return None;
        }
        self.judged = Some(now);
        let (at, before) = self.last.replace((now, sent))?;
        if self.state != State::Free {
            return None;
        }
        let elapsed = now.saturating_duration_since(at).as_secs_f64();
        let rate = (sent.bytes.saturating_sub(before.bytes) * 8) as f64 / elapsed;
        let loss = loss - sent.missing_since(&before);
        let is_narrow = match estimate {
            Some(estimate) => loss >= TOO_MUCH_LOSS && (estimate as f64) < rate * ENOUGH,
            None => loss >= TOO_MUCH_LOSS_ALONE,
        };
        self.strikes = if is_narrow { self.strikes + 1 } else { 0 };
        if self.strikes < STRIKES {
            return None;
        }
        self.strikes = 0;
        let is_soon = |at| now.saturating_duration_since(at) < SOON;
        self.pause = if self.resumed.is_some_and(is_soon) {
            (self.pause * 2).min(LONGEST_PAUSE)
        } else {
            FIRST_PAUSE
        };
        Some(self.pause)
    }

    /// Whether a keyframe request of the viewer is passed on.
    pub fn passes_request(&mut self, now: Instant) -> bool {
        if !self.is_relayed {
            return true;
        }
        let is_early = |at| now.saturating_duration_since(at) < REQUEST_SPACING;
        if self.state != State::Free || self.requested.is_some_and(is_early) {
            return false;
        }
        self.requested = Some(now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// The pauses, in seconds, of a path with so much loss and such an estimate, sent 2 Mb/s, of
    /// which the source misses so many per cent.
    fn pauses(loss: f32, estimate: Option<u64>, missing: u64) -> Vec<u64> {
        let start = Instant::now();
        let (mut congestion, mut found) = (Congestion::default(), vec![]);
        for n in 0..60 {
            let now = start + n * SECOND;
            if congestion.flow(now) == Flow::Drop {
                continue;
            }
            congestion.sent(now);
            let sent = SentTotal {
                bytes: u64::from(n) * 250_000,
                packets: u64::from(n) * 200,
                sequence: u64::from(n) * 200 * 100 / (100 - missing),
            };
            let pause = congestion.judge(now, loss, sent, estimate);
            if let Some(pause) = pause {
                found.push(pause.as_secs());
                assert!(congestion.begin(Some(now + pause)));
            }
        }
        found
    }

    #[test]
    fn a_narrow_path_pauses_longer_each_time() {
        let found = pauses(0.3, Some(400_000), 0);
        assert_eq!(found[..5], [1, 2, 4, 8, 8]);
        assert_eq!(pauses(0.4, None, 0)[..2], [1, 2]);
    }

    #[test]
    fn loss_alone_or_a_low_estimate_alone_is_no_congestion() {
        assert!(pauses(0.25, Some(2_500_000), 0).is_empty());
        assert!(pauses(0.25, None, 0).is_empty());
        assert!(pauses(0.02, Some(300_000), 0).is_empty());
        assert!(pauses(0.5, None, 40).is_empty(), "the source's loss");
    }

    #[test]
    fn requests_of_one_viewer_are_passed_on_once_a_second() {
        let start = Instant::now();
        let mut congestion = Congestion {
            is_relayed: true,
            ..Congestion::default()
        };
        let heeded = (0..30).filter(|n| congestion.passes_request(start + *n * SECOND / 10));
        assert_eq!(heeded.count(), 3);
        congestion.begin(None);
        assert!(!congestion.passes_request(start + 9 * SECOND));
    }

    #[test]
    fn another_track_ends_the_pause() {
        let start = Instant::now();
        let mut congestion = Congestion::default();
        assert!(congestion.begin(Some(start + 8 * SECOND)));
        assert_eq!(congestion.flow(start + SECOND), Flow::Drop);
        congestion.retry();
        assert_eq!(congestion.flow(start + SECOND), Flow::Resume);
        assert_eq!(congestion.flow(start + SECOND), Flow::Send);
        assert!(congestion.sent(start + SECOND) && !congestion.sent(start + SECOND));
    }
}
