//! When a sender is asked for a keyframe.

use std::time::{Duration, Instant};

/// How long a keyframe may take before it is asked for again.
const PATIENCE: Duration = Duration::from_secs(1);

/// The keyframe requests for one video stream.
#[derive(Debug)]
pub struct KeyframeRequester {
    is_missing: bool,
    sent: Option<Instant>,
    due: Option<Instant>,
    spacing: Duration,
    has_put_off: bool,
}

impl KeyframeRequester {
    /// `spacing` is the least time between two requests.
    pub fn new(spacing: Duration) -> Self {
        Self {
            is_missing: false,
            sent: None,
            due: None,
            spacing,
            has_put_off: false,
        }
    }

    /// Nothing can be decoded before a keyframe: requests it until it has come.
    pub fn require(&mut self, now: Instant) {
        if !self.is_missing {
            self.is_missing = true;
            self.request(now);
        }
    }

    /// Requests a keyframe once.
    pub fn request(&mut self, now: Instant) {
        let at = self.sent.map_or(now, |sent| now.max(sent + self.spacing));
        self.due = Some(self.due.map_or(at, |due| due.min(at)));
    }

    /// A keyframe has come.
    pub fn received(&mut self) {
        if self.is_missing {
            self.is_missing = false;
            self.due = None;
        }
    }

    /// Whether to send a request now. `is_under_way` puts a repetition off, once: the request has
    /// arrived.
    pub fn poll(&mut self, now: Instant, is_under_way: bool) -> bool {
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

    /// The request of the last [`KeyframeRequester::poll`] could not be sent: str0m does not know
    /// the stream yet.
    pub fn not_sent(&mut self) {
        self.sent = None;
    }

    /// When [`KeyframeRequester::poll`] has a request.
    pub fn deadline(&self) -> Option<Instant> {
        self.due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPACING: Duration = Duration::from_millis(300);

    /// The milliseconds at which requests go out in two and a half seconds.
    fn sent(start: Instant, mut act: impl FnMut(u64, Instant, &mut KeyframeRequester)) -> Vec<u64> {
        let mut keyframes = KeyframeRequester::new(SPACING);
        (0..2500)
            .filter(|ms| {
                let now = start + Duration::from_millis(*ms);
                act(*ms, now, &mut keyframes);
                keyframes.poll(now, false)
            })
            .collect()
    }

    #[test]
    fn a_missing_keyframe_is_requested_each_second_until_it_has_come() {
        let start = Instant::now();
        let times = sent(start, |ms, now, keyframes| match ms {
            100.. if ms < 2200 => keyframes.require(now),
            2200 => keyframes.received(),
            _ => {}
        });
        assert_eq!(times, [100, 1100, 2100]);
    }

    #[test]
    fn a_flood_of_requests_is_merged() {
        let start = Instant::now();
        let times = sent(start, |ms, now, keyframes| {
            if ms < 1000 {
                keyframes.request(now);
            }
        });
        assert_eq!(times, [0, 300, 600, 900, 1200]);
    }

    #[test]
    fn a_repetition_is_put_off_while_a_keyframe_arrives() {
        let (start, mut keyframes) = (Instant::now(), KeyframeRequester::new(SPACING));
        keyframes.require(start);
        assert!(keyframes.poll(start, false));
        assert!(!keyframes.poll(start + PATIENCE, true));
        assert!(
            keyframes.poll(start + 2 * PATIENCE, true),
            "but not for ever"
        );
        assert!(!keyframes.poll(start + 3 * PATIENCE, true));
    }
}
