//! When a connection is given up.

use std::time::{Duration, Instant};

/// A connected peer that was silent for so long is lost. Browsers answer a consent check every
/// few seconds even in a throttled tab; a change of network takes some seconds to heal.
const LOST_AFTER: Duration = Duration::from_secs(17);

/// A peer that has not come up so long after its first offer never will. Browsers are up in a
/// second, by TURN over TLS in three; who only writes offers holds a peer for no longer.
const FAILED_AFTER: Duration = Duration::from_secs(15);

/// Why a peer that never came up is gone.
pub const FAILED: &str = "connection failed";

/// What is known of the life of a connection.
#[derive(Debug)]
pub struct Liveness {
    offered: Option<Instant>,
    heard: Instant,
    is_connected: bool,
}

impl Liveness {
    pub fn new(now: Instant) -> Self {
        Self {
            offered: None,
            heard: now,
            is_connected: false,
        }
    }

    pub fn handle_offer(&mut self, now: Instant) {
        self.offered.get_or_insert(now);
    }

    pub fn handle_connected(&mut self) {
        self.is_connected = true;
    }

    /// Something came from the peer.
    pub fn handle_heard(&mut self, now: Instant) {
        self.heard = now;
    }

    /// ICE and DTLS have come up.
    pub fn is_connected(&self) -> bool {
        self.is_connected
    }

    /// Why the peer is given up, if it is.
    pub fn end(&self, now: Instant) -> Option<&'static str> {
        let reason = match self.is_connected {
            true => "connection lost",
            false => FAILED,
        };
        self.deadline()
            .is_some_and(|at| at <= now)
            .then_some(reason)
    }

    /// When the peer is to be given up, if it stays silent.
    pub fn deadline(&self) -> Option<Instant> {
        match self.is_connected {
            true => Some(self.heard + LOST_AFTER),
            false => self.offered.map(|at| at + FAILED_AFTER),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_ends_a_connection_and_failure_one_that_never_came_up() {
        let start = Instant::now();
        let mut liveness = Liveness::new(start);
        assert_eq!(liveness.end(start + FAILED_AFTER * 9), None, "no offer");
        liveness.handle_offer(start);
        liveness.handle_offer(start + LOST_AFTER);
        assert_eq!(liveness.end(start + FAILED_AFTER), Some(FAILED));
        liveness.handle_connected();
        liveness.handle_heard(start + LOST_AFTER);
        assert_eq!(liveness.end(start + FAILED_AFTER), None);
        assert_eq!(
            liveness.end(start + LOST_AFTER * 2),
            Some("connection lost")
        );
    }
}
