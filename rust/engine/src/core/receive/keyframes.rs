//! When a sender is asked for a keyframe.

use std::time::{Duration, Instant};

/// The least time between two requests.
const SPACING: Duration = Duration::from_millis(300);

/// How long a keyframe may take before it is asked for again.
const PATIENCE: Duration = Duration::from_secs(1);

/// The requests of one video stream.
#[derive(Debug)]
pub struct Keyframes {
    is_missing: bool,
    sent: Option<Instant>,
    due: Option<Instant>,
    spacing: Duration,
    has_put_off: bool,
}

impl Default for Keyframes {
    fn default() -> Self {
        Self::spaced(SPACING)
    }
}

impl Keyframes {
    /// Requests with so much time between two at the least.
    pub fn spaced(spacing: Duration) -> Self {
        Self {
            is_missing: false,
            sent: None,
            due: None,
            spacing,
            has_put_off: false,
        }
    }

    /// Nothing can be shown before a keyframe: asks until one is there.
    pub fn miss(&mut self, now: Instant) {
        if !self.is_missing {
            self.is_missing = true;
            self.ask(now);
        }
    }

    /// Somebody wants one.
    pub fn ask(&mut self, now: Instant) {
        let at = self.sent.map_or(now, |sent| now.max(sent + self.spacing));
        self.due = Some(self.due.map_or(at, |due| due.min(at)));
    }

    /// One is there.
    pub fn found(&mut self) {
        if self.is_missing {
            self.is_missing = false;
            self.due = None;
        }
    }

    /// Whether to send a request now. `is_under_way` puts a repetition off, once: the request was
    /// heard.
    pub fn take(&mut self, now: Instant, is_under_way: bool) -> bool {
        if self.due.is_none_or(|due| due > now) {
            return false;
        }
        self.due = self.is_missing.then_some(now + PATIENCE);
        if self.is_missing && is_under_way && !self.has_put_off {
            self.has_put_off = true;
            return false;
        }
        self.has_put_off = false;
        self.sent = Some(now);
        true
    }

    /// The one taken could not be sent: nothing is known of the stream.
    pub fn put_back(&mut self) {
        self.sent = None;
    }

    /// When a request is due.
    pub fn deadline(&self) -> Option<Instant> {
        self.due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The milliseconds at which requests go out in two and a half seconds.
    fn sent(start: Instant, mut act: impl FnMut(u64, Instant, &mut Keyframes)) -> Vec<u64> {
        let mut keyframes = Keyframes::default();
        (0..2500)
            .filter(|ms| {
                let now = start + Duration::from_millis(*ms);
                act(*ms, now, &mut keyframes);
                keyframes.take(now, false)
            })
            .collect()
    }

    #[test]
    fn a_missing_keyframe_is_asked_for_each_second_until_it_is_there() {
        let start = Instant::now();
        let times = sent(start, |ms, now, keyframes| match ms {
            100.. if ms < 2200 => keyframes.miss(now),
            2200 => keyframes.found(),
            _ => {}
        });
        assert_eq!(times, [100, 1100, 2100]);
    }

    #[test]
    fn a_flood_of_wishes_is_merged() {
        let start = Instant::now();
        let times = sent(start, |ms, now, keyframes| {
            if ms < 1000 {
                keyframes.ask(now);
            }
        });
        assert_eq!(times, [0, 300, 600, 900, 1200]);
    }

    #[test]
    fn a_repetition_is_put_off_while_a_keyframe_arrives() {
        let (start, mut keyframes) = (Instant::now(), Keyframes::default());
        keyframes.miss(start);
        assert!(keyframes.take(start, false));
        assert!(!keyframes.take(start + PATIENCE, true));
        assert!(
            keyframes.take(start + 2 * PATIENCE, true),
            "but not for ever"
        );
        assert!(!keyframes.take(start + 3 * PATIENCE, true));
    }
}
