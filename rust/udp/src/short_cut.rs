//! The way between the engine and the TURN server of the same process: no socket, no kernel.
//!
//! What a client sends through its allocation to one of the engine's addresses waits in one lane
//! until the engine's thread comes by, and what the engine sends to a relayed address in the other.

use std::collections::HashSet;
use std::io;
use std::mem;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::lane::{Lane, RelayedBatch};
use crate::media::MediaAddresses;
use crate::wake::Wake;

/// Both directions, and which relayed addresses there are.
#[derive(Debug)]
pub struct ShortCut {
    /// The engine's addresses.
    pub media: MediaAddresses,
    to_engine: Lane,
    to_turn: Lane,
    relayed: Mutex<Arc<HashSet<SocketAddr>>>,
    /// Grows with every change of `relayed`.
    generation: AtomicU64,
    taken: AtomicBool,
    engine_closed: AtomicBool,
    wake_engine: Arc<Wake>,
    wake_turn: Wake,
}

impl ShortCut {
    /// `wake_engine` is raised when something waits for the engine, which has these addresses.
    pub fn new(wake_engine: Arc<Wake>, media: MediaAddresses) -> io::Result<Self> {
        Ok(Self {
            media,
            to_engine: Lane::default(),
            to_turn: Lane::default(),
            relayed: Mutex::default(),
            generation: AtomicU64::new(0),
            taken: AtomicBool::new(false),
            engine_closed: AtomicBool::new(false),
            wake_engine,
            wake_turn: Wake::new()?,
        })
    }

    /// Takes what waits for the engine.
    pub fn take_for_engine(&self, into: &mut RelayedBatch) {
        self.to_engine.take(into);
    }

    /// The engine takes nothing any more.
    pub fn close_engine(&self) {
        self.engine_closed.store(true, Ordering::Release);
    }

    /// Wakes the TURN server's thread.
    pub fn wake_turn(&self) {
        self.wake_turn.raise();
    }

    fn relayed(&self) -> MutexGuard<'_, Arc<HashSet<SocketAddr>>> {
        // A poisoned lock is taken all the same: the one change under it leaves a whole value.
        self.relayed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What became of a datagram of the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handover {
    /// It is for somebody else.
    NotRelayed,
    Taken,
    /// It was for an allocation, and there was no room.
    Dropped,
}

/// The engine's end: looks at everything that it sends, so it costs one atomic read where nothing
/// is relayed, and no lock where something is.
#[derive(Debug)]
pub struct EngineEnd {
    short_cut: Arc<ShortCut>,
    generation: u64,
    relayed: Arc<HashSet<SocketAddr>>,
    has_pushed: bool,
}

impl EngineEnd {
    pub fn new(short_cut: Arc<ShortCut>) -> Self {
        Self {
            short_cut,
            generation: 0,
            relayed: Arc::default(),
            has_pushed: false,
        }
    }

    /// Takes a datagram that is for a relayed address.
    pub fn send(&mut self, local: SocketAddr, remote: SocketAddr, data: &[u8]) -> Handover {
        let generation = self.short_cut.generation.load(Ordering::Acquire);
        if generation != self.generation {
            self.generation = generation;
            self.relayed = self.short_cut.relayed().clone();
        }
        if self.relayed.is_empty() || !self.relayed.contains(&remote) {
            return Handover::NotRelayed;
        }
        if !self.short_cut.to_turn.push(local, remote, data) {
            return Handover::Dropped;
        }
        self.has_pushed = true;
        Handover::Taken
    }

    /// Wakes the TURN server if something waits for it.
    pub fn flush(&mut self) {
        if mem::take(&mut self.has_pushed) {
            self.short_cut.wake_turn.raise();
        }
    }
}

/// The TURN server's end; an engine has one at a time.
#[derive(Debug)]
pub struct TurnEnd {
    short_cut: Arc<ShortCut>,
    has_pushed: bool,
}

impl TurnEnd {
    /// Makes the caller the engine's TURN server, until this is dropped; `None` if it has one.
    pub fn claim(short_cut: Arc<ShortCut>) -> Option<Self> {
        let is_free = !short_cut.taken.swap(true, Ordering::AcqRel);
        is_free.then_some(Self {
            short_cut,
            has_pushed: false,
        })
    }

    /// The engine's addresses.
    pub fn media(&self) -> &MediaAddresses {
        &self.short_cut.media
    }

    /// The flag that tells that something waits, or that the owner wants something.
    pub fn wake(&self) -> &Wake {
        &self.short_cut.wake_turn
    }

    /// Tells the engine which addresses are relayed ones.
    pub fn publish(&self, relayed: HashSet<SocketAddr>) {
        *self.short_cut.relayed() = Arc::new(relayed);
        self.short_cut.generation.fetch_add(1, Ordering::Release);
    }

    /// Hands a datagram of an allocation to the engine; `false` if there is no room, or no engine.
    pub fn send(&mut self, local: SocketAddr, remote: SocketAddr, data: &[u8]) -> bool {
        let done = !self.short_cut.engine_closed.load(Ordering::Acquire)
            && self.short_cut.to_engine.push(local, remote, data);
        self.has_pushed |= done;
        done
    }

    /// Wakes the engine if something waits for it.
    pub fn flush(&mut self) {
        if mem::take(&mut self.has_pushed) {
            self.short_cut.wake_engine.raise();
        }
    }

    /// Takes what waits for the TURN server.
    pub fn take(&self, into: &mut RelayedBatch) {
        self.short_cut.to_turn.take(into);
    }
}

impl Drop for TurnEnd {
    /// Also after a panic: the engine must not wait for somebody who is gone.
    fn drop(&mut self) {
        self.publish(HashSet::new());
        self.take(&mut RelayedBatch::default());
        self.short_cut.taken.store(false, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lane::MAX_DATAGRAMS;

    fn address(port: u16) -> SocketAddr {
        ([192, 0, 2, 1], port).into()
    }

    fn short_cut() -> Arc<ShortCut> {
        let wake = Arc::new(Wake::new().expect("an eventfd"));
        Arc::new(ShortCut::new(wake, MediaAddresses::default()).expect("an eventfd"))
    }

    #[test]
    fn only_relayed_addresses_take_the_short_cut() {
        let short_cut = short_cut();
        let mut engine = EngineEnd::new(short_cut.clone());
        let turn = TurnEnd::claim(short_cut).expect("it is free");
        let mut send = |port, data| engine.send(address(1), address(port), data);
        assert_eq!(send(50_000, b"a"), Handover::NotRelayed);
        turn.publish([address(50_000)].into());
        assert_eq!(send(50_000, b"a"), Handover::Taken);
        assert_eq!(send(50_001, b"b"), Handover::NotRelayed);
        let mut batch = RelayedBatch::default();
        turn.take(&mut batch);
        assert_eq!(
            batch.iter().collect::<Vec<_>>(),
            [(address(1), address(50_000), &b"a"[..])]
        );
        drop(turn);
        assert_eq!(send(50_000, b"c"), Handover::NotRelayed);
    }

    #[test]
    fn a_lane_that_nobody_empties_is_full_and_says_so() {
        let short_cut = short_cut();
        let mut turn = TurnEnd::claim(short_cut.clone()).expect("it is free");
        let pushed = (0..MAX_DATAGRAMS + 5)
            .filter(|_| turn.send(address(1), address(2), b"datagram"))
            .count();
        assert_eq!(pushed, MAX_DATAGRAMS);
        let mut batch = RelayedBatch::default();
        short_cut.take_for_engine(&mut batch);
        assert_eq!(batch.iter().count(), MAX_DATAGRAMS);
        assert!(turn.send(address(1), address(2), b"room again"));
        short_cut.take_for_engine(&mut batch);
        assert_eq!(
            batch.iter().map(|entry| entry.2).collect::<Vec<_>>(),
            [b"room again"]
        );
        short_cut.close_engine();
        assert!(!turn.send(address(1), address(2), b"nobody reads it"));
    }

    #[test]
    fn an_engine_has_one_turn_server_at_a_time() {
        let short_cut = short_cut();
        let first = TurnEnd::claim(short_cut.clone());
        assert!(first.is_some());
        assert!(TurnEnd::claim(short_cut.clone()).is_none());
        drop(first);
        assert!(TurnEnd::claim(short_cut).is_some());
    }
}
