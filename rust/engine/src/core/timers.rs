//! Deadlines of all peers in one heap, so that nobody ticks over peers that have nothing to do.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::time::Instant;

use crate::id::PeerId;

/// A heap of `(deadline, peer, generation)`.
///
/// A peer has one valid entry: the one whose generation is its newest. Moving a deadline
/// *forward in time* leaves the entry alone (it fires early, the peer re-arms it): a peer that
/// sends moves its deadline thousands of times a second, and must not grow the heap by that.
#[derive(Debug, Default)]
pub struct Timers {
    heap: BinaryHeap<Reverse<(Instant, PeerId, u64)>>,
    armed: HashMap<PeerId, (Instant, u64)>,
    generation: u64,
}

impl Timers {
    /// Wakes the peer at `deadline` or before.
    pub fn arm(&mut self, peer: PeerId, deadline: Instant) {
        if let Some((at, _)) = self.armed.get(&peer)
            && *at <= deadline
        {
            return;
        }
        self.generation += 1;
        self.armed.insert(peer, (deadline, self.generation));
        self.heap.push(Reverse((deadline, peer, self.generation)));
    }

    /// Forgets a peer; its entry in the heap goes stale.
    pub fn forget(&mut self, peer: PeerId) {
        self.armed.remove(&peer);
    }

    /// The next peer that is due, if any. It has no deadline until it is armed again.
    pub fn pop_due(&mut self, now: Instant) -> Option<PeerId> {
        self.drop_stale();
        let Reverse((deadline, peer, _)) = self.heap.peek()?;
        if *deadline > now {
            return None;
        }
        let peer = *peer;
        self.heap.pop();
        self.armed.remove(&peer);
        Some(peer)
    }

    /// The earliest deadline.
    pub fn next_deadline(&mut self) -> Option<Instant> {
        self.drop_stale();
        self.heap.peek().map(|Reverse((deadline, _, _))| *deadline)
    }

    fn drop_stale(&mut self) {
        while let Some(Reverse((_, peer, generation))) = self.heap.peek() {
            match self.armed.get(peer) {
                Some((_, current)) if current == generation => return,
                _ => {
                    self.heap.pop();
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn peers_come_due_in_the_order_of_their_deadlines() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut timers = Timers::default();
        timers.arm(1, at(30));
        timers.arm(2, at(10));
        assert_eq!(timers.next_deadline(), Some(at(10)));
        assert_eq!(timers.pop_due(at(9)), None);
        assert_eq!(timers.pop_due(at(30)), Some(2));
        assert_eq!(timers.pop_due(at(30)), Some(1));
        assert_eq!(timers.pop_due(at(99)), None);
    }

    #[test]
    fn an_earlier_deadline_replaces_and_a_later_one_leaves_the_entry() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut timers = Timers::default();
        timers.arm(1, at(50));
        timers.arm(1, at(20));
        timers.arm(1, at(80));
        assert_eq!(timers.next_deadline(), Some(at(20)));
        assert_eq!(timers.pop_due(at(20)), Some(1));
        assert_eq!(timers.next_deadline(), None, "the entry for 50 ms is stale");
    }

    #[test]
    fn re_arming_a_busy_peer_does_not_grow_the_heap() {
        let start = Instant::now();
        let mut timers = Timers::default();
        for ms in 0..10_000 {
            timers.arm(1, start + Duration::from_millis(1000 + ms));
        }
        assert_eq!(timers.heap.len(), 1);
    }

    #[test]
    fn a_forgotten_peer_never_comes_due() {
        let start = Instant::now();
        let mut timers = Timers::default();
        timers.arm(1, start);
        timers.forget(1);
        assert_eq!(timers.pop_due(start + Duration::from_secs(1)), None);
    }
}
