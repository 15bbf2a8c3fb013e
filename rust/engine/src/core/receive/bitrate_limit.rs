//! The limit of what a browser may send, which it receives in REMB messages.

use std::time::{Duration, Instant};

/// How often a browser is sent its limit. It keeps to the newest REMB; each may be lost.
const INTERVAL: Duration = Duration::from_secs(1);

/// What stands for no limit, in bit/s, and how often it is sent after there was one.
const UNLIMITED: u64 = 1_000_000_000;
const LIFTED: u32 = 3;

/// The limit, and when it is sent next.
#[derive(Debug)]
pub struct BitrateLimit {
    bitrate: u64,
    due: Option<Instant>,
    lifted: u32,
    is_connected: bool,
}

impl BitrateLimit {
    /// `bitrate` is in bit/s; 0 is no limit.
    pub fn new(bitrate: u64) -> Self {
        Self {
            bitrate,
            due: None,
            lifted: 0,
            is_connected: false,
        }
    }

    /// Media may flow: the limit is due.
    pub fn handle_connected(&mut self, now: Instant) {
        self.is_connected = true;
        if self.bitrate > 0 {
            self.due = Some(now);
        }
    }

    /// Changes the limit; 0 lifts it.
    pub fn set(&mut self, bitrate: u64, now: Instant) {
        if self.bitrate > 0 && bitrate == 0 {
            self.lifted = LIFTED;
        }
        self.bitrate = bitrate;
        if self.is_connected && (bitrate > 0 || self.lifted > 0) {
            self.due = Some(now);
        }
    }

    /// The limit, in bit/s; 0 without one.
    pub fn get(&self) -> u64 {
        self.bitrate
    }

    /// When [`BitrateLimit::poll`] has something to send.
    pub fn deadline(&self) -> Option<Instant> {
        self.due
    }

    /// The limit to send to the browser now, in bit/s.
    pub fn poll(&mut self, now: Instant) -> Option<u64> {
        if self.due.is_none_or(|due| due > now) {
            return None;
        }
        if self.bitrate > 0 {
            self.due = Some(now + INTERVAL);
            return Some(self.bitrate);
        }
        self.lifted = self.lifted.saturating_sub(1);
        self.due = (self.lifted > 0).then_some(now + INTERVAL);
        Some(UNLIMITED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_sent_each_second_and_its_end_three_times() {
        let start = Instant::now();
        let mut limit = BitrateLimit::new(700_000);
        assert_eq!(limit.poll(start), None, "before the connection");
        limit.handle_connected(start);
        let mut sent = vec![];
        for ms in 0..10_000 {
            let now = start + Duration::from_millis(ms);
            if ms == 2500 {
                limit.set(0, now);
            }
            sent.extend(limit.poll(now).map(|bitrate| (ms, bitrate)));
        }
        assert_eq!(
            sent,
            [
                (0, 700_000),
                (1000, 700_000),
                (2000, 700_000),
                (2500, UNLIMITED),
                (3500, UNLIMITED),
                (4500, UNLIMITED),
            ]
        );
    }
}
