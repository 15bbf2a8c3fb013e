//! Connectivity checks to addresses that never answered, of all connections together.
//!
//! Whoever calls names the addresses that are checked, so by calls this server could be made to send
//! to anybody. What has answered a check wants it, and is none of this file's business. To all others
//! goes one check each 5 ms, to the connections in turn, and no address gets more than 100 a minute.
//! A request that came from an address is no answer, as its sender may be forged: it entitles to one
//! check that does not wait for its turn, so that nothing is returned more than twofold.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use super::demux::AddressPair;
use crate::id::PeerId;

/// The time from one check to the next (RFC 8445 §14.2 has it as the least of one agent).
const SPACING: Duration = Duration::from_millis(5);

/// Checks that an address gets in [`WINDOW`] without an answer.
const MAX_PER_TARGET: u32 = 100;
const WINDOW: Duration = Duration::from_secs(60);

/// Checks in [`WINDOW`] that are remembered. Waiting ones go at [`SPACING`], which makes 12 000.
const MAX_REMEMBERED: usize = 16_384;

/// Checks of one connection that may wait, each of another pair.
const MAX_WAITING: usize = 64;

/// Checks of all connections that may wait, and those that each may have besides: what is refused to
/// an honest one str0m takes for sent, and is a quarter of a second late.
const MAX_WAITING_OF_ALL: usize = 4096;
const RESERVED: usize = 16;

/// Checks that one connection has sent to what does not answer, until ICE starts anew.
const MAX_PER_CONNECTION: u32 = 128;

/// A check that is sent: on which path, and the message.
#[derive(Debug)]
pub struct Check {
    pub pair: AddressPair,
    pub message: Vec<u8>,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<Check>,
    sent: u32,
}

/// The checks that wait, and those that were sent.
#[derive(Debug, Default)]
pub struct CheckPacer {
    queues: HashMap<PeerId, Queue>,
    /// Connections with a check that waits, the next one first.
    turns: VecDeque<PeerId>,
    waiting: usize,
    /// When the next one may go.
    due: Option<Instant>,
    by_target: HashMap<IpAddr, u32>,
    history: VecDeque<(Instant, IpAddr)>,
}

impl CheckPacer {
    /// Takes a check that waits for its turn, in place of an older one of its pair. `false` if it is
    /// refused.
    pub fn push(&mut self, now: Instant, peer: PeerId, check: Check) -> bool {
        let queue = self.queues.entry(peer).or_default();
        let mut waiting = queue.waiting.iter_mut();
        if let Some(older) = waiting.find(|older| older.pair == check.pair) {
            older.message = check.message;
            return true;
        }
        if queue.sent as usize + queue.waiting.len() >= MAX_PER_CONNECTION as usize
            || queue.waiting.len() >= MAX_WAITING
            || (self.waiting >= MAX_WAITING_OF_ALL && queue.waiting.len() >= RESERVED)
        {
            return false;
        }
        if queue.waiting.is_empty() {
            self.turns.push_back(peer);
        }
        self.due = Some(self.due.map_or(now, |due| due.max(now)));
        queue.waiting.push_back(check);
        self.waiting += 1;
        true
    }

    /// Takes back the checks of a connection to an address that wait, because something came from there.
    pub fn take(&mut self, peer: PeerId, remote: SocketAddr) -> Vec<Check> {
        let Some(queue) = self.queues.get_mut(&peer) else {
            return Vec::new();
        };
        let waiting = std::mem::take(&mut queue.waiting);
        let (taken, rest): (Vec<Check>, Vec<Check>) = waiting
            .into_iter()
            .partition(|check| check.pair.1 == remote);
        queue.waiting = rest.into();
        self.waiting -= taken.len();
        if !taken.is_empty() && queue.waiting.is_empty() {
            self.turns.retain(|turn| *turn != peer);
        }
        taken
    }

    /// Whether a check may be sent that does not wait. It counts for its target.
    pub fn admit(&mut self, now: Instant, target: SocketAddr) -> bool {
        self.forget_old(now);
        let target = network_of(target.ip());
        let count = self.by_target.get(&target).copied().unwrap_or(0);
        if count >= MAX_PER_TARGET || self.history.len() >= MAX_REMEMBERED {
            return false;
        }
        self.by_target.insert(target, count + 1);
        self.history.push_back((now, target));
        true
    }

    /// An address has answered a check: it gets checks again.
    pub fn handle_answer(&mut self, target: SocketAddr) {
        self.by_target.remove(&network_of(target.ip()));
    }

    /// The next check that is due, with its connection; the flag says whether it may be sent, or is
    /// refused.
    pub fn pop_due(&mut self, now: Instant) -> Option<(PeerId, Check, bool)> {
        self.next_deadline().filter(|at| *at <= now)?;
        let peer = self.turns.pop_front()?;
        let queue = self.queues.get_mut(&peer)?;
        let check = queue.waiting.pop_front()?;
        self.waiting -= 1;
        if !queue.waiting.is_empty() {
            self.turns.push_back(peer);
        }
        queue.sent += 1;
        let is_admitted = self.admit(now, check.pair.1);
        if is_admitted {
            self.due = Some(now + SPACING);
        }
        Some((peer, check, is_admitted))
    }

    /// When [`CheckPacer::pop_due`] has something.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.due.filter(|_| !self.turns.is_empty())
    }

    /// ICE of a connection starts anew, or the connection is gone.
    pub fn forget(&mut self, peer: PeerId) {
        if let Some(queue) = self.queues.remove(&peer) {
            self.waiting -= queue.waiting.len();
            self.turns.retain(|turn| *turn != peer);
        }
    }

    fn forget_old(&mut self, now: Instant) {
        while let Some((at, target)) = self.history.front().copied()
            && now.saturating_duration_since(at) >= WINDOW
        {
            self.history.pop_front();
            if let Some(count) = self.by_target.get_mut(&target) {
                *count = count.saturating_sub(1);
                if *count == 0 {
                    self.by_target.remove(&target);
                }
            }
        }
    }
}

/// What counts as one target: an IPv4 address, or a /64 of IPv6.
fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !(u128::MAX >> 64)).into(),
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(host: u8, port: u16) -> Check {
        let us = ([10, 0, 0, 1], 4501).into();
        Check {
            pair: (us, ([192, 0, 2, host], port).into()),
            message: vec![0, 1],
        }
    }

    fn drain(pacer: &mut CheckPacer, from: Instant, seconds: u64) -> Vec<(PeerId, bool)> {
        let mut found = Vec::new();
        for ms in 0..seconds * 1000 {
            let now = from + Duration::from_millis(ms);
            while let Some((peer, _, is_admitted)) = pacer.pop_due(now) {
                found.push((peer, is_admitted));
            }
        }
        found
    }

    #[test]
    fn checks_go_one_each_5_ms_and_the_connections_take_turns() {
        let (now, mut pacer) = (Instant::now(), CheckPacer::default());
        for port in 1..=60 {
            assert!(pacer.push(now, 1, check(1, port)));
        }
        assert!(pacer.push(now, 2, check(2, 1)));
        assert_eq!(pacer.pop_due(now).map(|due| due.0), Some(1), "at once");
        assert!(pacer.pop_due(now).is_none());
        assert_eq!(pacer.next_deadline(), Some(now + SPACING));
        let rest = drain(&mut pacer, now, 1);
        assert_eq!(rest[0], (2, true), "though the first has 59 more");
        assert_eq!(rest.len(), 60);
        assert_eq!(pacer.next_deadline(), None);
    }

    #[test]
    fn no_target_gets_more_than_100_a_minute_until_it_answers() {
        let (now, mut pacer) = (Instant::now(), CheckPacer::default());
        for peer in 0..200 {
            assert!(pacer.push(now, peer, check(1, peer as u16)));
        }
        let sent = drain(&mut pacer, now, 3);
        let admitted = |sent: &[(PeerId, bool)]| sent.iter().filter(|due| due.1).count();
        assert_eq!((sent.len(), admitted(&sent)), (200, 100));
        assert!(pacer.admit(now, check(2, 1).pair.1), "another");
        assert!(!pacer.admit(now + WINDOW / 2, check(1, 9).pair.1));
        pacer.handle_answer(check(1, 7).pair.1);
        assert!(pacer.admit(now + WINDOW / 2, check(1, 9).pair.1));
        assert!(pacer.admit(now + WINDOW * 2, check(1, 9).pair.1));
        assert_eq!(pacer.history.len(), 1, "what is old is forgotten");
    }

    #[test]
    fn what_waits_is_bounded_and_a_newer_check_takes_the_place_of_an_older() {
        let (now, mut pacer) = (Instant::now(), CheckPacer::default());
        for _ in 0..1000 {
            assert!(pacer.push(now, 1, check(1, 1)));
        }
        assert_eq!(pacer.waiting, 1);
        let pushed = (0..1000).filter(|port| pacer.push(now, 1, check(1, *port)));
        assert_eq!(pushed.count(), MAX_WAITING);
        drain(&mut pacer, now, 1);
        for round in 1..10 {
            let taken = pacer.take(1, check(1, 3).pair.1);
            assert!(taken.is_empty());
            (0..64).for_each(|port| _ = pacer.push(now, 1, check(1, port)));
            drain(&mut pacer, now + Duration::from_secs(round), 1);
        }
        assert_eq!(pacer.queues[&1].sent, MAX_PER_CONNECTION);
        pacer.forget(1);
        assert!(pacer.push(now, 1, check(1, 1)));
        assert_eq!(pacer.take(1, check(1, 1).pair.1).len(), 1);
        assert_eq!((pacer.waiting, pacer.turns.len()), (0, 0));
        assert!(pacer.push(now, 1, check(1, 1)));
        pacer.forget(1);
        assert_eq!((pacer.waiting, pacer.turns.len()), (0, 0));
    }
}
